//! The time to the target and how sure it is. Pure.

use std::time::Duration;

use super::{
    course::{Course, Slice},
    level::{Level, Part},
};

/// Work from which on a speed is known. Unit: seconds. Too low: the first batches decide it. Too
/// high: short syncs have no ETA.
const KNOWN_AFTER: f64 = 1.0;
/// Fastest change of the speed that is told. Unit: factor in a second. Too low: a change is told
/// late. Too high: an ETA leaps when the first batch after a change comes.
const GLIDE: f64 = 2.0;
/// Stalls within the history from which on they are expected to go on. Too low: one that is over
/// counts for minutes. Too high: a sync that stalls again and again is told too short.
const STALLS_EXPECTED: u64 = 2;
/// Half the range of an ETA, in standard errors. Source: of even noise, 90 % is within 1.65. Too
/// low: the range misses. Too high: it says little.
const ERRORS: f64 = 1.65;
/// Least half of a range. Unit: relative. Too low: claims what cannot be known. Too high: says
/// little.
const RANGE_MIN: f64 = 0.05;

/// The time to the target. Unit: seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::coordinator) struct Eta {
    /// Most likely.
    pub(in crate::coordinator) seconds: f64,
    /// Hardly earlier.
    pub(in crate::coordinator) low: f64,
    /// Hardly later.
    pub(in crate::coordinator) high: f64,
}

impl Eta {
    /// That of who is there.
    pub(super) const ARRIVED: Self = Self { seconds: 0.0, low: 0.0, high: 0.0 };
}

/// The speed of the sync while it moves.
#[derive(Debug, Clone, Copy)]
pub(super) struct Speed {
    /// Unit: blocks per second.
    likely: f64,
    /// How far the mean of one second is from it. Unit: relative.
    wander: f64,
    /// How far it may be from the true one. Unit: relative.
    error: f64,
}

impl Speed {
    /// The speed now; none while too little is known.
    pub(super) fn of(course: &Course, now: Duration) -> Option<Self> {
        let whole = course.whole().filter(|whole| whole.seconds >= KNOWN_AFTER)?;
        let until_import = Self::over(&course.slices(Slice::default()))?;
        // What will be imported next is being downloaded and verified. If it is late, that counts.
        let seconds = course.since_import(now);
        let blocks = until_import.blocks_ahead(course, now);
        let bytes = blocks * whole.bytes / whole.blocks;
        Self::over(&course.slices(Slice { seconds, blocks, bytes }))
    }

    /// What limits a sync is either blocks, as in verification, or bytes, as on a link. The series
    /// that is limited is the even one, in which a change is seen first.
    fn over(slices: &[Slice]) -> Option<Self> {
        let level = |amount: fn(&Slice) -> f64, per: fn(&Slice) -> f64| {
            let parts = slices.iter().map(|slice| Part {
                seconds: slice.seconds,
                amount: amount(slice),
                per: per(slice),
            });
            Level::of(&parts.collect::<Vec<_>>())
        };
        let blocks = level(|slice| slice.blocks, |slice| slice.seconds)?;
        let (mut likely, mut error) = (blocks.mean, blocks.error);
        let bytes = level(|slice| slice.bytes, |slice| slice.seconds);
        let size = level(|slice| slice.bytes, |slice| slice.blocks);
        if let Some((bytes, size)) = bytes.zip(size) {
            // 1 if only bytes are even, 0 if only blocks are.
            let by_bytes = blocks.noise.powi(2) / (blocks.noise.powi(2) + bytes.noise.powi(2));
            likely *= (bytes.mean / size.mean / blocks.mean).powf(by_bytes);
            error += by_bytes * (bytes.error.hypot(size.error) - blocks.error);
        }
        Some(Self { likely, wander: blocks.wander, error })
    }

    /// This speed, as far as it can be told `seconds` after `before` was.
    pub(super) fn glided_from(self, before: Self, seconds: f64) -> Self {
        let most = GLIDE.powf(seconds);
        Self { likely: self.likely.clamp(before.likely / most, before.likely * most), ..self }
    }

    /// Blocks on the way that belong to the time since the last import.
    fn blocks_ahead(&self, course: &Course, now: Duration) -> f64 {
        self.likely * course.since_import(now).min(course.usual_gap())
    }

    /// The time that `behind` blocks take. None if the target may move away as fast as the sync
    /// comes closer. It never moves by more than a block in `slot` for long.
    pub(super) fn eta(
        &self,
        course: &Course,
        now: Duration,
        behind: u64,
        slot: Duration,
    ) -> Option<Eta> {
        let behind = (behind as f64 - self.blocks_ahead(course, now)).max(0.0);
        let away = course.target_speed().min(slot.as_secs_f64().recip());
        let stalls = course.stalls();
        let expected = if stalls.count < STALLS_EXPECTED { 1.0 } else { stalls.moving };
        let seconds = arrival(behind, self.likely * expected, away)?;
        // The longer it takes, the more of the wandering cancels out.
        let to_come = self.wander / seconds.max(1.0).sqrt();
        let half = ERRORS * self.error.hypot(to_come) + RANGE_MIN;
        // Stalls may be over, and one stall may be followed by others.
        let low = arrival(behind, self.likely * half.exp(), away)?;
        let high = arrival(behind, self.likely * stalls.moving * (-half).exp(), away)?;
        Some(Eta { seconds, low, high: high + stalls.mean })
    }
}

/// When a target `behind` blocks away, that moves by `away` a second, is reached at `speed`.
fn arrival(behind: f64, speed: f64, away: f64) -> Option<f64> {
    (speed > away).then(|| behind / (speed - away))
}

#[cfg(test)]
#[path = "eta_tests.rs"]
mod tests;
