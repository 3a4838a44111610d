//! The decisions of a supervisor: which child is stopped or started next, and when to give up.
//!
//! Owns: restart strategy, restart budgets, delays, order of stops and starts, what follows when a
//! child gives no sign of life, escalation. Does not own: actors, clocks, timers, hooks. Events go
//! in with the time since the supervisor started, actions come out; every event about an
//! incarnation that is not the present one is ignored.
//!
//! Invariants (checked by the property tests):
//! - a child is started only when its incarnation before has ended;
//! - at most one question for a sign of life is open for an incarnation;
//! - stops go one at a time in reverse start order, starts of a group one at a time in start order;
//! - once quiet, every permanent child is up, or the supervisor has given up with a reason.
//!
//! Each child carries what is wanted of it; `reconcile` compares that with what is, and emits the
//! next steps. Nothing else emits stops and starts, so overlapping failures need no special case.

#[cfg(test)]
mod tests;
mod vocabulary;

use std::time::Duration;

use crate::exit::{ChildExit, Directive, Escalation, EscalationCause};
use crate::policy::{Backoff, Intensity, RestartBudget, Retreat, Spent};
use crate::spec::{Restart, Strategy};

pub use vocabulary::ChildStatus;
pub(crate) use vocabulary::{Action, Ending, Event};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Down,
    Starting,
    Up {
        since: Duration,
    },
    /// Gave no sign of life and was killed.
    Hung {
        since: Duration,
    },
    Stopping,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Up,
    Down,
    /// To be stopped, and then up again.
    Fresh,
}

#[derive(Debug)]
enum Phase {
    Booting,
    Running,
    Halting(Ending),
    Halted,
}

/// What the core must know of a child.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) id: &'static str,
    pub(crate) restart: Restart,
    pub(crate) backoff: Backoff,
    /// Its own restart budget.
    pub(crate) intensity: Option<Intensity>,
    /// Whether it is asked for signs of life.
    pub(crate) watched: bool,
    /// The last incarnation that ran under an earlier supervisor, 0 if none.
    pub(crate) incarnation: u64,
}

#[derive(Debug)]
struct Child {
    seat: Seat,
    retreat: Retreat,
    budget: Option<RestartBudget>,
    state: State,
    wanted: Wanted,
    not_before: Duration,
    starts: u64,
}

impl Child {
    /// Must be stopped before anything is started in its group.
    fn doomed(&self) -> bool {
        self.state != State::Down && self.wanted != Wanted::Up
    }

    fn pending(&self) -> bool {
        self.state == State::Down && self.wanted != Wanted::Down
    }

    fn begin(&mut self) -> u64 {
        self.state = State::Starting;
        self.wanted = Wanted::Up;
        self.seat.incarnation = self.seat.incarnation.saturating_add(1);
        self.seat.incarnation
    }
}

/// The decision core of one supervisor.
#[derive(Debug)]
pub(crate) struct Core {
    supervisor: &'static str,
    strategy: Strategy,
    budget: RestartBudget,
    children: Vec<Child>,
    phase: Phase,
    actions: Vec<Action>,
}

impl Core {
    pub(crate) fn new(
        supervisor: &'static str,
        strategy: Strategy,
        intensity: Intensity,
        seats: Vec<Seat>,
    ) -> Self {
        let child = |seat: Seat| Child {
            budget: seat.intensity.map(RestartBudget::new),
            seat,
            retreat: Retreat::default(),
            state: State::Down,
            wanted: Wanted::Up,
            not_before: Duration::ZERO,
            starts: 0,
        };
        Self {
            supervisor,
            strategy,
            budget: RestartBudget::new(intensity),
            children: seats.into_iter().map(child).collect(),
            phase: Phase::Booting,
            actions: Vec::new(),
        }
    }

    /// First start of a child, in start order, by the caller; returns its incarnation.
    pub(crate) fn boot(&mut self, child: usize) -> u64 {
        self.children[child].begin()
    }

    /// Every child has started once: from here on the core decides.
    pub(crate) fn booted(&mut self) {
        self.phase = Phase::Running;
    }

    /// Where a child is, and how often it came back up.
    pub(crate) fn status(&self, child: usize) -> (ChildStatus, u64) {
        let child = &self.children[child];
        let status = match (child.state, child.wanted) {
            (State::Down, Wanted::Down) => ChildStatus::Down,
            (State::Down, Wanted::Up | Wanted::Fresh) => ChildStatus::Waiting,
            (State::Starting, _) => ChildStatus::Starting,
            (State::Up { .. }, _) => ChildStatus::Running,
            (State::Hung { .. }, _) => ChildStatus::Hung,
            (State::Stopping, _) => ChildStatus::Stopping,
        };
        (status, child.starts.saturating_sub(1))
    }

