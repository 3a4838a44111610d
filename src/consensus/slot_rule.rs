//! The slot rule: a block's slot must not lie in the future of the block's own timestamp.
//!
//! The local clock plays no part, so the verdict on a block is the same today and in ten years.

use std::{fmt, num::NonZeroU64};

use crate::types::Slot;

/// The slot duration that the network began with. Unit: milliseconds.
///
/// Source: the network's rule, which since its change from 3000 to 5000 ms accepts a slot that is
/// in time by either duration. Lower: slots are accepted that the network refuses. Higher: valid
/// blocks from the time of short slots are refused.
pub const LEGACY_SLOT_MS: u64 = 3000;

/// Milliseconds in a second, for timestamps.
const MS_PER_SECOND: u128 = 1000;

/// How long an Aura slot lasts. Unit: milliseconds, at least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotDuration(NonZeroU64);

impl SlotDuration {
    /// A slot of `ms` milliseconds; `None` for 0.
    pub const fn from_ms(ms: u64) -> Option<Self> {
        match NonZeroU64::new(ms) {
            Some(ms) => Some(Self(ms)),
            None => None,
        }
    }

    /// The milliseconds of a slot.
    pub const fn as_ms(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for SlotDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms", self.0)
    }
}

/// Whether `slot` lies in the future of `timestamp` (seconds since the Unix epoch), so that the
/// block is to be refused.
///
/// Both clauses must hold for a refusal. The first is the rule proper: the slot is more than one
/// after the slot that the timestamp falls in. The second forgives blocks from the time when slots
/// lasted [`LEGACY_SLOT_MS`]: by the shorter duration their numbers were in time. The slot's author
/// and the order of slots are not looked at; the network checks neither.
pub fn slot_is_in_future(slot: Slot, timestamp: u64, duration: SlotDuration) -> bool {
    // Wide enough for every timestamp: u64::MAX seconds are below 2^74 milliseconds.
    let timestamp_ms = u128::from(timestamp) * MS_PER_SECOND;
    let latest = |slot_ms: u64| timestamp_ms / u128::from(slot_ms) + 1;
    let slot = u128::from(slot.get());
    slot > latest(duration.as_ms()) && slot > latest(LEGACY_SLOT_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_future(slot: u64, timestamp: u64, duration_ms: u64) -> bool {
        let duration = SlotDuration::from_ms(duration_ms).unwrap();
        slot_is_in_future(Slot::new(slot), timestamp, duration)
    }

    #[test]
    fn refuses_only_past_one_slot_after_the_timestamp_by_both_durations() {
        // 30 s are 6 slots of 5 s and 10 slots of 3 s: the longest way out is 10 + 1.
        assert!(!in_future(7, 30, 5000));
        assert!(!in_future(8, 30, 5000), "in the future by 5 s slots, forgiven by 3 s slots");
        assert!(!in_future(11, 30, 5000));
        assert!(in_future(12, 30, 5000));
        // With slots of 2 s the rule proper is the more generous one: 15 + 1.
        assert!(!in_future(16, 30, 2000));
        assert!(in_future(17, 30, 2000));
    }

    #[test]
    fn never_refuses_an_old_slot_and_never_overflows() {
        assert!(!in_future(0, 0, 5000));
        assert!(!in_future(1, 0, 5000));
        assert!(in_future(2, 0, 5000));
        assert!(!in_future(0, u64::MAX, 1));
        assert!(!in_future(u64::MAX, u64::MAX, 1));
        assert!(in_future(u64::MAX, 0, u64::MAX));
    }

    #[test]
    fn a_slot_lasts_at_least_a_millisecond() {
        assert_eq!(SlotDuration::from_ms(0), None);
    }
}
