//! Supervisors below supervisors.

use std::time::Duration;

use supervisors::{
    ChildExit, ChildHandle, ChildSpec, Escalation, Intensity, ReportStream, Reports, SendError,
    StartError, Strategy, Supervisor, SupervisorExit, SupervisorHandle, SupervisorMsg,
    SupervisorSpec,
};

use crate::probe::{
    AMPLE, Journal, Probe, ProbeError, ProbeMsg, SECOND, Start, child, echo, root, until_exited,
    until_started,
};

/// root -> a, inner -> (b, c)
struct Nest {
    journal: Journal,
    a: ChildHandle<ProbeMsg>,
    inner: ChildHandle<SupervisorMsg>,
    b: ChildHandle<ProbeMsg>,
    c: ChildHandle<ProbeMsg>,
    tree: SupervisorHandle,
    reports: ReportStream,
}

async fn nest(outer: Intensity, intensity: Intensity) -> Nest {
    let journal = Journal::default();
    let reports = Reports::default();
    let (a, a_spec) = child("a", &journal);
    let (b, b_spec) = child("b", &journal);
    let (c, c_spec) = child("c", &journal);
    let inner = SupervisorSpec::new("inner", Strategy::OneForOne, intensity)
        .reports_to(&reports)
        .child(b_spec)
        .child(c_spec);
    let inner_handle = inner.handle();
    let spec = root(Strategy::OneForOne, outer)
        .reports_to(&reports)
        .child(a_spec)
        .child(ChildSpec::supervisor(inner));
    let reports = reports.subscribe();
    let tree = Supervisor::start(spec).await.unwrap();
    assert_eq!(journal.take(), ["a up", "b up", "c up"]);
    Nest { journal, a, inner: inner_handle, b, c, tree, reports }
}

const NONE: Intensity = Intensity { max_restarts: 0, within: SECOND };

#[tokio::test(start_paused = true)]
async fn a_grandchild_is_restarted_by_its_own_supervisor() {
    let mut nest = nest(NONE, AMPLE).await;
    nest.b.cast(ProbeMsg::Panic).unwrap();
    until_started(&mut nest.reports, "b", 2).await;
    assert_eq!(nest.journal.take(), ["b gone", "b up"]);
    let views = nest.inner.children().await.unwrap();
    assert_eq!(
        views.iter().map(|view| (view.id, view.restarts)).collect::<Vec<_>>(),
        [("b", 1), ("c", 0)]
    );
}

#[tokio::test(start_paused = true)]
async fn shutdown_goes_bottom_up() {
    let nest = nest(AMPLE, AMPLE).await;
    nest.tree.shutdown(SECOND).await.unwrap();
    let expected = ["c stopped", "c gone", "b stopped", "b gone", "a stopped", "a gone"];
    assert_eq!(nest.journal.take(), expected);
    assert_eq!(nest.b.cast(ProbeMsg::Quit), Err(SendError::Stopped));
    assert_eq!(nest.inner.children().await, Err(supervisors::CallError::Stopped));
}

#[tokio::test(start_paused = true)]
async fn a_hanging_grandchild_is_killed_and_the_rest_stopped_in_order() {
    let nest = nest(AMPLE, AMPLE).await;
    nest.c.cast(ProbeMsg::Hang).unwrap();
    nest.tree.shutdown(SECOND).await.unwrap();
    assert_eq!(nest.journal.take(), ["c gone", "b stopped", "b gone", "a stopped", "a gone"]);
}

