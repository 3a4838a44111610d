//! Whether the sync stands still, and what it waits for. Pure.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{scheduler::Front, types::Height};

/// Without an import for this long, a sync below its target stands still. Unit: time. Too low:
/// large blocks over slow links look like a stall. Too high: an operator learns late.
pub(super) const STALLED_AFTER: Duration = Duration::from_secs(3);

/// Time between two questions to the scheduler while the sync stands still. Too low: idle work. Too
/// high: the reason shown is that old.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// A sync that stands still.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stall {
    /// Since the last import, or since there was something to import. Unit: seconds.
    pub seconds: f64,
    /// What it waits for.
    #[serde(flatten)]
    pub reason: StallReason,
}

/// What a sync waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "waits_for")]
pub enum StallReason {
    /// There is nobody to ask.
    Peers,
    /// No peer may be asked for this height now: they lack it, are paused, or memory is short.
    Turn {
        /// The lowest height that is missing.
        height: Height,
    },
    /// A peer was asked for this height and has not sent it.
    Reply {
        /// The height.
        height: Height,
        /// The peer.
        peer: String,
    },
    /// The block at this height is being verified.
    Verification {
        /// The height.
        height: Height,
    },
    /// The block at this height is being imported.
    Import {
        /// The height.
        height: Height,
    },
    /// The scheduler does not answer: it is starting, or very busy.
    Scheduler,
}

impl fmt::Display for StallReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Peers => f.write_str("waits for peers"),
            Self::Turn { height } => {
                write!(f, "no peer may be asked for block {height} now")
            }
            Self::Reply { height, peer } => write!(f, "waits for block {height} from {peer}"),
            Self::Verification { height } => write!(f, "waits for block {height} to be verified"),
            Self::Import { height } => write!(f, "waits for block {height} to be imported"),
            Self::Scheduler => f.write_str("waits for the download scheduler"),
        }
    }
}

impl fmt::Display for Stall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "nothing was imported for {:.0} s: {}", self.seconds, self.reason)
    }
}

/// Watches for stalls.
#[derive(Debug, Default)]
pub(super) struct StallWatch {
    /// The head, and since when it is that and below the target.
    still: Option<(Height, Duration)>,
    /// What the front was when the scheduler last said so.
    front: Option<Front>,
    next_question: Duration,
}

impl StallWatch {
    /// Takes in how far the sync is. `behind`: an active sync below its target.
    pub(super) fn look(&mut self, now: Duration, head: Height, behind: bool) {
        let same = self.still.is_some_and(|(before, _)| before == head);
        if !behind {
            self.still = None;
        } else if !same {
            self.still = Some((head, now));
        }
        if !self.is_stalled(now) {
            self.front = None;
        }
    }

    /// What the scheduler says about the front; none if it does not answer.
    pub(super) fn told(&mut self, front: Option<Front>) {
        self.front = front;
    }

    /// Whether the scheduler should be asked now where the front is. At most once a second.
    pub(super) fn should_ask(&mut self, now: Duration) -> bool {
        let due = self.is_stalled(now) && now >= self.next_question;
        if due {
            self.next_question = now + ASK_EVERY;
        }
        due
    }

    fn is_stalled(&self, now: Duration) -> bool {
        self.still.is_some_and(|(_, since)| now.saturating_sub(since) >= STALLED_AFTER)
    }

    /// The stall, if there is one.
    pub(super) fn stall(&self, now: Duration, usable_peers: usize) -> Option<Stall> {
        let (_, since) = self.still.filter(|_| self.is_stalled(now))?;
        let reason = match self.front {
            _ if usable_peers == 0 => StallReason::Peers,
            None | Some(Front::Closed) => StallReason::Scheduler,
            Some(Front::Wanted { height }) => StallReason::Turn { height },
            Some(Front::InFlight { height, peer }) => {
                StallReason::Reply { height, peer: peer.to_string() }
            }
            Some(Front::Verifying { height }) => StallReason::Verification { height },
            Some(Front::Importing { height }) => StallReason::Import { height },
        };
        Some(Stall { seconds: now.saturating_sub(since).as_secs_f64(), reason })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::PeerId;

    const SECOND: Duration = Duration::from_secs(1);

    fn stalled(front: Option<Front>, usable_peers: usize) -> Stall {
        let mut watch = StallWatch::default();
        watch.look(SECOND, Height::new(7), true);
        assert_eq!(watch.stall(3 * SECOND, usable_peers), None, "not yet");
        watch.look(5 * SECOND, Height::new(7), true);
        watch.told(front);
        watch.stall(5 * SECOND, usable_peers).unwrap()
    }

    #[test]
    fn stall_is_told_within_five_seconds_with_what_it_waits_for() {
        let height = Height::new(8);
        let peer = PeerId::random();
        let reason = |front| stalled(Some(front), 2).reason;
        assert_eq!(reason(Front::Wanted { height }), StallReason::Turn { height });
        let waits = StallReason::Reply { height, peer: peer.to_string() };
        assert_eq!(reason(Front::InFlight { height, peer }), waits);
        assert_eq!(reason(Front::Verifying { height }), StallReason::Verification { height });
        assert_eq!(reason(Front::Importing { height }), StallReason::Import { height });
        assert_eq!(stalled(None, 2).reason, StallReason::Scheduler);
        let alone = stalled(Some(Front::Wanted { height }), 0);
        assert_eq!((alone.seconds, &alone.reason), (4.0, &StallReason::Peers));
        assert_eq!(alone.to_string(), "nothing was imported for 4 s: waits for peers");
    }

    #[test]
    fn progress_and_arrival_end_a_stall() {
        let mut watch = StallWatch::default();
        watch.look(SECOND, Height::new(7), true);
        watch.look(9 * SECOND, Height::new(7), true);
        assert!(watch.should_ask(9 * SECOND));
        assert!(!watch.should_ask(9 * SECOND), "the answer is on its way");
        assert!(watch.should_ask(10 * SECOND));
        watch.look(10 * SECOND, Height::new(8), true);
        assert_eq!(watch.stall(11 * SECOND, 1), None);
        watch.look(20 * SECOND, Height::new(8), false);
        assert_eq!(watch.stall(30 * SECOND, 1), None, "at the target nothing is missing");
    }
}
