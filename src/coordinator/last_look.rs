//! When the coordinator last looked at the production gate. What it found does not count for ever:
//! a coordinator that hangs, or has ended for good, closes nothing any more.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// How long what was found counts. Unit: time. Source: twenty of the looks of a healthy
/// coordinator, and less than a slot. Too low: a busy machine may not produce for an instant. Too
/// high: a node whose coordinator hangs produces without knowing what the network does.
const COUNTS_FOR: Duration = Duration::from_secs(2);

/// The time of the last look. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct LastLook(Arc<AtomicU64>);

impl LastLook {
    /// The coordinator looks at the gate now.
    pub(super) fn looked(&self, now: Duration) {
        self.0.store(millis(now), Ordering::Release);
    }

    /// Whether what was found then still counts at `now`. Both of the same clock.
    pub fn counts(&self, now: Duration) -> bool {
        millis(now).saturating_sub(self.0.load(Ordering::Acquire)) <= millis(COUNTS_FOR)
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn look_counts_until_twenty_looks_were_missed() {
        let (last, at) = (LastLook::default(), Duration::from_secs(100));
        last.looked(at);
        assert!(last.counts(at) && last.counts(at + COUNTS_FOR));
        assert!(!last.counts(at + COUNTS_FOR + Duration::from_millis(1)));
    }
}
