//! Whether something that keeps failing is asked again. Pure: time comes in as a value.
//!
//! A breaker is closed while calls pass. It opens after failures in a row, or when most of its
//! recent calls failed, and refuses all calls for a pause. Then it is half-open: exactly one call
//! passes, the probe. If that succeeds it closes; if it fails it opens again, for longer. A probe
//! of which nobody tells the outcome gives its place to the next call.
//!
//! A failure counts only if its call began after the last failure that counted. What was open
//! together fails together, when a link is cut; that is one piece of news and not twenty-four.

use std::{collections::VecDeque, time::Duration};

use serde::{Deserialize, Serialize};

use super::retry::Pauses;

/// When a breaker opens.
#[derive(Debug, Clone, Copy)]
pub(super) struct BreakerSettings {
    /// Failures in a row that open it. Unit: calls, at least 1.
    pub(super) failures_in_row: usize,
    /// Of so many last outcomes the share of failures is looked at. Unit: calls.
    pub(super) window: usize,
    /// The share says nothing while fewer outcomes than this are known. Unit: calls.
    pub(super) window_least: usize,
    /// Older outcomes do not count. Unit: time.
    pub(super) window_within: Duration,
    /// It opens when more of the window failed than this. Unit: thousandths.
    pub(super) failed_share: usize,
    /// Between two probes that come before their time. Unit: time.
    pub(super) early_every: Duration,
}

/// Where a breaker is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BreakerState {
    /// Calls pass.
    Closed,
    /// No call passes.
    Open,
    /// One call passes, to see.
    HalfOpen,
}

impl BreakerState {
    /// The name, as in logs and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
        }
    }
}

/// What became of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CallEnd {
    /// It was answered.
    Succeeded,
    /// It failed, and who was called is to blame.
    Failed,
    /// It says nothing about who was called: we gave it up, or could not make it.
    NoNews,
}

/// The right to make one call. Its end must be told to the breaker that gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pass {
    turn: u64,
    /// Whether it was given by a half-open breaker.
    pub(super) is_probe: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Closed,
    Open {
        until: Duration,
    },
    HalfOpen {
        /// The turn of the probe under way.
        probe: Option<u64>,
        /// For a probe before its time: until when it would have been open.
        early_until: Option<Duration>,
    },
}

/// Failed probes that are remembered. Unit: probes. Source: pauses reach their maximum before. Too
/// low: pauses stop growing. Too high: memory.
const REOPENINGS_MAX: usize = 16;

/// One breaker.
pub(super) struct Breaker {
    settings: BreakerSettings,
    phase: Phase,
    /// When each failure since the last success was.
    row: Vec<Duration>,
    /// Each outcome in the window: when, and whether it failed.
    outcomes: VecDeque<(Duration, bool)>,
    /// The turn of the last call that passed. Turns tell what began before what, also of calls
    /// that began at one moment.
    turn: u64,
    /// Calls up to this turn began before the last failure that counted.
    failed_after: u64,
    /// When it opened, the first time since it was closed.
    opened_at: Duration,
    /// When probes failed since.
    reopened: Vec<Duration>,
    /// When the last probe before its time began, or it opened.
    early_at: Duration,
}

impl Breaker {
    /// A closed breaker.
    pub(super) const fn new(settings: BreakerSettings) -> Self {
        Self {
            settings,
            phase: Phase::Closed,
            row: Vec::new(),
            outcomes: VecDeque::new(),
            turn: 0,
            failed_after: 0,
            opened_at: Duration::ZERO,
            reopened: Vec::new(),
            early_at: Duration::ZERO,
        }
    }

