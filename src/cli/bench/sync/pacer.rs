//! When bytes have left over a line of so much a second. Knows no clock: time is given.

use std::{num::NonZeroU64, time::Duration};

use tokio::time::Instant;

/// Nanoseconds in a second.
const NANOS: u128 = 1_000_000_000;

/// One way of a link. It is reckoned when each byte leaves, not slept for: who wakes late sends
/// late, and the bytes behind leave when they would have left anyway.
#[derive(Debug)]
pub(super) struct Pacer {
    /// What the line carries. `None`: everything at once.
    bytes_per_second: Option<NonZeroU64>,
    /// When the last byte so far leaves.
    free_at: Option<Instant>,
}

impl Pacer {
    /// An idle line.
    pub(super) const fn new(bytes_per_second: Option<NonZeroU64>) -> Self {
        Self { bytes_per_second, free_at: None }
    }

    /// When the last of `bytes` that are there `now` leaves: behind everything before it.
    pub(super) fn leaves(&mut self, now: Instant, bytes: usize) -> Instant {
        let Some(rate) = self.bytes_per_second else { return now };
        let start = self.free_at.map_or(now, |free| free.max(now));
        let nanos = bytes as u128 * NANOS / u128::from(rate.get());
        let leaves = start + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        self.free_at = Some(leaves);
        leaves
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_bytes_leave_late_and_delay_nothing_behind_them() {
        let now = Instant::now();
        let after = |millis| now + Duration::from_millis(millis);
        let mut pacer = Pacer::new(NonZeroU64::new(1_000));
        assert_eq!(pacer.leaves(now, 100), after(100));
        // Read 3 ms late while the line was busy: nothing is lost.
        assert_eq!(pacer.leaves(after(3), 100), after(200));
        // The line was idle for 50 ms: those are not made up for.
        assert_eq!(pacer.leaves(after(250), 100), after(350));
    }

    #[test]
    fn line_without_a_rate_is_never_busy() {
        let now = Instant::now();
        let mut pacer = Pacer::new(None);
        assert_eq!([pacer.leaves(now, usize::MAX), pacer.leaves(now, 1)], [now, now]);
    }
}
