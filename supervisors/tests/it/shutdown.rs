//! How trees begin and end.

use std::sync::Arc;
use std::time::Duration;

use supervisors::{
    CallError, ChildExit, Directive, Report, SendError, ShutdownError, StartError, Strategy,
    Supervisor, SupervisorExit,
};
use tokio::time::Instant;

use crate::probe::{
    AMPLE, Block, GRACE, Journal, Probe, ProbeError, ProbeMsg, SECOND, Start, child, echo, ms,
    root, slow_backoff, until_scheduled,
};

#[tokio::test(start_paused = true)]
async fn shutdown_stops_children_in_reverse_order_each_awaited() {
    let journal = Journal::default();
    let (a, a_spec) = child("a", &journal);
    let (b, b_spec) = child("b", &journal);
    let spec = root(Strategy::OneForOne, AMPLE).child(a_spec).child(b_spec);
    let tree = Supervisor::start(spec).await.unwrap();
    tree.shutdown(SECOND).await.unwrap();
    let expected = ["a up", "b up", "b stopped", "b gone", "a stopped", "a gone"];
    assert_eq!(journal.take(), expected);
    assert!(matches!(tree.wait().await, SupervisorExit::Shutdown));
    assert_eq!(a.cast(ProbeMsg::Quit), Err(SendError::Stopped));
    assert_eq!(echo(&b).await, Err(CallError::Stopped));
    assert_eq!(tree.shutdown(SECOND).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn handles_of_an_ended_tree_keep_nothing_of_what_its_factories_hold() {
    let journal = Journal::default();
    let (a, a_spec) = child("a", &journal);
    let store = Arc::new(());
    let held = Arc::clone(&store);
    let spec = root(Strategy::OneForOne, AMPLE).child(a_spec.on_exit(move |_| {
        let _ = &held;
        Directive::ByRestartKind
    }));
    let tree = Supervisor::start(spec).await.unwrap();
    assert_eq!(Arc::strong_count(&store), 2);
    tree.shutdown(SECOND).await.unwrap();
    assert_eq!(Arc::strong_count(&store), 1);
    drop((a, tree));
}

#[tokio::test(start_paused = true)]
async fn shutdown_kills_a_hanging_child_after_its_grace() {
    let journal = Journal::default();
    let (a, a_spec) = child("a", &journal);
    let (b, b_spec) = child("b", &journal);
    let spec = root(Strategy::OneForOne, AMPLE).child(a_spec).child(b_spec);
    let tree = Supervisor::start(spec).await.unwrap();
    b.cast(ProbeMsg::Hang).unwrap();
    a.running(SECOND).await.unwrap();
    tokio::task::yield_now().await;
    let before = Instant::now();
    tree.shutdown(SECOND).await.unwrap();
    assert!(before.elapsed() >= GRACE);
    assert_eq!(journal.take(), ["a up", "b up", "b gone", "a stopped", "a gone"]);
}

#[tokio::test(start_paused = true)]
async fn shutdown_past_its_deadline_kills_what_is_left() {
    let journal = Journal::default();
    let (_a, a_spec) = child("a", &journal);
    let (b, b_spec) = child("b", &journal);
    let spec = root(Strategy::OneForOne, AMPLE).child(a_spec).child(b_spec);
    let tree = Supervisor::start(spec).await.unwrap();
    b.cast(ProbeMsg::Hang).unwrap();
    assert_eq!(tree.shutdown(ms(100)).await, Err(ShutdownError::Forced));
    let mut ends = journal.take().split_off(2);
    ends.sort();
    assert_eq!(ends, ["a gone", "b gone"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_child_that_blocks_its_thread_is_named_and_its_end_awaited() {
    let journal = Journal::default();
    let (a, spec) = child("a", &journal);
    let tree = Supervisor::start(root(Strategy::OneForOne, AMPLE).child(spec)).await.unwrap();
    let (block, inside, let_go) = Block::new();
    a.cast(ProbeMsg::Block(block)).unwrap();
    inside.await.unwrap();
    let outcome = tree.shutdown(ms(0)).await;
    assert_eq!(outcome, Err(ShutdownError::StillRunning { children: vec!["a"] }));
    let_go.send(()).unwrap();
    tree.wait().await;
    assert_eq!(journal.take().last().map(String::as_str), Some("a gone"));
}

#[tokio::test(start_paused = true)]
async fn shutdown_does_not_wait_for_a_delayed_restart() {
    let (a, spec) = child("a", &Journal::default());
    let spec = root(Strategy::OneForOne, AMPLE).child(spec.backoff(slow_backoff()));
    let tree = Supervisor::start(spec).await.unwrap();
    let mut reports = tree.reports();
    a.cast(ProbeMsg::Panic).unwrap();
    until_scheduled(&mut reports).await;
    let before = Instant::now();
    tree.shutdown(SECOND).await.unwrap();
    assert!(before.elapsed() < ms(10));
}

#[tokio::test(start_paused = true)]
async fn shutdown_gives_up_a_start_that_hangs() {
    let journal = Journal::default();
    let probe = Probe::new("a", &journal).plan(|start| match start {
        1 => Start::Succeed,
        _ => Start::Hang,
    });
    let a = probe.handle();
    let spec = root(Strategy::OneForOne, AMPLE).child(probe.spec(&a));
    let tree = Supervisor::start(spec).await.unwrap();
    a.cast(ProbeMsg::Panic).unwrap();
    tokio::time::sleep(ms(100)).await;
    tree.shutdown(ms(100)).await.unwrap();
    assert_eq!(journal.take(), ["a up", "a gone", "a gone"]);
}

#[tokio::test(start_paused = true)]
async fn a_failing_first_start_stops_the_others_in_reverse_and_names_the_child() {
    let journal = Journal::default();
    let (a, a_spec) = child("a", &journal);
    let (b, b_spec) = child("b", &journal);
    let probe = Probe::new("c", &journal).plan(|_| Start::Fail);
    let c = probe.handle();
    let (d, d_spec) = child("d", &journal);
    let spec = root(Strategy::OneForOne, AMPLE)
        .child(a_spec)
        .child(b_spec)
        .child(probe.spec(&c))
        .child(d_spec);
    let error = Supervisor::start(spec).await.unwrap_err();
    let StartError::Child { id: "c", exit: ChildExit::StartFailed(cause) } = &error else {
        panic!("{error:?}")
    };
    assert_eq!(cause.downcast_ref(), Some(&ProbeError { code: 0 }));
    let lines = journal.take();
    let (stops, gone): (Vec<_>, Vec<_>) =
        lines[3..].iter().map(String::as_str).partition(|line| line.ends_with("stopped"));
    assert_eq!(lines[..3], ["a up", "b up", "c gone"]);
    assert_eq!((stops, gone), (vec!["b stopped", "a stopped"], vec!["b gone", "a gone"]));
    for handle in [&a, &b, &c, &d] {
        assert_eq!(handle.cast(ProbeMsg::Quit), Err(SendError::Stopped));
    }
}

#[tokio::test(start_paused = true)]
async fn a_first_start_that_hangs_is_given_up() {
    let probe = Probe::new("a", &Journal::default()).plan(|_| Start::Hang);
    let a = probe.handle();
    let spec = root(Strategy::OneForOne, AMPLE).child(probe.spec(&a).start_within(SECOND));
    let error = Supervisor::start(spec).await.unwrap_err();
    let StartError::Child { id: "a", exit } = error else { panic!("{error:?}") };
    assert!(matches!(exit, ChildExit::StartTimedOut(SECOND)), "{exit:?}");
}

#[tokio::test(start_paused = true)]
async fn dropping_a_start_leaves_nothing_behind() {
    let journal = Journal::default();
    let (_a, a_spec) = child("a", &journal);
    let probe = Probe::new("b", &journal).plan(|_| Start::Hang);
    let b = probe.handle();
    let spec = root(Strategy::OneForOne, AMPLE).child(a_spec).child(probe.spec(&b));
    assert!(tokio::time::timeout(SECOND, Supervisor::start(spec)).await.is_err());
    tokio::time::sleep(ms(1)).await;
    let mut ends = journal.take().split_off(1);
    ends.sort();
    assert_eq!(ends, ["a gone", "b gone"]);
}

#[tokio::test(start_paused = true)]
async fn two_children_of_one_name_are_refused() {
    let journal = Journal::default();
    let (_a, one) = child("a", &journal);
    let (_b, two) = child("a", &journal);
    let spec = root(Strategy::OneForOne, AMPLE).child(one).child(two);
    let error = Supervisor::start(spec).await.unwrap_err();
    assert!(matches!(error, StartError::DuplicateChild { id: "a" }));
    assert_eq!(journal.take(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_killed_root_takes_its_children_with_it_and_is_lost() {
    let journal = Journal::default();
    let (a, spec) = child("a", &journal);
    let tree = Supervisor::start(root(Strategy::OneForOne, AMPLE).child(spec)).await.unwrap();
    tree.handle().kill();
    assert!(matches!(tree.wait().await, SupervisorExit::Lost));
    assert_eq!(journal.take(), ["a up", "a gone"]);
    assert_eq!(a.cast(ProbeMsg::Quit), Err(SendError::Stopped));
}

#[tokio::test(start_paused = true)]
async fn a_root_stopped_through_ractor_still_stops_its_children_in_order() {
    let journal = Journal::default();
    let (a, a_spec) = child("a", &journal);
    let (_b, b_spec) = child("b", &journal);
    let spec = root(Strategy::OneForOne, AMPLE).child(a_spec).child(b_spec);
    let tree = Supervisor::start(spec).await.unwrap();
    a.cast(ProbeMsg::StopParent).unwrap();
    assert!(matches!(tree.wait().await, SupervisorExit::Shutdown));
    // ractor hands the states of the children to the supervisor, which is past looking at them:
    // they are dropped with it.
    let expected = ["a up", "b up", "b stopped", "a stopped", "b gone", "a gone"];
    assert_eq!(journal.take(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_slow_observer_is_told_how_many_reports_it_missed() {
    let (a, spec) = child("a", &Journal::default());
    let tree = Supervisor::start(root(Strategy::OneForOne, AMPLE).child(spec)).await.unwrap();
    let (mut slow, mut quick) = (tree.reports(), tree.reports());
    for number in 2..402 {
        a.kill();
        crate::probe::until_started(&mut quick, "a", number).await;
        tokio::time::advance(Duration::from_secs(30)).await;
    }
    assert!(matches!(slow.next().await, Some(Report::Lagged { missed }) if missed > 0));
    assert!(matches!(slow.next().await, Some(report) if !matches!(report, Report::Lagged { .. })));
}
