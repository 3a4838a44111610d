//! One child that ends in each possible way.

use std::time::Duration;

use supervisors::{
    Backoff, CallError, ChildExit, ChildHandle, ChildSpec, ChildStatus, Directive, Report,
    ReportStream, Restart, SendError, StartError, Strategy, Supervisor, SupervisorHandle,
};
use tokio::time::Instant;

use crate::probe::{
    AMPLE, Journal, Probe, ProbeError, ProbeMsg, SECOND, Start, child, echo, ms, root,
    slow_backoff, until, until_exited, until_scheduled, until_started,
};

struct Lone {
    tree: SupervisorHandle,
    reports: ReportStream,
}

async fn start(child: ChildSpec) -> Lone {
    let spec = root(Strategy::OneForOne, AMPLE).child(child);
    let reports = spec.reports().subscribe();
    Lone { tree: Supervisor::start(spec).await.unwrap(), reports }
}

#[tokio::test(start_paused = true)]
async fn a_panicking_child_is_back_after_the_first_backoff() {
    let journal = Journal::default();
    let (a, spec) = child("a", &journal);
    let mut lone = start(spec).await;
    assert_eq!((echo(&a).await, a.incarnation()), (Ok(1), 1));
    let before = Instant::now();
    a.cast(ProbeMsg::Panic).unwrap();
    until_started(&mut lone.reports, "a", 2).await;
    assert!(before.elapsed() <= ms(12), "{:?}", before.elapsed());
    assert_eq!((echo(&a).await, a.incarnation()), (Ok(2), 2));
    assert_eq!(journal.take(), ["a up", "a gone", "a up"]);
    let view = lone.tree.children().await.unwrap();
    assert_eq!((view[0].restarts, view[0].status), (1, ChildStatus::Running));
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_reported_with_its_text() {
    let (a, spec) = child("a", &Journal::default());
    let mut lone = start(spec).await;
    a.cast(ProbeMsg::Panic).unwrap();
    let exit = until_exited(&mut lone.reports, "a").await;
    let ChildExit::Failed(error) = &exit else { panic!("{exit:?}") };
    assert_eq!(error.to_string(), "panics in a handler");
}

#[tokio::test(start_paused = true)]
async fn a_returned_error_reaches_hook_and_report_with_its_type() {
    let (a, spec) = child("a", &Journal::default());
    let hook = |exit: &ChildExit| match exit.downcast_ref::<ProbeError>() {
        Some(ProbeError { code: 7 }) => Directive::RestartAfter(Duration::from_secs(90)),
        Some(_) | None => Directive::ByRestartKind,
    };
    let mut lone = start(spec.on_exit(hook)).await;
    a.cast(ProbeMsg::Fail { code: 6 }).unwrap();
    assert_eq!(until_scheduled(&mut lone.reports).await, ms(10));
    a.running(SECOND).await.unwrap();
    let before = Instant::now();
    a.cast(ProbeMsg::Fail { code: 7 }).unwrap();
    let exit = until_exited(&mut lone.reports, "a").await;
    assert_eq!(exit.downcast_ref(), Some(&ProbeError { code: 7 }));
    until_started(&mut lone.reports, "a", 3).await;
    assert!(before.elapsed() >= Duration::from_secs(90));
}

#[tokio::test(start_paused = true)]
async fn a_hook_can_leave_a_child_down() {
    let (a, spec) = child("a", &Journal::default());
    let mut lone = start(spec.on_exit(|_| Directive::Stop)).await;
    a.cast(ProbeMsg::Panic).unwrap();
    until(&mut lone.reports, |r| matches!(r, Report::LeftDown { id: "a", .. }).then_some(())).await;
    assert_eq!(a.cast(ProbeMsg::Quit), Err(SendError::Stopped));
    assert_eq!(a.running(SECOND).await, Err(SendError::Stopped));
    assert_eq!(lone.tree.children().await.unwrap()[0].status, ChildStatus::Down);
}

#[tokio::test(start_paused = true)]
async fn kinds_decide_whether_a_child_that_stops_comes_back() {
    for (kind, back) in
        [(Restart::Permanent, true), (Restart::Transient, false), (Restart::Temporary, false)]
    {
        let (a, spec) = child("a", &Journal::default());
        let mut lone = start(spec.restart(kind)).await;
        a.cast(ProbeMsg::Quit).unwrap();
        assert!(matches!(until_exited(&mut lone.reports, "a").await, ChildExit::Stopped));
        let expected = if back { Ok(2) } else { Err(SendError::Stopped) };
        assert_eq!(a.running(SECOND).await, expected, "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_child_killed_from_outside_comes_back_unless_temporary() {
    for (kind, back) in
        [(Restart::Permanent, true), (Restart::Transient, true), (Restart::Temporary, false)]
    {
        let (a, spec) = child("a", &Journal::default());
        let mut lone = start(spec.restart(kind)).await;
        assert!(a.kill());
        assert!(matches!(until_exited(&mut lone.reports, "a").await, ChildExit::Killed));
        let expected = if back { Ok(2) } else { Err(SendError::Stopped) };
        assert_eq!(a.running(SECOND).await, expected, "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_child_killed_inside_a_hanging_handler_comes_back() {
    let (a, spec) = child("a", &Journal::default());
    let mut lone = start(spec).await;
    a.cast(ProbeMsg::Hang).unwrap();
    tokio::task::yield_now().await;
    assert!(a.kill());
    until_started(&mut lone.reports, "a", 2).await;
    assert_eq!(echo(&a).await, Ok(2));
}

#[tokio::test(start_paused = true)]
async fn a_handle_answers_restarting_while_its_child_is_down() {
    let (a, spec) = child("a", &Journal::default());
    assert_eq!(a.cast(ProbeMsg::Quit), Err(SendError::Restarting));
    assert_eq!((a.incarnation(), a.is_running()), (0, false));
    let mut lone = start(spec.backoff(slow_backoff())).await;
    assert!(a.is_running());
    a.cast(ProbeMsg::Panic).unwrap();
    until_scheduled(&mut lone.reports).await;
    assert_eq!(a.cast(ProbeMsg::Quit), Err(SendError::Restarting));
    assert_eq!(echo(&a).await, Err(CallError::Restarting));
    assert_eq!((a.incarnation(), a.is_running(), a.kill()), (1, false, false));
    assert_eq!(lone.tree.children().await.unwrap()[0].status, ChildStatus::Waiting);
    assert_eq!(a.running(ms(900)).await, Err(SendError::Restarting));
    assert_eq!(a.running(ms(200)).await, Ok(2));
    assert_eq!(echo(&a).await, Ok(2));
}

#[tokio::test(start_paused = true)]
async fn a_call_is_lost_when_the_child_dies_before_it_answers() {
    let (a, spec) = child("a", &Journal::default());
    let _lone = start(spec).await;
    let held = a.call(|reply| ProbeMsg::Hold { reply }, SECOND);
    let (answer, ()) = tokio::join!(held, async { a.cast(ProbeMsg::Panic).unwrap() });
    assert_eq!(answer, Err(CallError::Lost));
}

#[tokio::test(start_paused = true)]
async fn a_call_queued_behind_the_fatal_message_is_lost_with_it() {
    let (a, spec) = child("a", &Journal::default());
    let _lone = start(spec).await;
    a.cast(ProbeMsg::Panic).unwrap();
    assert_eq!(echo(&a).await, Err(CallError::Lost));
}

#[tokio::test(start_paused = true)]
async fn a_call_without_answer_times_out() {
    let (a, spec) = child("a", &Journal::default());
    let _lone = start(spec).await;
    let held = a.call(|reply| ProbeMsg::Hold { reply }, ms(50)).await;
    assert_eq!(held, Err(CallError::Timeout));
}

#[tokio::test(start_paused = true)]
async fn failed_starts_back_off_and_are_tried_again() {
    let journal = Journal::default();
    let probe = Probe::new("a", &journal).plan(|start| match start {
        2 => Start::Fail,
        3 => Start::Panic,
        4 => Start::Hang,
        5 => Start::FailAfterwards,
        _ => Start::Succeed,
    });
    let a = probe.handle();
    let mut lone = start(probe.spec(&a).start_within(SECOND)).await;
    a.cast(ProbeMsg::Panic).unwrap();
    let mut delays = Vec::new();
    let mut exits = Vec::new();
    for _ in 0..5 {
        exits.push(until_exited(&mut lone.reports, "a").await);
        delays.push(until_scheduled(&mut lone.reports).await);
    }
    assert_eq!(delays, [ms(10), ms(20), ms(40), ms(80), ms(160)]);
    assert!(matches!(&exits[1], exit @ ChildExit::StartFailed(_)
        if exit.downcast_ref() == Some(&ProbeError { code: 0 })));
    assert!(matches!(&exits[2], ChildExit::StartFailed(panic)
        if panic.to_string() == "panics in pre_start"));
    assert!(matches!(exits[3], ChildExit::StartTimedOut(SECOND)));
    assert!(matches!(&exits[4], exit @ ChildExit::Failed(_)
        if exit.downcast_ref() == Some(&ProbeError { code: 1 })));
    until_started(&mut lone.reports, "a", 6).await;
    assert_eq!(echo(&a).await, Ok(6));
    assert!(!journal.take().contains(&"a OVERLAPS".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_panicking_factory_is_a_failed_start() {
    let journal = Journal::default();
    let a = ChildHandle::new("a");
    let made = std::sync::atomic::AtomicU64::new(0);
    let spec = ChildSpec::new(&a, move || {
        let nth = made.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        assert_ne!(nth, 1, "the second time");
        (Probe::new("a", &journal), ())
    });
    let mut lone = start(spec).await;
    a.cast(ProbeMsg::Quit).unwrap();
    until_exited(&mut lone.reports, "a").await;
    assert!(matches!(until_exited(&mut lone.reports, "a").await, ChildExit::StartFailed(_)));
    until_started(&mut lone.reports, "a", 3).await;
}

#[tokio::test(start_paused = true)]
async fn delays_double_and_start_again_after_a_healthy_time() {
    let (a, spec) = child("a", &Journal::default());
    let backoff = Backoff { first: ms(10), max: ms(30), reset_after: SECOND };
    let mut lone = start(spec.backoff(backoff)).await;
    for (number, expected) in [(2, 10), (3, 20), (4, 30), (5, 30)] {
        a.cast(ProbeMsg::Panic).unwrap();
        assert_eq!(until_scheduled(&mut lone.reports).await, ms(expected));
        until_started(&mut lone.reports, "a", number).await;
    }
    tokio::time::advance(SECOND).await;
    a.cast(ProbeMsg::Panic).unwrap();
    assert_eq!(until_scheduled(&mut lone.reports).await, ms(10));
}

#[tokio::test(start_paused = true)]
async fn the_next_incarnation_starts_after_the_end_of_the_one_before() {
    let journal = Journal::default();
    let (a, spec) = child("a", &journal);
    let mut lone = start(spec.backoff(Backoff { first: ms(0), ..Backoff::default() })).await;
    for (number, message) in [
        (2, ProbeMsg::Quit),
        (3, ProbeMsg::Panic),
        (4, ProbeMsg::Fail { code: 1 }),
        (5, ProbeMsg::Quit),
    ] {
        a.cast(message).unwrap();
        until_started(&mut lone.reports, "a", number).await;
    }
    let expected = [
        "a up",
        "a stopped",
        "a gone",
        "a up",
        "a gone",
        "a up",
        "a gone",
        "a up",
        "a stopped",
        "a gone",
        "a up",
    ];
    assert_eq!(journal.take(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_child_unlinked_from_its_supervisor_counts_as_killed_when_it_ends() {
    let (a, spec) = child("a", &Journal::default());
    let mut lone = start(spec).await;
    a.cast(ProbeMsg::UnlinkAndQuit).unwrap();
    assert!(matches!(until_exited(&mut lone.reports, "a").await, ChildExit::Killed));
    until_started(&mut lone.reports, "a", 2).await;
    assert_eq!(echo(&a).await, Ok(2));
}

#[tokio::test(start_paused = true)]
async fn a_state_that_panics_when_dropped_fails_the_child_and_not_the_supervisor() {
    let (a, spec) = child("a", &Journal::default());
    let mut lone = start(spec).await;
    a.cast(ProbeMsg::QuitWithBomb).unwrap();
    assert!(matches!(until_exited(&mut lone.reports, "a").await, ChildExit::Failed(_)));
    until_started(&mut lone.reports, "a", 2).await;
    assert_eq!(echo(&a).await, Ok(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_exit_is_heard_with_its_error_under_parallel_crashes() {
    let journal = Journal::default();
    let ids = ["a", "b", "c", "d"];
    let mut spec = root(Strategy::OneForOne, AMPLE);
    let mut handles = Vec::new();
    for id in ids {
        let (handle, child) = child(id, &journal);
        spec = spec.child(child.backoff(Backoff { first: ms(0), ..Backoff::default() }));
        handles.push(handle);
    }
    let mut reports = spec.reports().subscribe();
    let tree = Supervisor::start(spec).await.unwrap();
    for round in 0..200 {
        for handle in &handles {
            handle.cast(ProbeMsg::Fail { code: round }).unwrap();
        }
        let mut left = ids.len();
        let mut up = 0;
        while up < ids.len() {
            match reports.next().await.unwrap() {
                Report::Exited { exit, .. } => {
                    assert_eq!(exit.downcast_ref(), Some(&ProbeError { code: round }));
                    left -= 1;
                }
                Report::Started { incarnation, .. } if incarnation > 1 => up += 1,
                Report::Started { .. } | Report::RestartScheduled { .. } => {}
                other @ (Report::GraceExceeded { .. }
                | Report::Hung { .. }
                | Report::Stuck { .. }
                | Report::LeftDown { .. }
                | Report::Escalated(_)
                | Report::Stopped { .. }
                | Report::Lagged { .. }) => panic!("{other:?}"),
            }
        }
        assert_eq!(left, 0);
    }
    assert!(!journal.take().iter().any(|line| line.ends_with("OVERLAPS")));
    tree.shutdown(30 * SECOND).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn next_incarnation_waits_for_what_outlives_the_one_before() {
    let journal = Journal::default();
    let (work, worked) = tokio::sync::watch::channel(());
    let (handle, spec) = child("a", &journal);
    let spec = spec.start_within(SECOND).ready_when(move || {
        let mut worked = worked.clone();
        // Resolves when nobody works any more.
        async move { while worked.changed().await.is_ok() {} }
    });
    let tree = tokio::spawn(Supervisor::start(root(Strategy::OneForOne, AMPLE).child(spec)));
    tokio::time::sleep(ms(500)).await;
    assert!(journal.take().is_empty(), "the first one waits, too");
    drop(work);
    let tree = tree.await.unwrap().unwrap();
    assert!(handle.is_running());
    tree.shutdown(SECOND).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_outlives_an_incarnation_for_too_long_is_a_start_that_failed() {
    let journal = Journal::default();
    let (_handle, spec) = child("a", &journal);
    let spec = spec.start_within(SECOND).ready_when(std::future::pending);
    let started = Supervisor::start(root(Strategy::OneForOne, AMPLE).child(spec)).await;
    let Err(StartError::Child { exit: ChildExit::StartTimedOut(_), .. }) = started else {
        panic!("{started:?}")
    };
}
