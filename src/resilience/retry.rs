//! Pauses that grow from failure to failure. The only file that knows backoff.
//!
//! The crate only doubles here. Its own jitter takes the entropy of the thread, which no run could
//! repeat, so it is off and chance comes from our seeded generator; and it gives up after a quarter
//! of an hour unless told not to.

use std::time::{Duration, Instant};

use backoff::{Clock, backoff::Backoff as _, exponential::ExponentialBackoff};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

/// By how much a pause grows. Source: the usual doubling. Too low: something dead is asked often.
/// Too high: the second failure costs as much as the tenth.
const GROWTH: f64 = 2.0;

/// The crate measures how long it has been trying, and without an end to that never looks at it.
struct NoTime(Instant);

impl Clock for NoTime {
    fn now(&self) -> Instant {
        self.0
    }
}

/// How long to stay away from something that failed, and failed again each time it was tried.
pub(crate) struct Pauses {
    first: Duration,
    max: Duration,
    random: StdRng,
}

impl Pauses {
    /// Pauses from `first` to `max`, each a millisecond at least. `seed` decides what is left to
    /// chance.
    pub(crate) fn new(first: Duration, max: Duration, seed: u64) -> Self {
        Self { first, max: max.max(first), random: StdRng::seed_from_u64(seed) }
    }

    /// The pause before it is tried again, when `repeats` tries have failed since the first
    /// failure. The first pause is exact. Of the longer ones half is left to chance, so that what
    /// failed at once is not tried at once for ever.
    pub(crate) fn after(&mut self, repeats: usize) -> Duration {
        if repeats == 0 {
            return self.first;
        }
        let start = Instant::now();
        let mut growing = ExponentialBackoff {
            current_interval: self.first,
            initial_interval: self.first,
            randomization_factor: 0.0,
            multiplier: GROWTH,
            max_interval: self.max,
            start_time: start,
            max_elapsed_time: None,
            clock: NoTime(start),
        };
        let mut pause = self.first;
        for _ in 0..=repeats {
            pause = growing.next_backoff().unwrap_or(self.max);
            if pause >= self.max {
                break;
            }
        }
        // Even without jitter the crate adds a random part of a nanosecond, which may round up.
        let pause = Duration::from_millis(u64::try_from(pause.as_millis()).unwrap_or(u64::MAX));
        self.random.random_range(pause / 2..=pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_secs(300);
    const MAX: Duration = Duration::from_secs(3_600);

    #[test]
    fn first_pause_is_exact_and_each_next_one_twice_as_long_up_to_the_longest() {
        for seed in 0..200 {
            let mut pauses = Pauses::new(FIRST, MAX, seed);
            assert_eq!(pauses.after(0), FIRST);
            for (repeats, whole) in [(1, 600), (2, 1_200), (3, 2_400), (4, 3_600), (999, 3_600)] {
                let whole = Duration::from_secs(whole);
                let pause = pauses.after(repeats);
                assert!((whole / 2..=whole).contains(&pause), "{repeats}: {pause:?}");
            }
        }
    }

    #[test]
    fn chance_follows_from_the_seed_and_from_nothing_else() {
        let after = |seed| {
            let mut pauses = Pauses::new(FIRST, MAX, seed);
            (0..20_000).map(|_| pauses.after(3)).collect::<Vec<_>>()
        };
        assert_eq!(after(1), after(1));
        assert_ne!(after(1), after(2));
    }

    #[test]
    fn longest_pause_below_the_first_is_the_first() {
        let mut pauses = Pauses::new(FIRST, Duration::ZERO, 1);
        assert_eq!(pauses.after(0), FIRST);
        assert!((FIRST / 2..=FIRST).contains(&pauses.after(5)));
    }
}
