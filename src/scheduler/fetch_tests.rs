use std::sync::atomic::{AtomicU64, Ordering};

use futures::{StreamExt as _, stream};
use ractor::Actor as _;
use supervisors::{ChildHandle, ChildSpec, SupervisorHandle};
use tokio::{
    sync::{
        mpsc::{self, UnboundedReceiver},
        oneshot,
    },
    task::JoinHandle,
    time::sleep,
};

use super::*;
use crate::{
    doubles::{NetworkDouble, Recorder, blocks, peer, recorded, stream_of, tree},
    flow::ByteBudget,
    ports::{InlineCompute, OsEntropy, PeerNetwork, SystemClock},
    reputation::ReputationMsg,
    resilience::NetworkSlot,
    types::Height,
    validation::{ValidatorArgs, ValidatorMsg, ValidatorPool},
};

const DEADLINE: Duration = Duration::from_secs(8);

/// A fetch task among recording siblings, with the real pool or with one whose verdicts are the
/// test's.
struct World {
    context: FetchContext,
    budget: ByteBudget,
    network: Arc<NetworkDouble>,
    scheduler: ActorRef<SchedulerMsg>,
    reports: UnboundedReceiver<SchedulerMsg>,
    evidence: UnboundedReceiver<ReputationMsg>,
    verify: UnboundedReceiver<ValidatorMsg>,
    /// The task receives for as long as this is there.
    running: Option<oneshot::Sender<()>>,
    _tree: SupervisorHandle,
}

enum Pool {
    Real,
    Held,
}

impl World {
    async fn new(network: Arc<NetworkDouble>, pool: Pool) -> Self {
        let reputation = recorded("reputation");
        let held = recorded("held pool");
        let real = ChildHandle::new("pool");
        let args = ValidatorArgs {
            verifier: Arc::clone(&blocks().verifier),
            compute: Arc::new(InlineCompute),
            entropy: Arc::new(OsEntropy),
            meter: Arc::default(),
        };
        let spec = ChildSpec::new(&real, move || (ValidatorPool, args.clone()));
        let tree = tree([reputation.spec, held.spec, spec]).await;
        let slot = NetworkSlot::default();
        slot.publish(&(network.clone() as Arc<dyn PeerNetwork>));
        let context = FetchContext {
            caller: PeerCaller::outside_a_node(slot, Arc::new(SystemClock::start())),
            validator: ValidatorHandle::new(match pool {
                Pool::Real => real,
                Pool::Held => held.handle,
            }),
            reputation: ReputationHandle::new(reputation.handle),
        };
        let (sender, reports) = mpsc::unbounded_channel();
        let (scheduler, _) = Recorder::spawn(None, Recorder::default(), sender).await.unwrap();
        Self {
            context,
            budget: ByteBudget::new(1 << 30),
            network,
            scheduler,
            reports,
            evidence: reputation.told,
            verify: held.told,
            running: None,
            _tree: tree,
        }
    }

    /// Fetches `count` blocks from `start` on with a permit of `bytes`.
    fn fetch(&mut self, start: u64, count: u64, bytes: u64) -> JoinHandle<()> {
        let range = HeightRange::new(Height::new(start), count).unwrap();
        let permit = self.budget.try_reserve(range.start(), bytes).unwrap();
        let span = Span::none();
        let (request, block_deadline) = (RequestId(7), DEADLINE);
        let fetch = Fetch { request, peer: peer(1), range, block_deadline, permit, span };
        let (running, stopped) = oneshot::channel();
        self.running = Some(running);
        tokio::spawn(run(self.context.clone(), fetch, self.scheduler.clone(), stopped))
    }

    async fn report(&mut self) -> FetchReport {
        let message = self.reports.recv().await.unwrap();
        let SchedulerMsg::Fetch { request, report } = message else { panic!("not a report") };
        assert_eq!(request, RequestId(7));
        report
    }

    /// All reports up to and including the last, in words.
    async fn reports(&mut self) -> Vec<String> {
        let mut all = Vec::new();
        loop {
            let report = self.report().await;
            all.push(words(&report));
            if matches!(report, FetchReport::Settled) {
                // Whatever is still on its way would come after the last word.
                sleep(DEADLINE).await;
                assert!(self.reports.try_recv().is_err(), "more after {all:?}");
                return all;
            }
        }
    }

