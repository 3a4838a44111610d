mod histories;
mod signs_of_life;

use std::collections::BTreeSet;

use super::*;
use crate::exit::ChildError;

const IDS: [&str; 5] = ["a", "b", "c", "d", "e"];

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn failed() -> ChildExit {
    ChildExit::Failed(ChildError::from(Box::from("fault")))
}

/// Does at once, or when told to, what the core asks for, and objects to what it must not ask.
struct World {
    core: Core,
    strategy: Strategy,
    kinds: Vec<Restart>,
    now: Duration,
    running: Vec<Option<u64>>,
    starting: Vec<Option<u64>>,
    cancelled: BTreeSet<usize>,
    /// Which incarnations were asked for a sign of life and have not answered.
    asked: Vec<Option<u64>>,
    /// Those that were killed because they did not.
    killed: BTreeSet<usize>,
    stopping: Option<usize>,
    last: Vec<u64>,
    wakes: Vec<(Duration, usize)>,
    left_down: BTreeSet<usize>,
    stopped_by_hook: BTreeSet<usize>,
    halting: bool,
    finished: Option<Ending>,
    trace: Vec<String>,
}

impl World {
    fn boot(strategy: Strategy, intensity: Intensity, kinds: &[Restart]) -> Self {
        let backoff = Backoff { first: ms(10), max: ms(80), reset_after: ms(1_000) };
        let seat = |(at, kind): (usize, &Restart)| Seat {
            id: IDS[at],
            restart: *kind,
            backoff,
            intensity: None,
            watched: true,
            incarnation: 0,
        };
        let seats: Vec<_> = kinds.iter().enumerate().map(seat).collect();
        let mut core = Core::new("sup", strategy, intensity, seats);
        for child in 0..kinds.len() {
            let incarnation = core.boot(child);
            let actions = core.handle(ms(0), Event::Started { child, incarnation });
            assert!(matches!(actions[..], [Action::Ask { .. }]), "{actions:?}");
        }
        core.booted();
        Self {
            core,
            strategy,
            kinds: kinds.to_vec(),
            now: ms(0),
            running: vec![Some(1); kinds.len()],
            starting: vec![None; kinds.len()],
            cancelled: BTreeSet::new(),
            asked: vec![Some(1); kinds.len()],
            killed: BTreeSet::new(),
            stopping: None,
            last: vec![1; kinds.len()],
            wakes: Vec::new(),
            left_down: BTreeSet::new(),
            stopped_by_hook: BTreeSet::new(),
            halting: false,
            finished: None,
            trace: Vec::new(),
        }
    }

    fn tell(&mut self, event: Event) {
        let actions = self.core.handle(self.now, event);
        assert!(self.finished.is_none() || actions.is_empty(), "acts after its end: {actions:?}");
        for action in actions {
            self.obey(action);
        }
    }

    fn obey(&mut self, action: Action) {
        match action {
            Action::Start { child, incarnation } => {
                self.trace.push(format!("start {}", IDS[child]));
                assert!(!self.halting, "starts while it ends");
                assert_eq!(self.running[child], None, "two incarnations at once");
                assert_eq!(self.starting[child], None, "two starts at once");
                assert!(incarnation > self.last[child], "an incarnation number came twice");
                assert!(!self.left_down.contains(&child), "a child left down came back");
                if self.strategy != Strategy::OneForOne {
                    assert!(self.starting.iter().all(Option::is_none), "group starts overlap");
                    assert_eq!(self.stopping, None, "group starts while it stops");
                }
                self.last[child] = incarnation;
                self.starting[child] = Some(incarnation);
            }
            Action::CancelStart { child } => {
                assert!(self.starting[child].is_some(), "cancels what does not start");
                self.cancelled.insert(child);
            }
            Action::Stop { child } => {
                self.trace.push(format!("stop {}", IDS[child]));
                assert!(self.running[child].is_some(), "stops what is not up");
                assert_eq!(self.stopping, None, "stops overlap");
                for later in child + 1..self.running.len() {
                    assert_eq!(self.running[later], None, "stopped before a later one was down");
                    assert_eq!(self.starting[later], None, "stopped before a later one was down");
                }
                self.stopping = Some(child);
            }
            Action::Ask { child, incarnation } => {
                assert_eq!(self.running[child], Some(incarnation), "asks what is not up");
                assert_ne!(self.asked[child], Some(incarnation), "two questions at once");
                assert!(!self.killed.contains(&child), "asks what it killed");
                self.asked[child] = Some(incarnation);
            }
            Action::Kill { child } => {
                self.trace.push(format!("kill {}", IDS[child]));
                assert!(self.running[child].is_some(), "kills what is not up");
                assert_ne!(self.stopping, Some(child), "kills what has its grace");
                assert!(self.killed.insert(child), "killed twice");
            }
            Action::Wake { child, after } => self.wakes.push((self.now + after, child)),
            Action::RestartScheduled { child, delay, restarts_in_period: _ } => {
                self.trace.push(format!("schedule {} {}", IDS[child], delay.as_millis()));
            }
            Action::Escalating(escalation) => {
                self.trace.push(format!("escalate {}", escalation.child));
                self.halting = true;
            }
            Action::LeaveDown { child, incarnation } => {
                self.trace.push(format!("leave {}", IDS[child]));
                assert_eq!(incarnation, self.last[child]);
                assert!(self.left_down.insert(child), "left down twice");
            }
            Action::Finish(ending) => {
                self.trace.push("finish".to_owned());
                assert!(self.running.iter().chain(&self.starting).all(Option::is_none));
                assert!(self.finished.replace(ending).is_none(), "ended twice");
            }
        }
    }

