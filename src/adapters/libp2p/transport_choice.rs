//! Which of two transports to a peer carries our requests: the one measured faster. Pure.
//!
//! A *trial* asks for one small block over both, in a few rounds, and compares the shortest waits:
//! the shortest is what the path needs, longer ones are what the machines were busy with. TCP is
//! preferred at first, as it costs half the CPU time of QUIC; later what is in use is. The other
//! must be faster by a margin. Afterwards one connection is left. A trial comes
//! - when both transports connect;
//! - every [`TRIAL_EVERY`], as paths change;
//! - early, when requests over the transport in use get no answer.
//!
//! Nothing here is held against the peer.

use std::time::Duration;

use crate::types::Transport;

/// Rounds of a trial. Unit: requests over each transport. Too low: a busy moment decides. Too
/// high: the better transport is used later, and the peer reads more blocks for nothing.
const ROUNDS: u32 = 3;

/// How long a trial may take; what has no answer by then has failed. Unit: time. Three rounds of
/// requests that take 0.2 s, the worst seen with delayed acknowledgements, take a fifth of it.
/// Too low: distant peers are decided on by few answers. Too high: two connections are open for
/// long, and a dead one is used for as long.
const TRIAL_MAX: Duration = Duration::from_secs(10);

/// Time between trials. Unit: time. Too low: handshakes and requests for nothing. Too high: a
/// path that got worse is used for that long.
const TRIAL_EVERY: Duration = Duration::from_secs(600);

/// Time from a trial, or from the loss of the transport in use, to the next trial where something
/// is wrong: it was lost, or requests get no answer. Unit: time. Too low: a host that hangs is
/// connected to again and again. Too high: a dead path is used longer.
const TRIAL_AGAIN: Duration = Duration::from_secs(30);

/// Requests in a row without a byte of answer after which the transport in use is doubted. Unit:
/// requests. Too low: a trial for every slow reply. Too high: a dead path is used longer.
const SILENT_MAX: u32 = 3;

/// How long a request must have waited in vain to count as silent. Unit: time. Those that are
/// stopped because another peer was faster have mostly waited less. Too low: a trial for nothing.
/// Too high, above the callers' deadlines: a dead path is not noticed.
const SILENT_AFTER: Duration = Duration::from_secs(1);

/// The other transport must take less than this part of the time, in percent. Source: two
/// measurements of one path over loopback differ by less. Too low: a faster one is not used. Too
/// high: chance decides, and each change costs a handshake.
const FASTER_PERCENT: u32 = 75;

/// And be faster by this. Unit: time. Delayed acknowledgements, what this is for, cost 40 ms and
/// more; a busy machine can cost a few. Too low: chance decides between two ways to a host nearby.
/// Too high: a faster one is not used.
const FASTER_BY: Duration = Duration::from_millis(5);

/// Names one probe among those of a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ProbeId(u32);

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Open a connection over this transport.
    Dial(Transport),
    /// Ask for a small block over this transport, and tell how long the answer took.
    Probe(Transport, ProbeId),
    /// Send requests over this transport from now on.
    Use(Transport),
    /// Close what we opened over this transport, when the requests on it have ended.
    Close(Transport),
}

/// What is there of the transport that is not in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OtherTransport {
    /// A connection.
    Connected,
    /// An address.
    Known,
    /// Nothing.
    Unknown,
}

/// The answers over one transport in a trial.
#[derive(Debug, Default)]
struct Answers {
    waits_for: Option<ProbeId>,
    shortest: Option<Duration>,
}

#[derive(Debug)]
struct Trial {
    began: Duration,
    rounds_left: u32,
    tcp: Answers,
    quic: Answers,
}

/// The choice for one connected peer.
#[derive(Debug)]
pub(super) struct TransportChoice {
    used: Transport,
    /// Whether `used` came out of a trial.
    measured: bool,
    /// Shortest wait of real requests over `used` since the last trial.
    shortest: Option<Duration>,
    silent: u32,
    trial: Option<Trial>,
    last_trial: Duration,
    next_trial: Duration,
    next_probe: u32,
}

impl TransportChoice {
    /// The first connection to a peer is up.
    pub(super) fn new(now: Duration, used: Transport) -> Self {
        Self {
            used,
            measured: false,
            shortest: None,
            silent: 0,
            trial: None,
            last_trial: now,
            next_trial: now + TRIAL_EVERY,
            next_probe: 0,
        }
    }

    /// What carries the requests.
    pub(super) fn used(&self) -> Transport {
        self.used
    }

    /// A connection over `transport` is up.
    pub(super) fn connected(&mut self, now: Duration, transport: Transport) -> Vec<Step> {
        if transport == self.used || self.trial.is_some() {
            return Vec::new();
        }
        self.begin(now)
    }

    /// No connection over `transport` is left, but one over the other.
    pub(super) fn closed(&mut self, now: Duration, transport: Transport) -> Vec<Step> {
        let interrupted = self.trial.take().is_some();
        if transport != self.used {
            if interrupted {
                self.next_trial = now + TRIAL_EVERY;
            }
            return Vec::new();
        }
        self.next_trial = now + TRIAL_AGAIN;
        self.take_into_use(transport.other(), false)
    }

