//! How often and how fast: restart budgets, the delays of one child, and its heartbeat.
//!
//! Pure: time comes in as the time since the supervisor started. Owns no timer.

use std::collections::VecDeque;
use std::time::Duration;

/// First delay. Unit: time. Source: a restarted child should be back before anyone waiting for it
/// notices. Too low: a child that dies at once burns its budget before a passing fault has passed.
/// Too high: every single crash is felt.
const BACKOFF_FIRST: Duration = Duration::from_millis(10);

/// Longest delay. Unit: time. Source: ten doublings of the first. Too low: a lasting fault is
/// retried so often that it spends the budget; too high: the child comes back late.
const BACKOFF_MAX: Duration = Duration::from_secs(10);

/// Time up after which a child counts as healthy. Unit: time. Source: three times the longest
/// delay. Too low: a child failing in a slow rhythm never backs off; too high: old failures are
/// held against a healthy child.
const BACKOFF_RESET_AFTER: Duration = Duration::from_secs(30);

/// The restart budget of a supervisor, or of one child of it: more than `max_restarts` within
/// `within` and the supervisor escalates.
///
/// Budgets multiply across levels: a parent that allows 3 restarts of a supervisor that allows 5
/// allows up to 20 failures of the leaf. There is no default: the owner of the tree must choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Intensity {
    /// Restarts allowed in the period; 0 escalates on the first failure.
    pub max_restarts: u32,
    /// Length of the sliding period. A restart exactly this old no longer counts.
    pub within: Duration,
}

/// How a child is asked for signs of life. At most one question is open at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heartbeat {
    /// From one question to the next, unless the answer takes longer: it is looked for at this
    /// pace. Too low: idle work. Too high: a child that hangs is noticed that much later.
    pub every: Duration,
    /// The time to answer; one that takes longer hangs. Too low: a busy machine kills healthy
    /// children. Too high: a child that hangs is noticed late.
    pub within: Duration,
}

/// Delays between the restarts of one child: doubling from `first` to `max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// Delay before the first restart; zero restarts at once, always.
    pub first: Duration,
    /// Ceiling of the delay.
    pub max: Duration,
    /// A child that was up this long is healthy: its next failure starts again at `first`.
    pub reset_after: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first: BACKOFF_FIRST, max: BACKOFF_MAX, reset_after: BACKOFF_RESET_AFTER }
    }
}

/// The restarts inside one sliding period.
#[derive(Debug)]
pub(crate) struct RestartBudget {
    intensity: Intensity,
    restarts: VecDeque<Duration>,
}

/// Whether the budget bears one restart more; both arms tell the restarts in the period.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Spent {
    Within(u32),
    Exceeded(u32),
}

impl RestartBudget {
    pub(crate) fn new(intensity: Intensity) -> Self {
        Self { intensity, restarts: VecDeque::new() }
    }

    /// Books one restart at `now`. Holds at most one entry more than the budget.
    pub(crate) fn spend(&mut self, now: Duration) -> Spent {
        let within = self.intensity.within;
        while self.restarts.front().is_some_and(|at| now.saturating_sub(*at) >= within) {
            self.restarts.pop_front();
        }
        self.restarts.push_back(now);
        let count = u32::try_from(self.restarts.len()).unwrap_or(u32::MAX);
        if count > self.intensity.max_restarts {
            self.restarts.pop_back();
            Spent::Exceeded(count)
        } else {
            Spent::Within(count)
        }
    }
}

/// How far one child has backed off.
#[derive(Debug, Default)]
pub(crate) struct Retreat {
    failures: u32,
}

impl Retreat {
    /// The delay before the next start of a child that failed after `up_for`.
    pub(crate) fn step(&mut self, backoff: &Backoff, up_for: Duration) -> Duration {
        if up_for >= backoff.reset_after {
            self.failures = 0;
        }
        let doubled = 1_u32.checked_shl(self.failures).unwrap_or(u32::MAX);
        self.failures = self.failures.saturating_add(1);
        backoff.first.saturating_mul(doubled).min(backoff.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn delay_doubles_to_the_ceiling_and_stays_there() {
        let backoff = Backoff { first: ms(10), max: ms(50), reset_after: ms(1000) };
        let mut retreat = Retreat::default();
        let delays: Vec<_> = (0..5).map(|_| retreat.step(&backoff, ms(0))).collect();
        assert_eq!(delays, [ms(10), ms(20), ms(40), ms(50), ms(50)]);
    }

    #[test]
    fn delay_starts_again_after_a_healthy_time() {
        let backoff = Backoff { first: ms(10), max: ms(50), reset_after: ms(1000) };
        let mut retreat = Retreat::default();
        retreat.step(&backoff, ms(0));
        assert_eq!(retreat.step(&backoff, ms(999)), ms(20));
        assert_eq!(retreat.step(&backoff, ms(1000)), ms(10));
    }

    #[test]
    fn delay_survives_more_failures_than_the_shift_has_bits() {
        let backoff = Backoff { first: ms(1), max: Duration::MAX, reset_after: ms(1000) };
        let mut retreat = Retreat { failures: u32::MAX };
        assert_eq!(retreat.step(&backoff, ms(0)), ms(1).saturating_mul(u32::MAX));
    }

    #[test]
    fn budget_of_zero_bears_no_restart() {
        let mut budget = RestartBudget::new(Intensity { max_restarts: 0, within: ms(1000) });
        assert_eq!(budget.spend(ms(5)), Spent::Exceeded(1));
    }

    proptest! {
        #[test]
        fn budget_agrees_with_counting_every_restart(
            max_restarts in 0_u32..6,
            within in 1_u64..200,
            gaps in prop::collection::vec(0_u64..100, 1..60),
        ) {
            let mut budget = RestartBudget::new(Intensity { max_restarts, within: ms(within) });
            let (mut now, mut booked) = (0, Vec::new());
            for gap in gaps {
                now += gap;
                let inside = 1 + booked.iter().filter(|at| now - **at < within).count();
                let inside = u32::try_from(inside).unwrap();
                let expected = if inside > max_restarts {
                    Spent::Exceeded(inside)
                } else {
                    booked.push(now);
                    Spent::Within(inside)
                };
                prop_assert_eq!(budget.spend(ms(now)), expected);
            }
        }
    }
}