    fn exit(&mut self, child: usize, exit: ChildExit, directive: Directive) {
        let incarnation = self.running[child].take().or(self.starting[child].take()).unwrap();
        self.cancelled.remove(&child);
        self.killed.remove(&child);
        if self.stopping == Some(child) {
            self.stopping = None;
        }
        let directive = if self.core.consults_hook(child, &exit) {
            directive
        } else {
            Directive::ByRestartKind
        };
        if directive == Directive::Stop {
            self.stopped_by_hook.insert(child);
        }
        self.tell(Event::Exited { child, incarnation, exit, directive });
    }

    /// The incarnation that was asked last answers, or does not, even if it has ended since.
    fn settle_question(&mut self, child: usize, answered: bool) {
        if let Some(incarnation) = self.asked[child].take() {
            self.tell(if answered {
                Event::Answered { child, incarnation }
            } else {
                Event::Silent { child, incarnation }
            });
        }
    }

    fn finish_start(&mut self, child: usize) {
        let incarnation = self.starting[child].take().unwrap();
        self.cancelled.remove(&child);
        self.running[child] = Some(incarnation);
        self.tell(Event::Started { child, incarnation });
    }

    fn cancel_start(&mut self, child: usize) {
        let incarnation = self.starting[child].take().unwrap();
        self.cancelled.remove(&child);
        self.tell(Event::StartCancelled { child, incarnation });
    }

    fn fire_next_wake(&mut self) -> bool {
        let Some(next) = (0..self.wakes.len()).min_by_key(|at| self.wakes[*at]) else {
            return false;
        };
        let (due, child) = self.wakes.remove(next);
        self.now = self.now.max(due);
        self.tell(Event::Woke { child });
        true
    }

    /// No more faults: everything asked for succeeds until nothing is left to do.
    fn calm_down(&mut self) {
        for _ in 0..1_000 {
            if let Some(child) = self.cancelled.first().copied() {
                self.cancel_start(child);
            } else if let Some(child) = self.starting.iter().position(Option::is_some) {
                self.finish_start(child);
            } else if let Some(child) = self.killed.first().copied() {
                self.exit(child, ChildExit::Killed, Directive::ByRestartKind);
            } else if let Some(child) = self.stopping {
                self.exit(child, ChildExit::Stopped, Directive::ByRestartKind);
            } else if !self.fire_next_wake() {
                return;
            }
        }
        panic!("never calms down: {:?}", self.trace);
    }

    fn take_trace(&mut self) -> Vec<String> {
        std::mem::take(&mut self.trace)
    }
}

const AMPLE: Intensity = Intensity { max_restarts: 100, within: Duration::from_secs(60) };

fn permanent(strategy: Strategy, intensity: Intensity) -> World {
    World::boot(strategy, intensity, &[Restart::Permanent; 4])
}

#[test]
fn one_for_one_restarts_only_the_failed_child() {
    let mut world = permanent(Strategy::OneForOne, AMPLE);
    world.exit(1, failed(), Directive::ByRestartKind);
    world.calm_down();
    assert_eq!(world.take_trace(), ["schedule b 10", "start b"]);
}

