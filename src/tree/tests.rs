mod failing;
mod outliving;
mod production;

use std::{
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    time::Duration,
};

use futures::{FutureExt as _, StreamExt as _, future::BoxFuture};
use supervisors::{ChildError, EscalationCause, Report, SendError, SupervisorExit};

use super::*;
use crate::{
    adapters::memory::MemoryJournal,
    config::SyncConfig,
    coordinator::{Command, StallReason},
    doubles::{
        ChainDouble, NetworkDouble, ResourcesDouble, StarterDouble, Write, blocks, peer, stream_of,
    },
    node::{Node, StopError},
    ports::{
        BlockSource, ChainError, InlineCompute, NetworkError, NetworkEvents, NetworkStarter,
        OsEntropy, PeerNetwork, ResourceSample, SystemClock,
    },
    types::{BlockRef, BlockRoot, Height},
};

/// A node with one honest peer over a chain whose writes follow `script`.
async fn node(script: impl IntoIterator<Item = Write>) -> (Node, Arc<ChainDouble>) {
    node_over(NetworkDouble::honest(), script).await
}

async fn node_over(
    network: Arc<NetworkDouble>,
    script: impl IntoIterator<Item = Write>,
) -> (Node, Arc<ChainDouble>) {
    let starter = Arc::new(StarterDouble { network, peers: vec![peer(1)] });
    node_with(starter, script).await
}

async fn node_with(
    network: Arc<dyn NetworkStarter>,
    script: impl IntoIterator<Item = Write>,
) -> (Node, Arc<ChainDouble>) {
    node_on(Arc::new(ResourcesDouble::plenty()), network, script).await
}

async fn node_on(
    machine: Arc<ResourcesDouble>,
    network: Arc<dyn NetworkStarter>,
    script: impl IntoIterator<Item = Write>,
) -> (Node, Arc<ChainDouble>) {
    let chain = Arc::new(ChainDouble::new(script));
    let ports = Ports {
        spec: Arc::clone(&blocks().spec),
        verifier: Arc::clone(&blocks().verifier),
        chain: chain.clone(),
        journal: Arc::new(MemoryJournal::default()),
        network,
        compute: Arc::new(InlineCompute),
        entropy: Arc::new(OsEntropy),
        clock: Arc::new(SystemClock::start()),
        resources: machine,
    };
    (Node::start(SyncConfig::default(), ports).await.unwrap(), chain)
}

/// Starts networks that keep what they are given to serve.
#[derive(Default)]
struct Serving {
    source: Mutex<Option<Arc<dyn BlockSource>>>,
}

impl NetworkStarter for Serving {
    fn start(
        &self,
        source: Arc<dyn BlockSource>,
        _: Arc<dyn NetworkEvents>,
    ) -> BoxFuture<'static, Result<Arc<dyn PeerNetwork>, NetworkError>> {
        *self.source.lock().unwrap() = Some(source);
        let network: Arc<dyn PeerNetwork> = NetworkDouble::honest();
        futures::future::ready(Ok(network)).boxed()
    }

    fn ended(&self) -> BoxFuture<'static, ()> {
        futures::future::ready(()).boxed()
    }
}

async fn until_synced(node: &Node, height: u64) {
    let mut status = node.watch();
    status.wait_for(|status| status.current_height == Height::new(height)).await.unwrap();
}

fn written(chain: &ChainDouble) -> Vec<u64> {
    chain.written().concat().into_iter().map(Height::get).collect()
}

fn io_error() -> ChainError {
    ChainError::Io { action: "writing".to_owned(), source: std::io::Error::other("disk full") }
}

fn not_next() -> ChainError {
    let block = BlockRef { height: Height::new(1), root: BlockRoot::ZERO };
    ChainError::NotNext { head: block, offered: block }
}

