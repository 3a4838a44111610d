//! How the use of links went over time: what was lost at the start, in the middle and at the end.

use std::time::Duration;

use serde::Serialize;

/// What links had carried at some moments, in order of time.
#[derive(Debug, Clone, Default)]
pub(super) struct UsageCurve(Vec<(Duration, u64)>);

/// Time in which links carried nothing, all links together: two half-used seconds are one. Bytes
/// that came twice count as used. Unit: seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct LostSeconds {
    /// In the first quarter of the sync.
    pub(super) start: f64,
    pub(super) middle: f64,
    /// In the last quarter.
    pub(super) end: f64,
}

impl UsageCurve {
    /// Adds what had been carried `at`.
    pub(super) fn push(&mut self, at: Duration, bytes: u64) {
        self.0.push((at, bytes));
    }

    /// What was lost until `took`, of links that carry `bytes_per_second` together.
    pub(super) fn lost(&self, took: f64, bytes_per_second: f64) -> LostSeconds {
        let lost = |from: f64, to: f64| {
            to - from - (self.bytes_at(to) - self.bytes_at(from)) / bytes_per_second
        };
        let (first, last) = (took / 4.0, took * 3.0 / 4.0);
        LostSeconds { start: lost(0.0, first), middle: lost(first, last), end: lost(last, took) }
    }

    /// What had been carried at `seconds`: on the straight line between two moments.
    fn bytes_at(&self, seconds: f64) -> f64 {
        let next = self.0.partition_point(|(at, _)| at.as_secs_f64() < seconds);
        let point =
            |index: usize| self.0.get(index).map(|(at, bytes)| (at.as_secs_f64(), *bytes as f64));
        let before = next.checked_sub(1).and_then(point).unwrap_or_default();
        match point(next) {
            Some((at, bytes)) if at > before.0 => {
                before.1 + (bytes - before.1) * (seconds - before.0) / (at - before.0)
            }
            Some((_, bytes)) => bytes,
            None => before.1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_lost_where_links_carried_less_than_they_can() {
        let mut curve = UsageCurve::default();
        // Nothing in the first second, half of 100 bytes a second in the last two.
        for (seconds, bytes) in [(1, 0), (2, 100), (6, 500), (8, 600), (9, 600)] {
            curve.push(Duration::from_secs(seconds), bytes);
        }
        let LostSeconds { start, middle, end } = curve.lost(8.0, 100.0);
        assert!((start - 1.0).abs() < 1e-9, "{start}");
        assert!(middle.abs() < 1e-9, "{middle}");
        assert!((end - 1.0).abs() < 1e-9, "{end}");
    }

    #[test]
    fn what_was_never_seen_was_never_carried() {
        let lost = UsageCurve::default().lost(4.0, 100.0);
        assert_eq!(lost, LostSeconds { start: 1.0, middle: 2.0, end: 1.0 });
    }
}