#[test]
fn rest_for_one_stops_later_children_in_reverse_and_starts_them_in_order() {
    let mut world = permanent(Strategy::RestForOne, AMPLE);
    world.exit(1, failed(), Directive::ByRestartKind);
    world.calm_down();
    let expected = ["schedule b 10", "stop d", "stop c", "start b", "start c", "start d"];
    assert_eq!(world.take_trace(), expected);
}

#[test]
fn one_for_all_stops_and_starts_all() {
    let mut world = permanent(Strategy::OneForAll, AMPLE);
    world.exit(1, failed(), Directive::ByRestartKind);
    world.calm_down();
    let expected =
        ["schedule b 10", "stop d", "stop c", "stop a", "start a", "start b", "start c", "start d"];
    assert_eq!(world.take_trace(), expected);
}

#[test]
fn a_start_that_fails_counts_as_a_failure_and_backs_off() {
    let mut world = permanent(Strategy::OneForOne, AMPLE);
    world.exit(0, failed(), Directive::ByRestartKind);
    world.fire_next_wake();
    world.exit(0, ChildExit::StartTimedOut(ms(1)), Directive::ByRestartKind);
    world.fire_next_wake();
    world.exit(0, ChildExit::StartTimedOut(ms(1)), Directive::ByRestartKind);
    let expected = ["schedule a 10", "start a", "schedule a 20", "start a", "schedule a 40"];
    assert_eq!(world.take_trace(), expected);
}

#[test]
fn a_second_failure_amid_a_group_restart_joins_it() {
    let mut world = permanent(Strategy::RestForOne, AMPLE);
    world.exit(2, failed(), Directive::ByRestartKind);
    world.exit(0, failed(), Directive::ByRestartKind);
    world.calm_down();
    let expected = [
        "schedule c 10",
        "stop d",
        "schedule a 10",
        "stop b",
        "start a",
        "start b",
        "start c",
        "start d",
    ];
    assert_eq!(world.take_trace(), expected);
}

#[test]
fn a_doomed_child_that_fails_by_itself_is_not_counted_again() {
    let intensity = Intensity { max_restarts: 1, within: ms(1_000) };
    let mut world = permanent(Strategy::OneForAll, intensity);
    world.exit(0, failed(), Directive::ByRestartKind);
    world.exit(1, failed(), Directive::ByRestartKind);
    world.calm_down();
    assert!(world.running.iter().all(Option::is_some));
    assert!(world.finished.is_none());
}

#[test]
fn a_doomed_child_that_fails_can_still_escalate() {
    let mut world = permanent(Strategy::OneForAll, AMPLE);
    world.exit(0, failed(), Directive::ByRestartKind);
    world.exit(2, failed(), Directive::Escalate);
    world.calm_down();
    assert!(matches!(&world.finished, Some(Ending::Escalated(why)) if why.child == "c"));
}

#[test]
fn the_budget_spent_escalates_with_child_exit_and_count() {
    let mut world = permanent(Strategy::OneForOne, Intensity { max_restarts: 1, within: ms(50) });
    world.exit(3, failed(), Directive::ByRestartKind);
    world.calm_down();
    world.exit(2, ChildExit::Killed, Directive::ByRestartKind);
    world.calm_down();
    let Some(Ending::Escalated(why)) = &world.finished else { panic!("did not escalate") };
    assert_eq!((why.supervisor, why.child, why.restarts), ("sup", "c", 2));
    assert_eq!(why.cause, EscalationCause::IntensityExceeded);
    assert!(matches!(why.exit, ChildExit::Killed));
    let trace = world.take_trace();
    assert_eq!(trace[2..], ["escalate c", "stop d", "stop b", "stop a", "finish"]);
}

#[test]
fn restarts_spread_over_time_do_not_escalate() {
    let mut world = permanent(Strategy::OneForOne, Intensity { max_restarts: 1, within: ms(50) });
    for _ in 0..10 {
        world.exit(0, failed(), Directive::ByRestartKind);
        world.calm_down();
        world.now += ms(50);
    }
    assert!(world.finished.is_none());
}

