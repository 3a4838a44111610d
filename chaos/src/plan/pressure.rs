//! Times in which the machine is short of memory or of room on its disk.

use std::time::Duration;

use rand::{Rng as _, rngs::StdRng};

use super::millis;

/// One run in so many meets a machine that runs short.
const RUNS_PER_PRESSURE: u32 = 3;

/// Most such times of one run. They may overlap.
const PRESSURES_MAX: usize = 3;

/// What there is too little of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scarce {
    /// The process uses more memory than it should.
    Memory,
    /// The disk is full.
    Disk,
}

/// A time in which something is short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pressure {
    /// What.
    pub of: Scarce,
    /// When it begins, since the node was started. Unit: virtual time.
    pub from: Duration,
    /// How long it lasts. Unit: virtual time.
    pub lasts: Duration,
}

impl Pressure {
    /// Whether it is on at `now`.
    pub fn is_on(&self, now: Duration) -> bool {
        now >= self.from && now < self.from + self.lasts
    }
}

/// None for most runs. They begin while the faults last, and pass.
pub(super) fn pressures(rng: &mut StdRng) -> Vec<Pressure> {
    if !rng.random_ratio(1, RUNS_PER_PRESSURE) {
        return Vec::new();
    }
    let count = rng.random_range(1..=PRESSURES_MAX);
    let pressure = |_| Pressure {
        of: if rng.random() { Scarce::Memory } else { Scarce::Disk },
        from: millis(rng, 0, 4_000),
        lasts: millis(rng, 500, 6_000),
    };
    (0..count).map(pressure).collect()
}
