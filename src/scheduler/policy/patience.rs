//! How long the next block of a peer may take, from how long its blocks took so far. Pure.

use std::{collections::VecDeque, time::Duration};

/// Waits of a peer that are remembered. Unit: pieces of replies. Too low: one outlier decides. Too
/// high: a peer that became slow or quick is noticed late.
const SAMPLES_MAX: usize = 64;
/// Waits below which nothing is known, and the longest deadline holds. Too low: a few quick replies
/// make a slow one fail. Too high: a new peer that hangs holds its blocks for long.
const SAMPLES_MIN: usize = 8;
/// The quantile of waits, in hundredths, that a deadline is a multiple of. Source: as for hedges.
/// Too low: ordinary hiccups fail. Too high: one hiccup sets the deadline.
const USUAL_PERCENT: usize = 95;
/// A wait is a failure at this many times the quantile. Source: three round trips are geth's and
/// reth's; a hedge is out at two, and has to have the time to win. Too low: honest peers fail. Too
/// high: silent ones hold their blocks for long.
const FAILED_FACTOR: u32 = 4;
/// The shortest deadline. Unit: time. Source: reth's and geth's floor. Too low: a garbage
/// collection or a disk sync of the peer fails a request. Too high: each silent peer costs so much.
const DEADLINE_MIN: Duration = Duration::from_secs(2);

/// How long pieces of a peer's replies took.
#[derive(Debug, Clone, Default)]
pub(super) struct Patience {
    waits: VecDeque<Duration>,
}

impl Patience {
    /// A piece arrived after `wait`, from its request or the piece before.
    pub(super) fn arrived(&mut self, wait: Duration) {
        if self.waits.len() == SAMPLES_MAX {
            self.waits.pop_front();
        }
        self.waits.push_back(wait);
    }

    /// How long a block may take that should be here after `expected`. At most `longest`.
    pub(super) fn block_deadline(&self, expected: Duration, longest: Duration) -> Duration {
        if self.waits.len() < SAMPLES_MIN {
            return longest;
        }
        let mut waits: Vec<_> = self.waits.iter().copied().collect();
        waits.sort_unstable();
        let usual = waits.get(waits.len() * USUAL_PERCENT / 100).copied().unwrap_or_default();
        let deadline = usual.max(expected).saturating_mul(FAILED_FACTOR);
        deadline.max(DEADLINE_MIN).min(longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const LONGEST: Duration = Duration::from_secs(8);

    fn after(waits: impl IntoIterator<Item = Duration>) -> Patience {
        let mut patience = Patience::default();
        waits.into_iter().for_each(|wait| patience.arrived(wait));
        patience
    }

    #[test]
    fn deadline_follows_what_is_usual_for_the_peer_and_stays_between_its_bounds() {
        let deadline = |patience: &Patience| patience.block_deadline(Duration::ZERO, LONGEST);
        assert_eq!(deadline(&after([MS; SAMPLES_MIN - 1])), LONGEST, "nothing is known");
        assert_eq!(deadline(&after([MS; SAMPLES_MIN])), DEADLINE_MIN);
        assert_eq!(deadline(&after([900 * MS; 20])), 3_600 * MS);
        assert_eq!(deadline(&after([5_000 * MS; 20])), LONGEST);
        let mut waits = vec![700 * MS; 60];
        waits.extend([7_000 * MS; 3]);
        assert_eq!(deadline(&after(waits)), 2_800 * MS, "three outliers are not usual");
    }

    #[test]
    fn block_behind_many_others_has_the_time_that_those_take() {
        let patience = after([MS; 20]);
        assert_eq!(patience.block_deadline(1_500 * MS, LONGEST), 6_000 * MS);
    }

    #[test]
    fn operator_who_is_less_patient_decides() {
        assert_eq!(after([900 * MS; 20]).block_deadline(Duration::ZERO, MS), MS);
    }

    #[test]
    fn old_waits_are_forgotten() {
        let mut waits = vec![5_000 * MS; SAMPLES_MAX];
        waits.extend([MS; SAMPLES_MAX]);
        assert_eq!(after(waits).block_deadline(Duration::ZERO, LONGEST), DEADLINE_MIN);
    }
}
