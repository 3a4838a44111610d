//! How fast the sync is, measured over contiguous imported blocks only. Pure.

use std::{collections::VecDeque, time::Duration};

use crate::types::Height;

/// Over how long rates are measured. Unit: time. Too low: the figures jump. Too high: they are
/// old when the speed changes.
const WINDOW: Duration = Duration::from_secs(10);
/// Least time between two samples, so that their number is bounded.
const SAMPLE_EVERY: Duration = Duration::from_millis(200);

#[derive(Debug, Clone, Copy)]
struct Sample {
    at: Duration,
    blocks: u64,
    bytes: u64,
}

/// Counts what was imported.
#[derive(Debug, Default)]
pub(super) struct Progress {
    blocks: u64,
    bytes: u64,
    samples: VecDeque<Sample>,
}

/// Speeds at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Rates {
    pub(super) blocks_per_second: f64,
    pub(super) bytes_per_second: f64,
}

impl Progress {
    pub(super) fn imported(&mut self, now: Duration, blocks: u64, bytes: u64) {
        self.blocks += blocks;
        self.bytes += bytes;
        self.sample(now);
    }

    pub(super) fn blocks(&self) -> u64 {
        self.blocks
    }

    /// Keeps the window moving while nothing is imported.
    pub(super) fn sample(&mut self, now: Duration) {
        let sample = Sample { at: now, blocks: self.blocks, bytes: self.bytes };
        let due = self.samples.back().is_none_or(|last| now >= last.at + SAMPLE_EVERY);
        if due {
            self.samples.push_back(sample);
        }
        while self.samples.len() > 2 && self.samples.front().is_some_and(|s| s.at + WINDOW < now) {
            self.samples.pop_front();
        }
    }

    pub(super) fn rates(&self, now: Duration) -> Rates {
        let Some(first) = self.samples.front() else { return Rates::default() };
        let seconds = now.saturating_sub(first.at).as_secs_f64();
        if seconds <= 0.0 {
            return Rates::default();
        }
        Rates {
            blocks_per_second: (self.blocks - first.blocks) as f64 / seconds,
            bytes_per_second: (self.bytes - first.bytes) as f64 / seconds,
        }
    }

    /// Time to the target at the present speed; `None` when nothing moves.
    pub(super) fn eta(&self, now: Duration, head: Height, target: Height) -> Option<Duration> {
        let behind = target.blocks_above(head);
        if behind == 0 {
            return Some(Duration::ZERO);
        }
        let rate = self.rates(now).blocks_per_second;
        Duration::try_from_secs_f64(behind as f64 / rate).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn rate_is_that_of_the_window_and_falls_to_zero_when_nothing_moves() {
        let mut progress = Progress::default();
        progress.sample(at(0));
        for step in 1..=100 {
            progress.imported(at(step * 200), 20, 2_000);
        }
        let rates = progress.rates(at(20_000));
        assert!((rates.blocks_per_second - 100.0).abs() < 3.0, "{rates:?}");
        assert!((rates.bytes_per_second - 10_000.0).abs() < 300.0);
        for step in 101..=200 {
            progress.sample(at(step * 200));
        }
        assert_eq!(progress.rates(at(40_000)).blocks_per_second, 0.0);
        assert_eq!(progress.eta(at(40_000), Height::new(1), Height::new(2)), None);
    }

    #[test]
    fn eta_is_what_is_left_at_the_present_speed() {
        let mut progress = Progress::default();
        progress.sample(at(0));
        progress.imported(at(2_000), 200, 0);
        let eta = progress.eta(at(2_000), Height::new(200), Height::new(700)).unwrap();
        assert!((eta.as_secs_f64() - 5.0).abs() < 0.1);
        assert_eq!(progress.eta(at(2_000), Height::new(7), Height::new(7)), Some(Duration::ZERO));
    }
}
