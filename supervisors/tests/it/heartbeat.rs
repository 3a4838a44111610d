//! Children that hang, and those that are struck down on purpose.

use std::sync::Mutex;
use std::time::Duration;

use supervisors::{
    CallError, ChildExit, ChildHandle, ChildSpec, EscalationCause, Heartbeat, Intensity, Report,
    ReportStream, SendError, StartError, Strategy, Strike, StruckDown, Supervisor, SupervisorExit,
    SupervisorHandle,
};
use tokio::time::{Instant, sleep, timeout};

use crate::probe::{
    AMPLE, Block, GRACE, HEARTBEAT, Journal, Probe, ProbeMsg, SECOND, Start, echo, ms, root, until,
    until_exited, until_started, watched,
};

struct Watched {
    tree: SupervisorHandle,
    child: ChildHandle<ProbeMsg>,
    reports: ReportStream,
    journal: Journal,
}

async fn start(intensity: Intensity) -> Watched {
    let journal = Journal::default();
    let (child, spec) = watched("a", &journal);
    let tree = Supervisor::start(root(Strategy::OneForOne, intensity).child(spec)).await.unwrap();
    Watched { reports: tree.reports(), tree, child, journal }
}

async fn until_hung(reports: &mut ReportStream) -> u64 {
    until(reports, |report| {
        let Report::Hung { incarnation, within, .. } = report else { return None };
        assert_eq!(*within, HEARTBEAT.within);
        Some(*incarnation)
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn child_that_hangs_is_noticed_killed_and_back_at_once() {
    let mut watched = start(AMPLE).await;
    sleep(ms(2_345)).await;
    let struck = Instant::now();
    assert!(watched.child.strike(Strike::Hang));
    assert_eq!(until_hung(&mut watched.reports).await, 1);
    let noticed = struck.elapsed();
    assert!(noticed >= HEARTBEAT.within, "{noticed:?}");
    assert!(noticed <= HEARTBEAT.every + HEARTBEAT.within + ms(1), "{noticed:?}");
    let exit = until_exited(&mut watched.reports, "a").await;
    assert!(matches!(exit, ChildExit::Hung(within) if within == HEARTBEAT.within), "{exit:?}");
    until_started(&mut watched.reports, "a", 2).await;
    assert!(struck.elapsed() - noticed <= ms(20), "{:?}", struck.elapsed());
    assert_eq!(echo(&watched.child).await, Ok(2));
    assert_eq!(watched.journal.take(), ["a up", "a gone", "a up"]);
    watched.tree.shutdown(SECOND).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn child_that_is_asked_without_a_pause_is_noticed_when_it_hangs() {
    let journal = Journal::default();
    let probe = Probe::new("a", &journal);
    let handle = probe.handle();
    let restless = Heartbeat { every: Duration::ZERO, within: SECOND };
    let spec = ChildSpec::watched(&handle, restless, move || (probe.clone(), ()));
    let tree = Supervisor::start(root(Strategy::OneForOne, AMPLE).child(spec)).await.unwrap();
    let mut reports = tree.reports();
    assert!(handle.strike(Strike::Hang));
    timeout(10 * SECOND, until_started(&mut reports, "a", 2)).await.expect("it is back");
    tree.shutdown(SECOND).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn child_that_answers_is_never_taken_for_hung() {
    let watched = start(AMPLE).await;
    sleep(Duration::from_secs(3_600)).await;
    assert_eq!(echo(&watched.child).await, Ok(1));
    watched.tree.shutdown(SECOND).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn struck_child_fails_in_the_way_that_it_was_struck() {
    let mut watched = start(AMPLE).await;
    assert!(watched.child.strike(Strike::Panic));
    let exit = until_exited(&mut watched.reports, "a").await;
    assert!(matches!(exit, ChildExit::Failed(_)), "{exit:?}");
    assert_eq!(exit.downcast_ref::<StruckDown>(), None, "a panic has no type");
    until_started(&mut watched.reports, "a", 2).await;
    assert!(watched.child.strike(Strike::Fail));
    let exit = until_exited(&mut watched.reports, "a").await;
    assert_eq!(exit.downcast_ref::<StruckDown>(), Some(&StruckDown));
    assert!(!watched.child.strike(Strike::Fail), "there is nobody to strike");
    until_started(&mut watched.reports, "a", 3).await;
    watched.tree.shutdown(SECOND).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn mailbox_of_a_hung_child_holds_one_question_and_callers_hear_of_its_end() {
    let mut watched = start(AMPLE).await;
    assert!(watched.child.strike(Strike::Hang));
    let waits = tokio::spawn({
        let child = watched.child.clone();
        async move { child.call(|reply| ProbeMsg::Echo { reply }, 10 * SECOND).await }
    });
    until_hung(&mut watched.reports).await;
    assert_eq!(waits.await.unwrap(), Err(CallError::Lost));
    watched.tree.shutdown(SECOND).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn child_that_hangs_again_and_again_ends_the_tree_with_the_reason() {
    let mut watched = start(Intensity { max_restarts: 1, within: Duration::from_secs(60) }).await;
    for incarnation in 1..=2 {
        until_up(&watched.child, incarnation).await;
        assert!(watched.child.strike(Strike::Hang));
        assert_eq!(until_hung(&mut watched.reports).await, incarnation);
    }
    let SupervisorExit::Escalated(why) = watched.tree.wait().await else { panic!("goes on") };
    assert_eq!((why.child, why.cause), ("a", EscalationCause::IntensityExceeded));
    assert!(matches!(why.exit, ChildExit::Hung(_)), "{why:?}");
    assert_eq!(watched.child.cast(ProbeMsg::Quit), Err(SendError::Stopped));
}

async fn until_up(child: &ChildHandle<ProbeMsg>, incarnation: u64) {
    while child.incarnation() < incarnation {
        sleep(ms(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn start_that_hangs_has_its_own_limit() {
    let journal = Journal::default();
    let probe = Probe::new("a", &journal).plan(|start| match start {
        2 => Start::Hang,
        _ => Start::Succeed,
    });
    let handle = probe.handle();
    let spec = ChildSpec::watched(&handle, HEARTBEAT, move || (probe.clone(), ()))
        .start_within(2 * HEARTBEAT.within);
    let tree = Supervisor::start(root(Strategy::OneForOne, AMPLE).child(spec)).await.unwrap();
    let mut reports = tree.reports();
    assert!(handle.strike(Strike::Fail));
    until_exited(&mut reports, "a").await;
    let exit = until_exited(&mut reports, "a").await;
    assert!(matches!(exit, ChildExit::StartTimedOut(_)), "{exit:?}");
    until_started(&mut reports, "a", 3).await;
    tree.shutdown(SECOND).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn hung_child_does_not_hold_up_a_shutdown_beyond_its_grace() {
    let watched = start(AMPLE).await;
    assert!(watched.child.strike(Strike::Hang));
    let stopping = Instant::now();
    watched.tree.shutdown(10 * SECOND).await.unwrap();
    assert!(stopping.elapsed() <= GRACE + ms(10), "{:?}", stopping.elapsed());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_asked_any_more_once_the_tree_has_ended() {
    let watched = start(AMPLE).await;
    sleep(ms(2_500)).await;
    watched.tree.shutdown(SECOND).await.unwrap();
    sleep(ms(1)).await;
    assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), 0);
}

/// In real time: far more than any step takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// A child that blocks its thread as `msg` has it is told as hung, then as stuck, and is back when
/// the thread is free. Real time: a thread that is blocked lets no virtual time pass.
async fn block_and_let_go(msg: impl FnOnce(Block) -> ProbeMsg) {
    let journal = Journal::default();
    let probe = Probe::new("a", &journal);
    let handle = probe.handle();
    let quick = Heartbeat { every: ms(50), within: SECOND };
    let spec = ChildSpec::watched(&handle, quick, move || (probe.clone(), ()));
    let tree = Supervisor::start(root(Strategy::OneForOne, AMPLE).child(spec)).await.unwrap();
    let mut reports = tree.reports();
    let (block, inside, let_go) = Block::new();
    handle.cast(msg(block)).unwrap();
    inside.await.unwrap();
    let stuck = until(&mut reports, |report| {
        assert!(!matches!(report, Report::Started { .. }), "two incarnations at once");
        let Report::Stuck { incarnation, .. } = report else { return None };
        Some(*incarnation)
    });
    assert_eq!(timeout(PATIENCE, stuck).await.expect("told as stuck"), 1);
    assert_eq!(handle.cast(ProbeMsg::Quit), Err(SendError::Restarting));
    let_go.send(()).unwrap();
    until_started(&mut reports, "a", 2).await;
    let answers = timeout(PATIENCE, async {
        // On a machine that stands still, the next one may be taken for hung as well.
        loop {
            match handle.call(|reply| ProbeMsg::Echo { reply }, PATIENCE).await {
                Ok(start) => return start,
                Err(_) => sleep(ms(1)).await,
            }
        }
    });
    assert!(answers.await.expect("it is back") >= 2);
    tree.shutdown(PATIENCE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn child_that_blocks_its_thread_is_told_as_hung_then_stuck_and_comes_back_when_it_lets_go() {
    block_and_let_go(ProbeMsg::Block).await;
}

/// Whom a task wakes just before it blocks its thread, tokio leaves waiting for that thread; and a
/// thread that was woken by a timer is the one that all timers wait for.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn child_that_blocks_its_thread_right_after_an_answer_is_told_as_well() {
    block_and_let_go(ProbeMsg::BlockOnceAsked).await;
}

/// Timers must go on already while the tree starts, and the first that is needed then is the limit
/// of a start.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn start_that_hangs_has_its_limit_also_when_a_child_before_it_blocks_its_thread() {
    let journal = Journal::default();
    let (first, spec) = watched("a", &journal);
    let (block, inside, let_go) = Block::new();

    let later = Probe::new("b", &journal).plan(|_| Start::Hang);
    let handle = later.handle();
    let hangs = ChildSpec::watched(&handle, HEARTBEAT, {
        let (block, first) = (Mutex::new(Some(block)), first.clone());
        move || {
            let block = block.lock().unwrap().take().expect("it is started once");
            let first = first.clone();
            tokio::spawn(async move {
                // The thread that a timer wakes is the one that all timers wait for.
                sleep(ms(50)).await;
                first.cast(ProbeMsg::Block(block)).unwrap();
            });
            (later.clone(), ())
        }
    })
    .start_within(10 * SECOND);
    let spec = root(Strategy::OneForOne, AMPLE).child(spec).child(hangs);
    let starting = tokio::spawn(Supervisor::start(spec));
    inside.await.unwrap();
    // Not a task: without timers it would wait for ever.
    let gone = std::thread::spawn(move || {
        let begun = std::time::Instant::now();
        let mut lines = Vec::new();
        while begun.elapsed() < PATIENCE && !lines.iter().any(|line| line == "b gone") {
            lines.extend(journal.take());
            std::thread::sleep(ms(1));
        }
        let_go.send(()).unwrap();
        lines
    });
    let failed = timeout(PATIENCE, starting).await.expect("the start ends").unwrap();
    let lines = gone.join().unwrap();
    assert!(lines.contains(&"b gone".to_owned()), "{lines:?}");
    assert!(matches!(failed, Err(StartError::Child { id: "b", .. })), "{failed:?}");
}