#[tokio::test(start_paused = true)]
async fn whole_node_over_doubles_syncs() {
    let (node, chain) = node([]).await;
    node.start_sync(None).await.unwrap();
    until_synced(&node, 100).await;
    assert_eq!(written(&chain), (1..=100).collect::<Vec<_>>());
    assert_eq!(chain.head(), blocks().at(100).block_ref());
    node.shutdown(Duration::from_secs(10)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn broken_store_ends_the_whole_tree_with_the_reason() {
    let (node, chain) = node([Write::Fails(io_error())]).await;
    let mut reports = node.reports();
    node.start_sync(None).await.unwrap();
    let SupervisorExit::Escalated(escalation) = node.ended().await else {
        panic!("the tree must not go on over a broken store");
    };
    assert_eq!(escalation.child, Child::BlockImporter.id());
    assert_eq!(escalation.cause, EscalationCause::Directive);
    let failure = escalation.exit.downcast_ref::<StoreFailure>().expect("the type survives");
    assert!(matches!(failure.0, ChainError::Io { .. }));
    assert!(chain.written().is_empty(), "it was written on");
    for child in Child::ALL {
        assert_eq!(node.incarnation(child), 1, "{child} was started again");
        assert!(!node.kill(child), "{child} is still up");
    }
    let address = crate::types::Multiaddr::empty();
    assert_eq!(node.peer_discovered(address), Err(SendError::Stopped));
    let mut stopped = Vec::new();
    while let Some(report) = reports.next().await {
        match report {
            Report::Exited { id, exit: ChildExit::Stopped, .. } => stopped.push(id),
            Report::Stopped { .. } => break,
            Report::Started { .. }
            | Report::Exited { .. }
            | Report::RestartScheduled { .. }
            | Report::GraceExceeded { .. }
            | Report::Hung { .. }
            | Report::Stuck { .. }
            | Report::LeftDown { .. }
            | Report::Escalated(_)
            | Report::Lagged { .. } => {}
        }
    }
    let mut others: Vec<_> = Child::ALL.map(Child::id).to_vec();
    others.retain(|id| *id != Child::BlockImporter.id());
    others.reverse();
    assert_eq!(stopped, others, "stopped in order, bottom to top");
}

#[tokio::test(start_paused = true)]
async fn store_that_panics_ends_the_whole_tree() {
    let (node, _) = node([Write::Panics]).await;
    node.start_sync(None).await.unwrap();
    let exit = node.ended().await;
    let SupervisorExit::Escalated(escalation) = exit else { panic!("{exit:?}") };
    assert!(escalation.exit.downcast_ref::<StoreFailure>().is_some());
}

#[tokio::test(start_paused = true)]
async fn lost_race_for_the_head_restarts_the_importer_and_the_sync_completes() {
    let (node, chain) = node([Write::Fails(not_next()), Write::Fails(not_next())]).await;
    node.start_sync(None).await.unwrap();
    until_synced(&node, 100).await;
    assert_eq!(node.incarnation(Child::BlockImporter), 3);
    assert_eq!(written(&chain), (1..=100).collect::<Vec<_>>());
    node.shutdown(Duration::from_secs(10)).await.unwrap();
}

/// No virtual time: it stands still while the write waits.
#[tokio::test]
async fn importer_killed_in_the_middle_of_a_write_imports_nothing_twice() {
    let (go_on, wait) = mpsc::channel();
    let (node, chain) = node([Write::Waits(wait)]).await;
    node.start_sync(None).await.unwrap();
    chain.begun.notified().await;
    assert!(node.kill(Child::BlockImporter));
    go_on.send(()).unwrap();
    until_synced(&node, 100).await;
    assert_eq!(node.incarnation(Child::BlockImporter), 2);
    assert_eq!(written(&chain), (1..=100).collect::<Vec<_>>());
    node.shutdown(Duration::from_secs(10)).await.unwrap();
}

/// Neither the check of the peer nor a search for its head nor a fetch waits for ever.
#[tokio::test(start_paused = true)]
async fn network_that_panics_now_and_then_does_not_stop_the_sync() {
    let requests = AtomicU64::new(0);
    let network = NetworkDouble::new(move |_, range| {
        // The check of the peer, the search for its head, and fetches.
        let number = requests.fetch_add(1, Ordering::SeqCst);
        assert!(![0, 2, 20, 21, 24].contains(&number), "the network panics");
        let held = range.heights().filter(|height| (1..=100).contains(&height.get()));
        let reply: Vec<_> = held.map(|height| Ok(blocks().raw(height.get()))).collect();
        Ok(stream_of(reply))
    });
    let (node, chain) = node_over(network, []).await;
    node.start_sync(None).await.unwrap();
    let synced = tokio::time::timeout(Duration::from_secs(600), until_synced(&node, 100)).await;
    assert!(synced.is_ok(), "{:?} {:?}", node.status(), node.window().await);
    assert_eq!(written(&chain), (1..=100).collect::<Vec<_>>());
    for child in Child::ALL {
        assert_eq!(node.incarnation(child), 1, "{child} was started again");
    }
    node.shutdown(Duration::from_secs(10)).await.unwrap();
    assert_eq!(node.budget().used, 0);
}

#[tokio::test(start_paused = true)]
async fn stalled_sync_says_within_five_seconds_which_block_it_waits_for_and_from_whom() {
    // Single blocks, as the checks and searches ask for, are answered; ranges never.
    let network = NetworkDouble::new(|_, range| {
        let held = range.heights().filter(|height| (1..=100).contains(&height.get()));
        let reply: Vec<_> = held.map(|height| Ok(blocks().raw(height.get()))).collect();
        let silent = futures::stream::pending().boxed();
        Ok(if range.count() == 1 { stream_of(reply) } else { silent })
    });
    let (node, _) = node_over(network, []).await;
    node.start_sync(None).await.unwrap();
    let mut status = node.watch();
    status.wait_for(|status| status.target_height == Height::new(100)).await.unwrap();
    assert_eq!(node.status().stalled, None);
    let began = tokio::time::Instant::now();
    let stalled = |status: &SyncStatus| {
        status.stalled.as_ref().is_some_and(|stall| stall.reason != StallReason::Scheduler)
    };
    let status = status.wait_for(stalled).await.unwrap().clone();
    assert!(began.elapsed() <= Duration::from_secs(5), "{:?}", began.elapsed());
    // Ranges of one block, as the first ones are, came.
    let height = status.current_height.next().unwrap();
    let expected = StallReason::Reply { height, peer: peer(1).to_string() };
    assert_eq!(status.stalled.unwrap().reason, expected);
    assert_eq!(status.eta_seconds, None, "nobody knows when a sync that stands still is there");
    node.shutdown(Duration::from_secs(10)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn sync_that_moves_tells_when_it_is_there_and_one_that_is_paused_does_not() {
    // Ten blocks a second, but for the single ones that the checks and searches ask for.
    let began = tokio::time::Instant::now();
    let network = NetworkDouble::new(move |_, range| {
        let held = range.heights().filter(|height| (1..=100).contains(&height.get()));
        let at = move |height: Height| match range.count() {
            1 => began,
            _ => began + Duration::from_millis(100) * u32::try_from(height.get()).unwrap(),
        };
        let blocks =
            futures::stream::iter(held.collect::<Vec<_>>()).then(move |height| async move {
                tokio::time::sleep_until(at(height)).await;
                Ok(blocks().raw(height.get()))
            });
        Ok(blocks.boxed())
    });
    let (node, _) = node_over(network, []).await;
    node.start_sync(None).await.unwrap();
    let mut status = node.watch();
    let half = status.wait_for(|status| status.current_height >= Height::new(50)).await.unwrap();
    let (low, high) = (half.eta_low_seconds.unwrap(), half.eta_high_seconds.unwrap());
    assert!(low <= half.eta_seconds.unwrap() && half.eta_seconds.unwrap() <= high);
    assert!((5.0..=10.2).contains(&half.rate_window_seconds), "{half:?}");
    drop(half);
    let at_half = tokio::time::Instant::now();
    node.command(Command::Pause).await.unwrap();
    assert_eq!(node.status().eta_seconds, None);
    node.command(Command::Resume).await.unwrap();
    until_synced(&node, 100).await;
    let took = at_half.elapsed().as_secs_f64();
    assert!((low..=high).contains(&took), "{took} is not within {low} to {high}");
    node.shutdown(Duration::from_secs(10)).await.unwrap();
}

#[test]
fn only_a_chain_that_moved_is_restarted_into() {
    let range = |height| ChainError::OutOfRange { height, oldest: height, head: height };
    let verdict = |error: Box<dyn std::error::Error + Send + Sync>| {
        never_into_a_broken_store(&ChildExit::Failed(ChildError::from(error)))
    };
    let table = [
        (not_next as fn() -> ChainError, Directive::ByRestartKind),
        (io_error, Directive::Escalate),
        (|| ChainError::Poisoned, Directive::Escalate),
        (|| ChainError::Corrupt("record".to_owned()), Directive::Escalate),
    ];
    for (error, directive) in table {
        assert_eq!(verdict(Box::new(StoreFailure(error()))), directive, "{}", error());
        assert_eq!(verdict(Box::new(JournalFailure(error()))), directive, "{}", error());
    }
    let outside = JournalFailure(range(Height::new(1)));
    // The chain was cut meanwhile.
    assert_eq!(verdict(Box::new(outside)), Directive::ByRestartKind);
    assert_eq!(verdict("a panic".into()), Directive::ByRestartKind);
    for exit in [ChildExit::Killed, ChildExit::Stopped] {
        assert_eq!(never_into_a_broken_store(&exit), Directive::ByRestartKind);
    }
}

#[tokio::test(start_paused = true)]
async fn disk_that_fails_is_not_read_for_each_request_of_a_peer() {
    let starter = Arc::new(Serving::default());
    let (node, chain) = node_with(starter.clone(), []).await;
    let read = |times: u32| {
        let source = starter.source.lock().unwrap().clone().expect("it serves");
        (0..times).filter(|_| source.read(Height::GENESIS, 1, 1).is_ok()).count()
    };
    assert_eq!(read(10), 10);
    *chain.failed_reads.lock().unwrap() = Some(0);
    assert_eq!(read(1_000), 0);
    assert!(node.kill(Child::PeerNetwork));
    while node.incarnation(Child::PeerNetwork) < 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(read(1_000), 0, "the network after it knows");
    assert_eq!(*chain.failed_reads.lock().unwrap(), Some(5));
    drop(starter.source.lock().unwrap().take());
    node.shutdown(Duration::from_secs(10)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn node_that_has_stopped_leaves_nobody_behind_who_reads_the_chain() {
    let starter = Arc::new(Serving::default());
    let (node, chain) = node_with(starter.clone(), []).await;
    let read_for_a_peer = starter.source.lock().unwrap().take();
    let stopping = tokio::time::Instant::now();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(3)).await;
        drop(read_for_a_peer);
    });
    node.shutdown(Duration::from_secs(10)).await.unwrap();
    assert_eq!(stopping.elapsed().as_secs(), 3);
    assert_eq!(Arc::strong_count(&chain), 1);
}

#[tokio::test(start_paused = true)]
async fn read_that_never_ends_does_not_keep_a_node_from_stopping() {
    let starter = Arc::new(Serving::default());
    let (node, _) = node_with(starter.clone(), []).await;
    let stopped = node.shutdown(Duration::from_secs(10)).await;
    assert!(matches!(stopped, Err(StopError::StillInUse { port: "chain", .. })), "{stopped:?}");
}

#[tokio::test(start_paused = true)]
async fn full_disk_holds_the_import_says_what_is_needed_and_room_lets_the_sync_go_on() {
    let machine = Arc::new(ResourcesDouble::plenty());
    let disk = |free| ResourceSample { memory_bytes: Some(0), disk_free_bytes: Some(free) };
    machine.set(Some(disk(1 << 20)));
    let starter =
        Arc::new(StarterDouble { network: NetworkDouble::honest(), peers: vec![peer(1)] });
    let (node, chain) = node_on(machine.clone(), starter, []).await;
    node.start_sync(None).await.unwrap();
    let mut status = node.watch();
    let short = status.wait_for(|status| !status.short_of.is_empty()).await.unwrap().clone();
    let told = short.short_of.first().unwrap().to_string();
    assert!(told.contains("1 MiB left") && told.contains("1280 MiB are free"), "{told}");
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(written(&chain).is_empty(), "it was imported onto a full disk");
    machine.set(Some(disk(2 << 30)));
    until_synced(&node, 100).await;
    status.wait_for(|status| status.short_of.is_empty()).await.unwrap();
    assert_eq!(written(&chain), (1..=100).collect::<Vec<_>>());
    for child in Child::ALL {
        assert_eq!(node.incarnation(child), 1, "{child} was started again");
    }
    node.shutdown(Duration::from_secs(10)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn memory_at_its_limit_lets_the_sync_crawl_and_not_stop() {
    let machine = Arc::new(ResourcesDouble::plenty());
    let memory = |used| ResourceSample { memory_bytes: Some(used), disk_free_bytes: None };
    machine.set(Some(memory(1 << 40)));
    let starter =
        Arc::new(StarterDouble { network: NetworkDouble::honest(), peers: vec![peer(1)] });
    let (node, chain) = node_on(machine, starter, []).await;
    while node.budget().limit > 0 {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    node.start_sync(None).await.unwrap();
    until_synced(&node, 100).await;
    assert_eq!(written(&chain), (1..=100).collect::<Vec<_>>());
    node.shutdown(Duration::from_secs(10)).await.unwrap();
}