#[test]
fn kinds_decide_about_normal_exits_and_kills() {
    let kinds = [Restart::Permanent, Restart::Transient, Restart::Temporary];
    let mut world = World::boot(Strategy::OneForOne, AMPLE, &kinds);
    for child in 0..3 {
        world.exit(child, ChildExit::Killed, Directive::ByRestartKind);
    }
    world.calm_down();
    let expected = ["schedule a 10", "schedule b 10", "leave c", "start a", "start b"];
    assert_eq!(world.take_trace(), expected);
    for child in 0..2 {
        world.exit(child, ChildExit::Stopped, Directive::ByRestartKind);
    }
    world.calm_down();
    assert_eq!(world.take_trace(), ["schedule a 20", "leave b", "start a"]);
}

#[test]
fn a_temporary_sibling_is_stopped_with_the_group_and_stays_down() {
    let kinds = [Restart::Permanent, Restart::Temporary];
    let mut world = World::boot(Strategy::OneForAll, AMPLE, &kinds);
    world.exit(0, failed(), Directive::ByRestartKind);
    world.calm_down();
    assert_eq!(world.take_trace(), ["schedule a 10", "stop b", "leave b", "start a"]);
}

#[test]
fn a_directive_overrules_kind_and_backoff() {
    let kinds = [Restart::Temporary, Restart::Permanent];
    let mut world = World::boot(Strategy::OneForOne, AMPLE, &kinds);
    world.exit(0, failed(), Directive::RestartAfter(ms(500)));
    world.exit(1, failed(), Directive::Stop);
    world.calm_down();
    assert_eq!(world.take_trace(), ["schedule a 500", "leave b", "start a"]);
    assert_eq!(world.now, ms(500));
}

#[test]
fn one_for_all_waits_for_the_longest_delay() {
    let mut world = permanent(Strategy::OneForAll, AMPLE);
    world.exit(3, failed(), Directive::RestartAfter(ms(300)));
    world.exit(1, failed(), Directive::RestartAfter(ms(700)));
    world.calm_down();
    assert_eq!(world.now, ms(700));
    assert!(world.running.iter().all(Option::is_some));
}

#[test]
fn stale_events_are_ignored() {
    let mut world = permanent(Strategy::OneForAll, AMPLE);
    world.exit(0, failed(), Directive::ByRestartKind);
    world.calm_down();
    world.take_trace();
    let directive = Directive::Escalate;
    world.tell(Event::Exited { child: 0, incarnation: 1, exit: failed(), directive });
    world.tell(Event::Started { child: 0, incarnation: 1 });
    world.tell(Event::StartCancelled { child: 0, incarnation: 2 });
    world.tell(Event::Answered { child: 0, incarnation: 1 });
    world.tell(Event::Silent { child: 0, incarnation: 1 });
    world.tell(Event::Woke { child: 0 });
    assert!(world.take_trace().is_empty());
    assert_eq!(world.core.status(0), (ChildStatus::Running, 1));
}

#[test]
fn an_early_wake_is_asked_for_again() {
    let mut world = permanent(Strategy::OneForOne, AMPLE);
    world.exit(0, failed(), Directive::RestartAfter(ms(100)));
    world.wakes.clear();
    world.now = ms(40);
    world.tell(Event::Woke { child: 0 });
    assert_eq!(world.wakes, [(ms(100), 0)]);
}

#[test]
fn shutdown_cancels_starts_and_stops_the_rest_in_reverse() {
    let mut world = permanent(Strategy::OneForOne, AMPLE);
    world.exit(1, failed(), Directive::RestartAfter(ms(0)));
    world.take_trace();
    world.tell(Event::ShutdownAsked);
    assert_eq!(world.cancelled, BTreeSet::from([1]));
    world.halting = true;
    world.calm_down();
    assert_eq!(world.take_trace(), ["stop d", "stop c", "stop a", "finish"]);
    assert!(matches!(world.finished, Some(Ending::Shutdown)));
}

#[test]
fn a_start_that_wins_against_its_cancel_is_stopped() {
    let mut world = permanent(Strategy::OneForOne, AMPLE);
    world.exit(3, failed(), Directive::RestartAfter(ms(0)));
    world.take_trace();
    world.tell(Event::ShutdownAsked);
    world.halting = true;
    world.finish_start(3);
    world.calm_down();
    assert_eq!(world.take_trace(), ["stop d", "stop c", "stop b", "stop a", "finish"]);
}