    /// Whether the hook of the child is to be asked about this exit: not when the supervisor ends
    /// anyway, nor about the plain end of a child that was to be stopped.
    pub(crate) fn consults_hook(&self, child: usize, exit: &ChildExit) -> bool {
        let running = matches!(self.phase, Phase::Running);
        let telling = matches!(exit, ChildExit::Failed(_) | ChildExit::StartFailed(_));
        running && (telling || !self.children[child].doomed())
    }

    /// Takes in one event; `now` is the time since the supervisor started and never goes back.
    pub(crate) fn handle(&mut self, now: Duration, event: Event) -> Vec<Action> {
        match event {
            Event::Started { child, incarnation } => self.started(now, child, incarnation),
            Event::Exited { child, incarnation, exit, directive } => {
                self.exited(now, child, incarnation, exit, directive);
            }
            Event::StartCancelled { child, incarnation } => {
                let known = &mut self.children[child];
                if known.seat.incarnation == incarnation && known.state == State::Starting {
                    known.state = State::Down;
                    self.gone_as_asked(child);
                }
            }
            Event::Answered { child, incarnation } => {
                if self.watches(child, incarnation) {
                    self.actions.push(Action::Ask { child, incarnation });
                }
            }
            Event::Silent { child, incarnation } => self.silent(child, incarnation),
            Event::Woke { child } => {
                let known = &self.children[child];
                if known.pending() && now < known.not_before {
                    let after = known.not_before - now;
                    self.actions.push(Action::Wake { child, after });
                }
            }
            Event::ShutdownAsked => {
                if matches!(self.phase, Phase::Booting | Phase::Running) {
                    self.halt(Ending::Shutdown);
                }
            }
        }
        self.reconcile(now);
        std::mem::take(&mut self.actions)
    }

    fn started(&mut self, now: Duration, index: usize, incarnation: u64) {
        let child = &mut self.children[index];
        if child.seat.incarnation == incarnation && child.state == State::Starting {
            child.state = State::Up { since: now };
            child.starts = child.starts.saturating_add(1);
            if child.seat.watched {
                self.actions.push(Action::Ask { child: index, incarnation });
            }
        }
    }

    /// Whether this incarnation is up and stays so: one that is to be stopped has its grace.
    fn watches(&self, child: usize, incarnation: u64) -> bool {
        let known = &self.children[child];
        known.seat.incarnation == incarnation
            && matches!(known.state, State::Up { .. })
            && !known.doomed()
    }

    /// A child hangs: it is killed, and what follows is decided when it has ended.
    fn silent(&mut self, child: usize, incarnation: u64) {
        if self.watches(child, incarnation)
            && let State::Up { since } = self.children[child].state
        {
            self.children[child].state = State::Hung { since };
            self.actions.push(Action::Kill { child });
        }
    }

    fn exited(
        &mut self,
        now: Duration,
        child: usize,
        incarnation: u64,
        exit: ChildExit,
        directive: Directive,
    ) {
        let known = &mut self.children[child];
        if known.seat.incarnation != incarnation || known.state == State::Down {
            return;
        }
        let asked = known.doomed();
        let up_for = match known.state {
            State::Up { since } | State::Hung { since } => now.saturating_sub(since),
            State::Down | State::Starting | State::Stopping => Duration::ZERO,
        };
        known.state = State::Down;
        if !matches!(self.phase, Phase::Running) {
            return;
        }
        if asked {
            self.absorb(now, child, exit, directive);
        } else {
            self.fail(now, child, up_for, exit, directive);
        }
    }

    /// A child that was to be stopped ended: its part in the group restart is decided already and
    /// paid for, so only a verdict that goes beyond it counts.
    fn absorb(&mut self, now: Duration, child: usize, exit: ChildExit, directive: Directive) {
        match directive {
            Directive::ByRestartKind | Directive::Restart => {}
            Directive::RestartAfter(delay) => self.delay(now, child, delay),
            Directive::Stop => self.children[child].wanted = Wanted::Down,
            Directive::Escalate => {
                return self.escalate(child, EscalationCause::Directive, 0, exit);
            }
        }
        self.gone_as_asked(child);
    }

    fn gone_as_asked(&mut self, child: usize) {
        let known = &self.children[child];
        if matches!(self.phase, Phase::Running) && known.wanted == Wanted::Down {
            let incarnation = known.seat.incarnation;
            self.actions.push(Action::LeaveDown { child, incarnation });
        }
    }