    /// What reputation was told so far, in words.
    async fn evidence(&mut self) -> Vec<String> {
        sleep(DEADLINE).await;
        let mut all = Vec::new();
        while let Ok(message) = self.evidence.try_recv() {
            let ReputationMsg::Observed { peer: of, evidence } = message else { panic!() };
            assert_eq!(of, peer(1));
            all.push(match evidence {
                Evidence::Delivered { blocks, .. } => format!("delivered {blocks}"),
                Evidence::Failed(error) => format!("failed: {error}"),
                Evidence::Lied(fault) => format!("lied at {}", fault.height),
                Evidence::Useless(fault) => format!("useless at {}", fault.height),
                Evidence::NotLinked { block } => format!("not linked: {block}"),
                Evidence::Replied(reply) => format!("replied {} of {}", reply.blocks, reply.asked),
                Evidence::Misused { .. } => panic!("only servers see misuse"),
            });
        }
        all
    }

    async fn next_piece(&mut self) -> (RawSegment, ractor::RpcReplyPort<Verdict>) {
        match self.verify.recv().await.unwrap() {
            ValidatorMsg::Verify { segment, reply, .. } => (segment, reply),
            ValidatorMsg::JobDone | ValidatorMsg::Alarm | ValidatorMsg::Vital(_) => {
                panic!("nobody works here")
            }
            ValidatorMsg::WorkerPanicked { message } => panic!("{message}"),
        }
    }
}

fn words(report: &FetchReport) -> String {
    match report {
        FetchReport::Arrived { range, .. } => format!("arrived {range}"),
        FetchReport::Verified { range, segments } => {
            let good: Vec<_> = segments.iter().map(|s| s.range.to_string()).collect();
            format!("verified {range}: {}", good.join(" "))
        }
        FetchReport::Ended { end } => format!("ended {end:?}"),
        FetchReport::Settled => "settled".to_owned(),
    }
}

/// A peer that sends `sent` and then closes.
fn sends(sent: Vec<Result<Bytes, RequestError>>) -> Arc<NetworkDouble> {
    NetworkDouble::new(move |_, _| Ok(stream_of(sent.clone())))
}

fn honest(first: u64, last: u64) -> Vec<Result<Bytes, RequestError>> {
    (first..=last).map(|height| Ok(blocks().raw(height))).collect()
}

/// `count` blocks of `bytes` each that nobody verifies.
fn dummies(count: usize, bytes: usize) -> Vec<Result<Bytes, RequestError>> {
    vec![Ok(vec![0; bytes].into()); count]
}

#[tokio::test(start_paused = true)]
async fn reply_goes_to_verification_in_pieces_each_arrived_before_it_is_verified() {
    let mut world = World::new(sends(honest(1, 70)), Pool::Real).await;
    let task = world.fetch(1, 70, 1_000);
    let reports = world.reports().await;
    let pieces = ["1..=32", "33..=64", "65..=70"];
    for piece in pieces {
        let at = |word: String| reports.iter().position(|report| *report == word).unwrap();
        let arrived = at(format!("arrived {piece}"));
        assert!(arrived < at(format!("verified {piece}: {piece}")), "{reports:?}");
    }
    let arrived: Vec<_> = reports.iter().filter(|report| report.starts_with("arr")).collect();
    assert_eq!(arrived, ["arrived 1..=32", "arrived 33..=64", "arrived 65..=70"]);
    assert!(reports.contains(&"ended Closed".to_owned()));
    assert_eq!((reports.len(), reports.last().unwrap().as_str()), (8, "settled"));
    let evidence = world.evidence().await;
    assert_eq!(evidence, ["replied 70 of 70", "delivered 32", "delivered 32", "delivered 6"]);
    task.await.unwrap();
    assert_eq!(world.budget.gauge().used, 0);
    let range = HeightRange::new(Height::new(1), 70).unwrap();
    assert_eq!(world.network.asked(), [(peer(1), range)]);
}

#[tokio::test(start_paused = true)]
async fn large_blocks_make_smaller_pieces() {
    let half = usize::try_from(PIECE_BYTES / 2).unwrap();
    let mut world = World::new(sends(dummies(5, half)), Pool::Held).await;
    let _task = world.fetch(1, 5, 1_000);
    for (range, bytes) in
        [("1..=2", PIECE_BYTES), ("3..=4", PIECE_BYTES), ("5..=5", PIECE_BYTES / 2)]
    {
        let (segment, _) = world.next_piece().await;
        assert_eq!(segment.range.to_string(), range);
        assert_eq!(segment.permit.bytes(), bytes, "the permit moves on with the blocks");
    }
}