#[tokio::test(start_paused = true)]
async fn an_escalation_restarts_the_whole_subtree_and_reaches_the_parent_typed() {
    let mut nest = nest(AMPLE, NONE).await;
    nest.b.cast(ProbeMsg::Fail { code: 5 }).unwrap();
    let exit = until_exited(&mut nest.reports, "inner").await;
    let why = exit.downcast_ref::<Escalation>().expect("the parent sees the escalation");
    assert_eq!((why.supervisor, why.child, why.restarts), ("inner", "b", 1));
    assert_eq!(why.exit.downcast_ref(), Some(&ProbeError { code: 5 }));
    assert_eq!(nest.c.cast(ProbeMsg::Quit), Err(SendError::Restarting));
    until_started(&mut nest.reports, "inner", 2).await;
    assert_eq!(nest.journal.take(), ["b gone", "c stopped", "c gone", "b up", "c up"]);
    assert_eq!((echo(&nest.a).await, echo(&nest.b).await), (Ok(1), Ok(2)));
    assert_eq!((nest.c.incarnation(), nest.inner.incarnation()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn escalation_climbs_to_the_root_with_every_reason_on_the_way() {
    let nest = nest(NONE, NONE).await;
    nest.c.cast(ProbeMsg::Fail { code: 9 }).unwrap();
    let SupervisorExit::Escalated(outer) = nest.tree.wait().await else { panic!("no escalation") };
    assert_eq!((outer.supervisor, outer.child), ("root", "inner"));
    let inner = outer.exit.downcast_ref::<Escalation>().expect("the reason of the subtree");
    assert_eq!((inner.supervisor, inner.child), ("inner", "c"));
    assert_eq!(inner.exit.downcast_ref(), Some(&ProbeError { code: 9 }));
    let mut chain = Vec::new();
    let mut source: Option<&dyn std::error::Error> = Some(&outer);
    while let Some(error) = source {
        chain.push(error.to_string());
        source = error.source();
    }
    assert_eq!(chain.last().map(String::as_str), Some("code 9"));
    let expected = ["c gone", "b stopped", "b gone", "a stopped", "a gone"];
    assert_eq!(nest.journal.take(), expected);
    assert_eq!(nest.b.cast(ProbeMsg::Quit), Err(SendError::Stopped));
}

#[tokio::test(start_paused = true)]
async fn a_killed_supervisor_comes_back_with_its_children_and_none_twice() {
    let mut nest = nest(AMPLE, AMPLE).await;
    nest.inner.kill();
    until_started(&mut nest.reports, "inner", 2).await;
    let lines = nest.journal.take();
    assert_eq!(lines[2..], ["b up", "c up"]);
    assert_eq!((echo(&nest.b).await, echo(&nest.c).await), (Ok(2), Ok(2)));
}

#[tokio::test(start_paused = true)]
async fn a_subtree_that_cannot_start_fails_the_start_of_the_root() {
    let journal = Journal::default();
    let (_a, a_spec) = child("a", &journal);
    let (_b, b_spec) = child("b", &journal);
    let probe = Probe::new("c", &journal).plan(|_| Start::Panic);
    let c = probe.handle();
    let inner = SupervisorSpec::new("inner", Strategy::OneForOne, AMPLE)
        .child(b_spec)
        .child(probe.spec(&c));
    let spec = root(Strategy::OneForOne, AMPLE).child(a_spec).child(ChildSpec::supervisor(inner));
    let error = Supervisor::start(spec).await.unwrap_err();
    let StartError::Child { id: "inner", exit } = &error else { panic!("{error:?}") };
    assert!(matches!(exit.downcast_ref(), Some(StartError::Child { id: "c", .. })));
    let expected = ["a up", "b up", "c gone", "b stopped", "b gone", "a stopped", "a gone"];
    assert_eq!(journal.take(), expected);
    assert_eq!(c.cast(ProbeMsg::Quit), Err(SendError::Stopped));
}

#[tokio::test(start_paused = true)]
async fn a_subtree_that_fails_to_come_back_is_tried_again() {
    let journal = Journal::default();
    let probe = Probe::new("b", &journal).plan(|start| match start {
        2 | 3 => Start::Fail,
        _ => Start::Succeed,
    });
    let b = probe.handle();
    let inner = SupervisorSpec::new("inner", Strategy::OneForOne, NONE).child(probe.spec(&b));
    let inner_handle = inner.handle();
    let spec = root(Strategy::OneForOne, AMPLE).child(ChildSpec::supervisor(inner));
    let _tree = Supervisor::start(spec).await.unwrap();
    b.cast(ProbeMsg::Panic).unwrap();
    tokio::time::sleep(SECOND).await;
    assert_eq!(echo(&b).await, Ok(4));
    assert_eq!(inner_handle.incarnation(), 4);
}

/// Kills, panics and hangs anybody at any moment, the inner supervisor included.
#[tokio::test(start_paused = true)]
async fn no_history_of_kills_makes_incarnations_overlap_or_loses_a_child() {
    let nest = nest(AMPLE, AMPLE).await;
    let probes = [&nest.a, &nest.b, &nest.c];
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..500 {
        // xorshift64: any fixed stream of choices will do.
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        let probe = probes[usize::try_from(seed % 3).unwrap()];
        // Errors mean that the victim is down already.
        match (seed >> 8) % 6 {
            0 => drop(nest.inner.kill()),
            1 => drop(probe.kill()),
            2 => drop(probe.cast(ProbeMsg::Panic)),
            3 => drop(probe.cast(ProbeMsg::Hang)),
            4 => drop(probe.cast(ProbeMsg::Quit)),
            _ => {}
        }
        tokio::time::sleep(Duration::from_millis((seed >> 16) % 40)).await;
        if (seed >> 24).is_multiple_of(4) {
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
        if let Err(gone) = probe.cast(ProbeMsg::Panic) {
            assert_eq!(gone, SendError::Restarting);
        }
    }
    for probe in probes {
        // One that hangs answers again after a kill.
        probe.running(Duration::from_secs(60)).await.unwrap();
        if echo(probe).await.is_err() {
            probe.kill();
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
        assert!(echo(probe).await.is_ok());
    }
    assert!(!nest.journal.take().iter().any(|line| line.ends_with("OVERLAPS")));
    nest.tree.shutdown(SECOND).await.unwrap();
    assert!(matches!(nest.tree.wait().await, SupervisorExit::Shutdown));
}

#[tokio::test(start_paused = true)]
async fn a_subtree_left_down_closes_the_handles_below_it() {
    let (b, b_spec) = child("b", &Journal::default());
    let inner = SupervisorSpec::new("inner", Strategy::OneForOne, NONE).child(b_spec);
    let spec = root(Strategy::OneForOne, AMPLE)
        .child(ChildSpec::supervisor(inner).restart(supervisors::Restart::Temporary));
    let tree = Supervisor::start(spec).await.unwrap();
    let mut reports = tree.reports();
    b.cast(ProbeMsg::Panic).unwrap();
    let exit = until_exited(&mut reports, "inner");
    assert!(matches!(exit.await, ChildExit::Failed(_)));
    assert_eq!(b.running(SECOND).await, Err(SendError::Stopped));
}
