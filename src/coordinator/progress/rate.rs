//! Speeds over a stated window. Pure.

use std::{collections::VecDeque, time::Duration};

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

/// Counts what was imported, and how much of it lately.
#[derive(Debug, Default)]
pub(super) struct RateWindow {
    blocks: u64,
    bytes: u64,
    samples: VecDeque<Sample>,
}

/// Speeds at one moment, over a window that ends then.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(in crate::coordinator) struct Rates {
    /// Unit: blocks per second.
    pub(in crate::coordinator) blocks: f64,
    /// Unit: bytes per second.
    pub(in crate::coordinator) bytes: f64,
    /// Length of the window: ten seconds, less at the start. Unit: seconds.
    pub(in crate::coordinator) window: f64,
}

impl RateWindow {
    pub(super) fn imported(&mut self, now: Duration, blocks: u64, bytes: u64) {
        self.blocks += blocks;
        self.bytes += bytes;
        self.sample(now);
    }

    /// Keeps the window moving while nothing is imported.
    pub(super) fn sample(&mut self, now: Duration) {
        let sample = Sample { at: now, blocks: self.blocks, bytes: self.bytes };
        let due = self.samples.back().is_none_or(|last| now >= last.at + SAMPLE_EVERY);
        if due {
            self.samples.push_back(sample);
        }
        // The window begins with the newest sample that is old enough.
        while self.samples.get(1).is_some_and(|second| second.at + WINDOW <= now) {
            self.samples.pop_front();
        }
    }

    pub(super) fn rates(&self, now: Duration) -> Rates {
        let Some(first) = self.samples.front() else { return Rates::default() };
        let window = now.saturating_sub(first.at).as_secs_f64();
        if window <= 0.0 {
            return Rates::default();
        }
        Rates {
            blocks: (self.blocks - first.blocks) as f64 / window,
            bytes: (self.bytes - first.bytes) as f64 / window,
            window,
        }
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
        let mut window = RateWindow::default();
        window.sample(at(0));
        for step in 1..=100 {
            window.imported(at(step * 200), 20, 2_000);
        }
        let rates = window.rates(at(20_000));
        assert_eq!(rates, Rates { blocks: 100.0, bytes: 10_000.0, window: 10.0 });
        for step in 101..=200 {
            window.sample(at(step * 200));
        }
        assert_eq!(window.rates(at(40_000)), Rates { blocks: 0.0, bytes: 0.0, window: 10.0 });
    }

    #[test]
    fn window_is_as_long_as_anything_was_measured() {
        let mut window = RateWindow::default();
        assert_eq!(window.rates(at(5)), Rates::default());
        window.sample(at(1_000));
        window.imported(at(3_000), 50, 500);
        assert_eq!(window.rates(at(3_000)), Rates { blocks: 25.0, bytes: 250.0, window: 2.0 });
    }
}
