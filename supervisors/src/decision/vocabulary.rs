//! What goes into the core and what comes out.

use std::time::Duration;

use crate::exit::{ChildExit, Directive, Escalation};

/// What happened.
#[derive(Debug)]
pub(crate) enum Event {
    Started {
        child: usize,
        incarnation: u64,
    },
    /// Ended, or failed to start; `directive` is the verdict of the child's hook.
    Exited {
        child: usize,
        incarnation: u64,
        exit: ChildExit,
        directive: Directive,
    },
    /// A start was given up because of `CancelStart`.
    StartCancelled {
        child: usize,
        incarnation: u64,
    },
    /// The question of an `Ask` was answered.
    Answered {
        child: usize,
        incarnation: u64,
    },
    /// It was not answered in time.
    Silent {
        child: usize,
        incarnation: u64,
    },
    /// A `Wake` is due.
    Woke {
        child: usize,
    },
    ShutdownAsked,
}

/// What to do.
#[derive(Debug)]
pub(crate) enum Action {
    Start {
        child: usize,
        incarnation: u64,
    },
    CancelStart {
        child: usize,
    },
    Stop {
        child: usize,
    },
    /// Ask for a sign of life, after the pause that the child's heartbeat has, and tell what came.
    Ask {
        child: usize,
        incarnation: u64,
    },
    /// Kill the child: it hangs. Its end is awaited.
    Kill {
        child: usize,
    },
    /// Send `Woke` back after this time.
    Wake {
        child: usize,
        after: Duration,
    },
    /// Tell observers: a restart was decided.
    RestartScheduled {
        child: usize,
        delay: Duration,
        restarts_in_period: u32,
    },
    /// Tell observers: the supervisor gives up; stops follow.
    Escalating(Escalation),
    /// The child stays down: nobody needs to wait for it.
    LeaveDown {
        child: usize,
        incarnation: u64,
    },
    /// Every child is down: end.
    Finish(Ending),
}

/// Why the supervisor ends.
#[derive(Debug, Clone)]
pub(crate) enum Ending {
    Shutdown,
    Escalated(Escalation),
}

/// Where one child is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChildStatus {
    /// Down for good.
    Down,
    /// Down, to be started again when its delay or its turn has come.
    Waiting,
    /// In `pre_start`.
    Starting,
    /// Up.
    Running,
    /// Killed because it gave no sign of life, not yet ended.
    Hung,
    /// Asked to stop, not yet ended.
    Stopping,
}