#[tokio::test(start_paused = true)]
async fn blocks_before_a_failure_are_used_and_the_failure_is_the_peers() {
    let sent = [honest(1, 40), vec![Err(RequestError::Cut)]].concat();
    let mut world = World::new(sends(sent), Pool::Real).await;
    let _task = world.fetch(1, 70, 1_000);
    let reports = world.reports().await;
    for word in ["verified 1..=32: 1..=32", "verified 33..=40: 33..=40", "ended Failed"] {
        assert!(reports.contains(&word.to_owned()), "{reports:?}");
    }
    let mut evidence = world.evidence().await;
    evidence.sort();
    assert_eq!(evidence, ["delivered 32", "delivered 8", "failed: the stream was cut"]);
    assert_eq!(world.budget.gauge().used, 0);
}

#[tokio::test(start_paused = true)]
async fn silent_peer_has_failed_after_the_deadline() {
    let network = NetworkDouble::new(|_, _| Ok(stream::pending().boxed()));
    let mut world = World::new(network, Pool::Real).await;
    let _task = world.fetch(1, 70, 1_000);
    assert_eq!(world.reports().await, ["ended Failed", "settled"]);
    assert_eq!(world.evidence().await, ["failed: nothing arrived for 8s"]);
    assert_eq!(world.budget.gauge().used, 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_the_peers_fault_is_not_held_against_it() {
    let ours = [RequestError::NotConnected, RequestError::TooManyStreams, RequestError::Restarting];
    for error in ours {
        let refused = error.clone();
        let mut world =
            World::new(NetworkDouble::new(move |_, _| Err(refused.clone())), Pool::Real).await;
        let _task = world.fetch(1, 70, 1_000);
        assert_eq!(world.reports().await, ["ended NotSent", "settled"], "{error}");
        assert!(world.evidence().await.is_empty(), "{error}");
        assert_eq!(world.budget.gauge().used, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn limit_of_a_peer_is_not_held_against_it_and_its_wait_is_passed_on() {
    let wait = Duration::from_millis(1_234);
    let limits = [
        (RequestError::RateLimited { wait: Some(wait) }, "ended Limited { wait: Some(1.234s) }"),
        (RequestError::RateLimited { wait: None }, "ended Limited { wait: None }"),
        (RequestError::OverQuota { wait }, "ended Limited { wait: Some(1.234s) }"),
        (RequestError::BreakerOpen { wait }, "ended Limited { wait: Some(1.234s) }"),
    ];
    for (error, told) in limits {
        let mut world = World::new(sends(vec![Err(error.clone())]), Pool::Real).await;
        let _task = world.fetch(1, 70, 1_000);
        assert_eq!(world.reports().await, [told, "settled"], "{error}");
        assert!(world.evidence().await.is_empty(), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn lie_in_a_piece_is_told_once_beside_what_was_good() {
    let mut sent = honest(1, 9);
    sent[3] = Ok(blocks().badly_signed(4));
    sent[6] = Ok(blocks().badly_signed(7));
    let mut world = World::new(sends(sent), Pool::Real).await;
    let _task = world.fetch(1, 9, 1_000);
    let reports = world.reports().await;
    assert!(reports.contains(&"verified 1..=9: 1..=3 5..=6 8..=9".to_owned()), "{reports:?}");
    assert_eq!(world.evidence().await, ["replied 9 of 9", "delivered 7", "lied at 4"]);
}

#[tokio::test(start_paused = true)]
async fn lost_verdict_gives_the_heights_back_and_settles_last() {
    let mut world = World::new(sends(dummies(40, 100)), Pool::Held).await;
    let _task = world.fetch(1, 40, 4_000);
    let (first, reply) = world.next_piece().await;
    let (second, other) = world.next_piece().await;
    assert_eq!(words(&world.report().await), "arrived 1..=32");
    assert_eq!(words(&world.report().await), "arrived 33..=40");
    assert_eq!(words(&world.report().await), "ended Closed", "before the verdicts are in");
    drop((second, other));
    assert_eq!(words(&world.report().await), "verified 33..=40: ");
    assert_eq!(world.budget.gauge().used, 3_200);
    drop((first, reply));
    assert_eq!(world.reports().await, ["verified 1..=32: ", "settled"]);
    assert_eq!(world.evidence().await, ["replied 40 of 40"], "nobody is to blame");
    assert_eq!(world.budget.gauge().used, 0);
}

#[tokio::test(start_paused = true)]
async fn aborted_task_gives_its_bytes_back_and_says_nothing_more() {
    let sent = || stream_of(dummies(40, 100)).chain(stream::pending()).boxed();
    let mut world = World::new(NetworkDouble::new(move |_, _| Ok(sent())), Pool::Held).await;
    let task = world.fetch(1, 70, 7_000);
    let (segment, reply) = world.next_piece().await;
    assert_eq!(words(&world.report().await), "arrived 1..=32");
    assert_eq!(world.budget.gauge().used, 7_000);
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    assert_eq!(world.budget.gauge().used, 3_200, "what is being verified is still held");
    drop((segment, reply));
    assert_eq!(world.budget.gauge().used, 0);
    sleep(DEADLINE).await;
    assert!(world.reports.try_recv().is_err());
    assert!(world.evidence().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn stopped_task_receives_no_more_and_what_was_received_is_still_verified() {
    let sent = || stream_of(dummies(40, 100)).chain(stream::pending()).boxed();
    let mut world = World::new(NetworkDouble::new(move |_, _| Ok(sent())), Pool::Held).await;
    let task = world.fetch(1, 70, 7_000);
    let (segment, reply) = world.next_piece().await;
    assert_eq!(words(&world.report().await), "arrived 1..=32");
    drop(world.running.take());
    assert_eq!(words(&world.report().await), "ended Cancelled");
    assert_eq!(world.budget.gauge().used, 3_200, "only what is being verified is held");
    drop(segment);
    reply.send(Verdict { good: Vec::new(), faults: Vec::new() }).unwrap();
    assert_eq!(world.reports().await, ["verified 1..=32: ", "settled"]);
    task.await.unwrap();
    let evidence = world.evidence().await;
    assert!(evidence.iter().all(|told| told.starts_with("delivered")), "{evidence:?}");
}

#[tokio::test(start_paused = true)]
async fn few_blocks_of_a_reply_that_stalls_go_on_after_a_moment() {
    let sent = || stream_of(dummies(3, 100)).chain(stream::pending()).boxed();
    let mut world = World::new(NetworkDouble::new(move |_, _| Ok(sent())), Pool::Held).await;
    let began = Instant::now();
    let _task = world.fetch(1, 70, 7_000);
    let (segment, _) = world.next_piece().await;
    assert_eq!((segment.range.count(), began.elapsed()), (3, PIECE_WAIT));
}

#[tokio::test(start_paused = true)]
async fn short_memory_pauses_reading_and_the_peer_is_not_charged() {
    let read = Arc::new(AtomicU64::new(0));
    let network = NetworkDouble::new({
        let read = Arc::clone(&read);
        move |_, _| {
            let read = Arc::clone(&read);
            let count = move |block| {
                read.fetch_add(1, Ordering::SeqCst);
                block
            };
            Ok(stream::iter(dummies(10, 100)).map(count).boxed())
        }
    });
    let mut world = World::new(network, Pool::Held).await;
    world.budget = ByteBudget::new(1_000);
    // Two blocks fit, the third does not.
    let others = world.budget.try_reserve(Height::new(1), 800).unwrap();
    let _task = world.fetch(50, 10, 200);
    sleep(1_000 * DEADLINE).await;
    assert_eq!(read.load(Ordering::SeqCst), 3, "reading did not stop");
    assert!(world.reports.try_recv().is_err(), "something was reported while it waited");
    assert!(world.budget.gauge().peak <= 1_000);
    drop(others);
    let (segment, _) = world.next_piece().await;
    assert_eq!((segment.range.count(), segment.permit.bytes()), (10, 1_000));
    drop(segment);
    let reports = world.reports().await;
    assert!(reports.contains(&"ended Closed".to_owned()), "{reports:?}");
    assert_eq!(world.evidence().await, ["replied 10 of 10"]);
}

#[tokio::test(start_paused = true)]
async fn reply_that_becomes_the_front_waits_for_memory_no_longer() {
    let mut world = World::new(sends(dummies(10, 100)), Pool::Held).await;
    world.budget = ByteBudget::new(1_000);
    let _others = world.budget.try_reserve(Height::new(1), 900).unwrap();
    let _task = world.fetch(50, 10, 100);
    sleep(1_000 * DEADLINE).await;
    assert!(world.verify.try_recv().is_err());
    world.budget.set_front(Height::new(50));
    let (segment, _) = world.next_piece().await;
    assert_eq!(segment.range.count(), 10);
}

#[tokio::test(start_paused = true)]
async fn slot_at_the_peer_is_free_before_the_verdicts_are_in() {
    let mut world = World::new(sends(dummies(1, 100)), Pool::Held).await;
    let mut held = Vec::new();
    for _ in 0..40 {
        // More than may be open at one peer at once.
        let task = world.fetch(1, 1, 100);
        held.push((world.next_piece().await, task));
    }
    assert_eq!(world.network.asked().len(), 40);
}
