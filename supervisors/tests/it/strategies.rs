//! Siblings that are restarted together.

use supervisors::{
    CallError, ChildHandle, ChildStatus, Directive, EscalationCause, Intensity, Report,
    ReportStream, SendError, Strategy, Supervisor, SupervisorExit, SupervisorHandle,
};

use crate::probe::{
    AMPLE, GRACE, Journal, ProbeError, ProbeMsg, SECOND, child, echo, root, until, until_scheduled,
    until_started,
};

struct Trio {
    journal: Journal,
    a: ChildHandle<ProbeMsg>,
    b: ChildHandle<ProbeMsg>,
    c: ChildHandle<ProbeMsg>,
    tree: SupervisorHandle,
    reports: ReportStream,
}

async fn trio(strategy: Strategy, intensity: Intensity) -> Trio {
    let journal = Journal::default();
    let (a, a_spec) = child("a", &journal);
    let (b, b_spec) = child("b", &journal);
    let (c, c_spec) = child("c", &journal);
    let corrupt = |exit: &supervisors::ChildExit| match exit.downcast_ref::<ProbeError>() {
        Some(ProbeError { code: 13 }) => Directive::Escalate,
        Some(_) | None => Directive::ByRestartKind,
    };
    let spec = root(strategy, intensity).child(a_spec).child(b_spec.on_exit(corrupt)).child(c_spec);
    let reports = spec.reports().subscribe();
    let tree = Supervisor::start(spec).await.unwrap();
    assert_eq!(journal.take(), ["a up", "b up", "c up"]);
    Trio { journal, a, b, c, tree, reports }
}

#[tokio::test(start_paused = true)]
async fn one_for_one_leaves_the_siblings_alone() {
    let mut trio = trio(Strategy::OneForOne, AMPLE).await;
    trio.b.cast(ProbeMsg::Panic).unwrap();
    until_started(&mut trio.reports, "b", 2).await;
    assert_eq!(trio.journal.take(), ["b gone", "b up"]);
    assert_eq!((echo(&trio.a).await, echo(&trio.b).await), (Ok(1), Ok(2)));
}

#[tokio::test(start_paused = true)]
async fn rest_for_one_restarts_those_started_later() {
    let mut trio = trio(Strategy::RestForOne, AMPLE).await;
    trio.b.cast(ProbeMsg::Panic).unwrap();
    until_started(&mut trio.reports, "c", 2).await;
    assert_eq!(trio.journal.take(), ["b gone", "c stopped", "c gone", "b up", "c up"]);
    assert_eq!(echo(&trio.a).await, Ok(1));
    let restarts: Vec<_> =
        trio.tree.children().await.unwrap().iter().map(|view| view.restarts).collect();
    assert_eq!(restarts, [0, 1, 1]);
}

#[tokio::test(start_paused = true)]
async fn one_for_all_stops_in_reverse_and_starts_in_order() {
    let mut trio = trio(Strategy::OneForAll, AMPLE).await;
    trio.b.kill();
    until_started(&mut trio.reports, "c", 2).await;
    let expected = ["b gone", "c stopped", "c gone", "a stopped", "a gone", "a up", "b up", "c up"];
    assert_eq!(trio.journal.take(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_hanging_sibling_is_killed_after_its_grace_while_the_supervisor_answers() {
    let mut trio = trio(Strategy::OneForAll, AMPLE).await;
    trio.c.cast(ProbeMsg::Hang).unwrap();
    trio.a.cast(ProbeMsg::Panic).unwrap();
    until_scheduled(&mut trio.reports).await;
    let status: Vec<_> =
        trio.tree.children().await.unwrap().iter().map(|view| view.status).collect();
    assert_eq!(status, [ChildStatus::Waiting, ChildStatus::Running, ChildStatus::Stopping]);
    assert_eq!(trio.c.cast(ProbeMsg::Quit), Err(SendError::Restarting));
    let exceeded = until(&mut trio.reports, |report| {
        let Report::GraceExceeded { id, grace, .. } = report else { return None };
        Some((*id, *grace))
    });
    assert_eq!(exceeded.await, ("c", GRACE));
    until_started(&mut trio.reports, "c", 2).await;
    let expected = ["a gone", "c gone", "b stopped", "b gone", "a up", "b up", "c up"];
    assert_eq!(trio.journal.take(), expected);
}

#[tokio::test(start_paused = true)]
async fn shutdown_is_heeded_amid_a_group_restart() {
    let mut trio = trio(Strategy::OneForAll, AMPLE).await;
    trio.c.cast(ProbeMsg::Hang).unwrap();
    trio.a.cast(ProbeMsg::Panic).unwrap();
    until_scheduled(&mut trio.reports).await;
    trio.tree.shutdown(SECOND).await.unwrap();
    assert_eq!(trio.journal.take(), ["a gone", "c gone", "b stopped", "b gone"]);
}

#[tokio::test(start_paused = true)]
async fn a_spent_budget_stops_everything_and_tells_why() {
    let budget = Intensity { max_restarts: 2, within: SECOND };
    let mut trio = trio(Strategy::OneForOne, budget).await;
    for number in 2..=3 {
        trio.b.cast(ProbeMsg::Panic).unwrap();
        until_started(&mut trio.reports, "b", number).await;
    }
    trio.journal.take();
    trio.b.cast(ProbeMsg::Fail { code: 4 }).unwrap();
    let SupervisorExit::Escalated(why) = trio.tree.wait().await else { panic!("no escalation") };
    assert_eq!((why.supervisor, why.child, why.restarts), ("root", "b", 3));
    assert_eq!(why.cause, EscalationCause::IntensityExceeded);
    assert_eq!(why.exit.downcast_ref(), Some(&ProbeError { code: 4 }));
    let expected = ["b gone", "c stopped", "c gone", "a stopped", "a gone"];
    assert_eq!(trio.journal.take(), expected);
    for handle in [&trio.a, &trio.b, &trio.c] {
        assert_eq!(echo(handle).await, Err(CallError::Stopped));
    }
    assert_eq!(trio.tree.children().await, Err(CallError::Stopped));
    until(&mut trio.reports, |r| matches!(r, Report::Escalated(_)).then_some(())).await;
    until(&mut trio.reports, |r| matches!(r, Report::Stopped { .. }).then_some(())).await;
}

#[tokio::test(start_paused = true)]
async fn a_hook_escalates_by_the_type_of_the_error() {
    let mut trio = trio(Strategy::OneForOne, AMPLE).await;
    trio.b.cast(ProbeMsg::Fail { code: 12 }).unwrap();
    until_started(&mut trio.reports, "b", 2).await;
    trio.b.cast(ProbeMsg::Fail { code: 13 }).unwrap();
    let SupervisorExit::Escalated(why) = trio.tree.wait().await else { panic!("no escalation") };
    assert_eq!((why.child, why.cause), ("b", EscalationCause::Directive));
    assert_eq!(why.exit.downcast_ref(), Some(&ProbeError { code: 13 }));
}
