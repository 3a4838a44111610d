//! When to use less, from what is left of memory and disk. Pure.
//!
//! *Memory*: near the limit the byte budget of downloads is halved, once a second, down to nothing,
//! which lets only the block pass that everything waits for. Well below the limit it is doubled
//! again, more slowly, so that the two do not chase each other.
//!
//! *Disk*: below the reserve nothing more is imported. What was imported stays; downloads stop by
//! themselves as nothing gives their memory back. Once there is a quarter more room than the
//! reserve it goes on.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use super::ResourceSettings;
use crate::ports::ResourceSample;

/// Of the memory limit, from where on less is downloaded ahead. Unit: percent. Too low: memory
/// that may be used is not. Too high: the limit is passed before the halving shows.
const MEMORY_HIGH_PERCENT: u64 = 85;

/// Of the memory limit, where more may be downloaded ahead again. Unit: percent. Source: doubling
/// the budget from here must not lead above [`MEMORY_HIGH_PERCENT`] at once. Too low: the sync
/// stays slow. Too high: it swings.
const MEMORY_LOW_PERCENT: u64 = 70;

/// Between two halvings. Unit: time. Source: what is on its way through verification and import is
/// through by then. Too low: a short peak stops the sync. Too high: memory grows meanwhile.
const HALVE_EVERY: Duration = Duration::from_secs(1);

/// Between two doublings. Unit: time. Too low: it swings. Too high: the sync stays slow.
const DOUBLE_EVERY: Duration = Duration::from_secs(5);

/// A smaller budget than this is none at all. Unit: bytes. Source: the largest block.
const BUDGET_LEAST: u64 = 1 << 20;

/// Of the disk reserve, how much room there must be for import to go on. Unit: percent. Too low: it
/// stops again at once. Too high: an operator frees space in vain.
const ROOM_AGAIN_PERCENT: u64 = 125;

/// Something is short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "of")]
pub enum Shortage {
    /// The process uses nearly all the memory it should: less is downloaded ahead.
    Memory {
        /// What it uses. Unit: bytes.
        used: u64,
        /// What it should not exceed. Unit: bytes.
        limit: u64,
    },
    /// The disk is nearly full: nothing is imported.
    Disk {
        /// What is free. Unit: bytes.
        free: u64,
        /// What has to be free for import to go on. Unit: bytes.
        needed: u64,
    },
}

const MIB: u64 = 1 << 20;

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory { used, limit } => write!(
                f,
                "the process uses {} MiB of memory of the {} MiB it should: less is downloaded \
                 ahead",
                used / MIB,
                limit / MIB
            ),
            Self::Disk { free, needed } => write!(
                f,
                "the disk has {} MiB left: nothing is imported until {} MiB are free",
                free / MIB,
                needed.div_ceil(MIB)
            ),
        }
    }
}

/// What follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orders {
    /// What downloads may hold. Unit: bytes.
    pub budget_bytes: u64,
    /// Whether blocks may be imported.
    pub import: bool,
    /// What is short, and why the above is so.
    pub short_of: Vec<Shortage>,
}

/// Looks at what is left, again and again.
pub struct ResourceWatch {
    settings: ResourceSettings,
    /// What downloads may hold when nothing is short.
    budget_max: u64,
    budget: u64,
    budget_changed_at: Option<Duration>,
    memory: Option<Shortage>,
    disk: Option<Shortage>,
}

impl ResourceWatch {
    /// A watch that has seen nothing yet. Downloads hold up to `budget_max` bytes if nothing is
    /// short.
    pub fn new(settings: ResourceSettings, budget_max: u64) -> Self {
        Self {
            settings,
            budget_max,
            budget: budget_max,
            budget_changed_at: None,
            memory: None,
            disk: None,
        }
    }

    /// Takes in what was found at `now`. What is not known changes nothing.
    pub fn look(&mut self, now: Duration, found: ResourceSample) -> Orders {
        if let Some((used, limit)) = found.memory_bytes.zip(self.settings.memory_max_bytes) {
            self.look_at_memory(now, used, limit);
        }
        if let Some(free) = found.disk_free_bytes {
            self.look_at_disk(free);
        }
        Orders {
            budget_bytes: self.budget,
            import: self.disk.is_none(),
            short_of: self.memory.into_iter().chain(self.disk).collect(),
        }
    }

    fn look_at_memory(&mut self, now: Duration, used: u64, limit: u64) {
        let percent = |percent| limit / 100 * percent;
        let waited = |every| {
            self.budget_changed_at.is_none_or(|changed| now.saturating_sub(changed) >= every)
        };
        if used >= percent(MEMORY_HIGH_PERCENT) && self.budget > 0 && waited(HALVE_EVERY) {
            let half = self.budget / 2;
            self.budget = if half < BUDGET_LEAST { 0 } else { half };
            self.budget_changed_at = Some(now);
        } else if used < percent(MEMORY_LOW_PERCENT)
            && self.budget < self.budget_max
            && waited(DOUBLE_EVERY)
        {
            self.budget = self.budget.max(BUDGET_LEAST / 2).saturating_mul(2).min(self.budget_max);
            self.budget_changed_at = Some(now);
        }
        let is_short = self.budget < self.budget_max || used >= percent(MEMORY_HIGH_PERCENT);
        self.memory = is_short.then_some(Shortage::Memory { used, limit });
    }

    fn look_at_disk(&mut self, free: u64) {
        let reserve = self.settings.disk_reserve_bytes;
        let needed = reserve.saturating_add(reserve / 100 * (ROOM_AGAIN_PERCENT - 100));
        let enough = if self.disk.is_some() { needed } else { reserve };
        self.disk = (free < enough).then_some(Shortage::Disk { free, needed });
    }
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