    pub(super) const fn state(&self) -> BreakerState {
        match self.phase {
            Phase::Closed => BreakerState::Closed,
            Phase::Open { .. } => BreakerState::Open,
            Phase::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    /// Failures since the last success.
    pub(super) const fn failures_in_row(&self) -> usize {
        self.row.len()
    }

    /// Until when it refuses all calls, if it does.
    pub(super) const fn open_until(&self) -> Option<Duration> {
        if let Phase::Open { until } = self.phase { Some(until) } else { None }
    }

    /// Whether one more call may be made. With `early`, an open breaker lets a probe pass before
    /// its time, at most one each [`BreakerSettings::early_every`].
    ///
    /// # Errors
    /// How long it stays open at most; zero while a probe is under way.
    pub(super) fn admit(&mut self, now: Duration, early: bool) -> Result<Pass, Duration> {
        let early_until = match self.phase {
            Phase::Closed => return Ok(self.pass(false)),
            Phase::HalfOpen { probe: Some(_), .. } => return Err(Duration::ZERO),
            Phase::HalfOpen { probe: None, .. } => None,
            Phase::Open { until } if until <= now => None,
            Phase::Open { until } => {
                if !early || now < self.early_at.saturating_add(self.settings.early_every) {
                    return Err(until.saturating_sub(now));
                }
                self.early_at = now;
                Some(until)
            }
        };
        let pass = self.pass(true);
        self.phase = Phase::HalfOpen { probe: Some(pass.turn), early_until };
        Ok(pass)
    }

    fn pass(&mut self, is_probe: bool) -> Pass {
        self.turn += 1;
        Pass { turn: self.turn, is_probe }
    }

    /// The call of `pass` has ended. `pauses` says how long to stay open, should that be so.
    pub(super) fn ended(&mut self, now: Duration, pass: Pass, end: CallEnd, pauses: &mut Pauses) {
        match end {
            CallEnd::Succeeded => self.succeeded(now),
            CallEnd::Failed => self.failed(now, pass, pauses),
            CallEnd::NoNews => self.no_news(pass),
        }
    }

    fn succeeded(&mut self, now: Duration) {
        self.row.clear();
        match self.phase {
            Phase::Closed => self.note(now, false),
            // A call that began before it opened went well: the next one may see.
            Phase::Open { .. } => {
                self.phase = Phase::HalfOpen { probe: None, early_until: None };
            }
            Phase::HalfOpen { .. } => {
                self.phase = Phase::Closed;
                self.reopened.clear();
                // What opened it must not open it again at the next failure.
                self.outcomes.clear();
            }
        }
    }

    fn failed(&mut self, now: Duration, pass: Pass, pauses: &mut Pauses) {
        match self.phase {
            Phase::HalfOpen { probe: Some(turn), early_until } if turn == pass.turn => {
                self.failed_after = self.turn;
                // A probe before its time is an exception that must not cost what a probe costs.
                let until = early_until.unwrap_or_else(|| {
                    if self.reopened.len() < REOPENINGS_MAX {
                        self.reopened.push(now);
                    }
                    self.early_at = now;
                    now.saturating_add(pauses.after(self.reopened.len()))
                });
                self.phase = Phase::Open { until };
            }
            Phase::Closed if pass.turn > self.failed_after => {
                self.failed_after = self.turn;
                self.row.push(now);
                self.note(now, true);
                if self.row.len() >= self.settings.failures_in_row || self.mostly_failed() {
                    self.opened_at = now;
                    self.early_at = now;
                    self.phase = Phase::Open { until: now.saturating_add(pauses.after(0)) };
                }
            }
            // It began before the last failure that counted.
            Phase::Closed | Phase::Open { .. } | Phase::HalfOpen { .. } => {}
        }
    }

    fn no_news(&mut self, pass: Pass) {
        if let Phase::HalfOpen { probe: Some(turn), early_until } = self.phase
            && turn == pass.turn
        {
            self.phase = match early_until {
                // Others before their time wait for their turn as if it had been told.
                Some(until) => Phase::Open { until },
                None => Phase::HalfOpen { probe: None, early_until: None },
            };
        }
    }

    /// Forgets all failures since `since`, and is as if they had not been.
    pub(super) fn take_back(&mut self, since: Duration) {
        self.row.retain(|at| *at < since);
        self.outcomes.retain(|(at, failed)| !failed || *at < since);
        let reopened = self.reopened.len();
        self.reopened.retain(|at| *at < since);
        if self.phase != Phase::Closed && self.opened_at >= since {
            self.phase = Phase::Closed;
            self.reopened.clear();
        } else if let Phase::Open { .. } = self.phase
            && self.reopened.len() < reopened
        {
            self.phase = Phase::HalfOpen { probe: None, early_until: None };
        }
    }

    fn note(&mut self, now: Duration, failed: bool) {
        self.outcomes.push_back((now, failed));
        let oldest = now.saturating_sub(self.settings.window_within);
        while self.outcomes.len() > self.settings.window
            || self.outcomes.front().is_some_and(|(at, _)| *at < oldest)
        {
            self.outcomes.pop_front();
        }
    }

    fn mostly_failed(&self) -> bool {
        let failed = self.outcomes.iter().filter(|(_, failed)| *failed).count();
        self.outcomes.len() >= self.settings.window_least
            && failed * 1_000 > self.outcomes.len() * self.settings.failed_share
    }
}

#[cfg(test)]
#[path = "breaker_tests.rs"]
mod tests;