    /// A child ended unasked.
    fn fail(
        &mut self,
        now: Duration,
        child: usize,
        up_for: Duration,
        exit: ChildExit,
        directive: Directive,
    ) {
        let known = &mut self.children[child];
        let restart = match known.seat.restart {
            Restart::Permanent => true,
            Restart::Transient => exit.is_abnormal(),
            Restart::Temporary => false,
        };
        let exact = match directive {
            Directive::ByRestartKind if !restart => {
                known.wanted = Wanted::Down;
                return self.gone_as_asked(child);
            }
            Directive::Stop => {
                known.wanted = Wanted::Down;
                return self.gone_as_asked(child);
            }
            Directive::Escalate => {
                return self.escalate(child, EscalationCause::Directive, 0, exit);
            }
            Directive::ByRestartKind | Directive::Restart => None,
            Directive::RestartAfter(delay) => Some(delay),
        };
        if let Some(Spent::Exceeded(count)) = known.budget.as_mut().map(|own| own.spend(now)) {
            return self.escalate(child, EscalationCause::ChildIntensityExceeded, count, exit);
        }
        let restarts_in_period = match self.budget.spend(now) {
            Spent::Within(count) => count,
            Spent::Exceeded(count) => {
                return self.escalate(child, EscalationCause::IntensityExceeded, count, exit);
            }
        };
        let backoff = known.seat.backoff;
        let delay = exact.unwrap_or_else(|| known.retreat.step(&backoff, up_for));
        known.wanted = Wanted::Up;
        self.actions.push(Action::RestartScheduled { child, delay, restarts_in_period });
        self.delay(now, child, delay);
        self.doom_siblings(child);
    }

    fn delay(&mut self, now: Duration, child: usize, delay: Duration) {
        self.children[child].not_before = now.saturating_add(delay);
        if !delay.is_zero() {
            self.actions.push(Action::Wake { child, after: delay });
        }
    }

    /// Marks the siblings the strategy takes down with `failed`. A temporary one is not brought
    /// back; one that is down for good stays so.
    fn doom_siblings(&mut self, failed: usize) {
        let first = match self.strategy {
            Strategy::OneForOne => return,
            Strategy::RestForOne => failed + 1,
            Strategy::OneForAll => 0,
        };
        for (index, sibling) in self.children.iter_mut().enumerate().skip(first) {
            if index == failed || sibling.state == State::Down {
                continue;
            }
            sibling.wanted = match sibling.seat.restart {
                Restart::Permanent | Restart::Transient => Wanted::Fresh,
                Restart::Temporary => Wanted::Down,
            };
            if sibling.state == State::Starting {
                self.actions.push(Action::CancelStart { child: index });
            }
        }
    }

    fn escalate(&mut self, child: usize, cause: EscalationCause, restarts: u32, exit: ChildExit) {
        let escalation = Escalation {
            supervisor: self.supervisor,
            child: self.children[child].seat.id,
            cause,
            restarts,
            exit,
        };
        self.actions.push(Action::Escalating(escalation.clone()));
        self.halt(Ending::Escalated(escalation));
    }

    fn halt(&mut self, ending: Ending) {
        self.phase = Phase::Halting(ending);
        for (index, child) in self.children.iter_mut().enumerate() {
            child.wanted = Wanted::Down;
            if child.state == State::Starting {
                self.actions.push(Action::CancelStart { child: index });
            }
        }
    }

    /// Emits the next stop or starts, from what is wanted and what is.
    fn reconcile(&mut self, now: Duration) {
        // Reverse start order, one at a time: the last doomed child must be down before the next is
        // asked. One still starting has been cancelled, one that hangs killed: they are waited for
        // as well.
        if let Some(last) = self.children.iter().rposition(Child::doomed) {
            if matches!(self.children[last].state, State::Up { .. }) {
                self.children[last].state = State::Stopping;
                self.actions.push(Action::Stop { child: last });
            }
            return;
        }
        match &self.phase {
            Phase::Booting | Phase::Halted => {}
            Phase::Running => self.start_pending(now),
            Phase::Halting(ending) => {
                self.actions.push(Action::Finish(ending.clone()));
                self.phase = Phase::Halted;
            }
        }
    }

    fn start_pending(&mut self, now: Duration) {
        let pending = |child: &Child| child.pending();
        match self.strategy {
            Strategy::OneForOne => {
                for child in 0..self.children.len() {
                    self.start_if_due(now, child);
                }
            }
            // Those after the first pending child depend on it.
            Strategy::RestForOne => {
                if let (false, Some(first)) =
                    (self.starting(), self.children.iter().position(pending))
                {
                    self.start_if_due(now, first);
                }
            }
            // All come back together: nobody starts before the last delay is over.
            Strategy::OneForAll => {
                let due = self.children.iter().filter(|c| c.pending()).all(|c| c.not_before <= now);
                let first = self.children.iter().position(pending);
                if let (false, true, Some(first)) = (self.starting(), due, first) {
                    self.start_if_due(now, first);
                }
            }
        }
    }

    fn starting(&self) -> bool {
        self.children.iter().any(|child| child.state == State::Starting)
    }

    fn start_if_due(&mut self, now: Duration, child: usize) {
        let known = &mut self.children[child];
        if known.pending() && known.not_before <= now {
            let incarnation = known.begin();
            self.actions.push(Action::Start { child, incarnation });
        }
    }
}