    /// The answer to a probe began after `took`.
    pub(super) fn answered(&mut self, now: Duration, probe: ProbeId, took: Duration) -> Vec<Step> {
        self.ended(now, probe, Some(took))
    }

    /// A probe ended without an answer, or could not be sent.
    pub(super) fn unanswered(&mut self, now: Duration, probe: ProbeId) -> Vec<Step> {
        self.ended(now, probe, None)
    }

    /// The answer to a real request over `transport` began after `took`.
    pub(super) fn heard(&mut self, transport: Transport, took: Duration) {
        if transport == self.used {
            self.silent = 0;
            self.shortest = shorter(self.shortest, took);
        }
    }

    /// A real request over `transport` ended after `waited` without a byte of an answer.
    pub(super) fn silent(&mut self, transport: Transport, waited: Duration) {
        if transport != self.used || waited < SILENT_AFTER {
            return;
        }
        self.silent += 1;
        if self.silent >= SILENT_MAX {
            self.silent = 0;
            self.next_trial = self.next_trial.min(self.last_trial + TRIAL_AGAIN);
        }
    }

    /// Time passed.
    pub(super) fn tick(&mut self, now: Duration, other: OtherTransport) -> Vec<Step> {
        if self.trial.as_ref().is_some_and(|trial| now >= trial.began + TRIAL_MAX) {
            return self.decide(now);
        }
        if self.trial.is_some() || now < self.next_trial {
            return Vec::new();
        }
        match other {
            OtherTransport::Connected => self.begin(now),
            OtherTransport::Known => {
                // Should the dial fail, this counts as the trial.
                self.last_trial = now;
                self.next_trial = now + TRIAL_EVERY;
                vec![Step::Dial(self.used.other())]
            }
            OtherTransport::Unknown => Vec::new(),
        }
    }

    fn begin(&mut self, now: Duration) -> Vec<Step> {
        let (tcp, quic) = (Answers::default(), Answers::default());
        let trial = Trial { began: now, rounds_left: ROUNDS, tcp, quic };
        self.next_round(trial)
    }

    fn next_round(&mut self, mut trial: Trial) -> Vec<Step> {
        let (tcp, quic) = (ProbeId(self.next_probe), ProbeId(self.next_probe.wrapping_add(1)));
        self.next_probe = self.next_probe.wrapping_add(2);
        trial.rounds_left -= 1;
        trial.tcp.waits_for = Some(tcp);
        trial.quic.waits_for = Some(quic);
        self.trial = Some(trial);
        vec![Step::Probe(Transport::Tcp, tcp), Step::Probe(Transport::Quic, quic)]
    }

    fn ended(&mut self, now: Duration, probe: ProbeId, took: Option<Duration>) -> Vec<Step> {
        let Some(trial) = &mut self.trial else { return Vec::new() };
        for answers in [&mut trial.tcp, &mut trial.quic] {
            if answers.waits_for == Some(probe) {
                answers.waits_for = None;
                answers.shortest = took.map_or(answers.shortest, |t| shorter(answers.shortest, t));
            }
        }
        if trial.tcp.waits_for.is_some() || trial.quic.waits_for.is_some() {
            return Vec::new();
        }
        match self.trial.take() {
            Some(trial) if trial.rounds_left > 0 => self.next_round(trial),
            trial => {
                self.trial = trial;
                self.decide(now)
            }
        }
    }

    fn decide(&mut self, now: Duration) -> Vec<Step> {
        let Some(trial) = self.trial.take() else { return Vec::new() };
        let answers = |transport| match transport {
            Transport::Tcp => trial.tcp.shortest,
            Transport::Quic => trial.quic.shortest,
        };
        let preferred = if self.measured { self.used } else { Transport::Tcp };
        let rival = preferred.other();
        let winner = match (answers(preferred), answers(rival)) {
            (None, None) => self.used,
            (None, Some(_)) => rival,
            (Some(_), None) => preferred,
            (Some(wait), Some(rivals)) => {
                // Under load a probe waits behind other replies, and a rival without load would
                // win each time: what the path needed in a calm moment counts.
                let calm = self.shortest.filter(|_| preferred == self.used);
                let wait = calm.map_or(wait, |calm| calm.min(wait));
                let much = rivals * 100 < wait * FASTER_PERCENT && rivals + FASTER_BY < wait;
                if much { rival } else { preferred }
            }
        };
        let measured = answers(winner).is_some();
        tracing::debug!(
            tcp = ?trial.tcp.shortest, quic = ?trial.quic.shortest, %winner, "transports compared"
        );
        self.last_trial = now;
        self.next_trial = now + TRIAL_EVERY;
        let loser = winner.other();
        let mut steps = self.take_into_use(winner, measured);
        steps.push(Step::Close(loser));
        steps
    }

    fn take_into_use(&mut self, transport: Transport, measured: bool) -> Vec<Step> {
        let moved = transport != self.used;
        self.used = transport;
        self.measured = measured;
        self.shortest = None;
        self.silent = 0;
        if moved { vec![Step::Use(transport)] } else { Vec::new() }
    }
}

fn shorter(shortest: Option<Duration>, took: Duration) -> Option<Duration> {
    Some(shortest.map_or(took, |shortest| shortest.min(took)))
}

#[cfg(test)]
#[path = "transport_choice_tests.rs"]
mod tests;
