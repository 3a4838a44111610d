//! When to use less, from what is left of memory and disk, and from how long the queues are. Pure.
//!
//! *Memory*: near the limit the byte budget of downloads is halved, once a second, down to nothing,
//! which lets only the block pass that everything waits for. Well below the limit it is doubled
//! again, more slowly, so that the two do not chase each other.
//!
//! *Queues*: while verification and import have ten seconds of work before them, the budget is
//! halved, down to a part: what is downloaded more would only lie in memory.
//!
//! *Disk*: below the reserve nothing more is imported. What was imported stays; downloads stop by
//! themselves as nothing gives their memory back. Once there is a quarter more room than the
//! reserve it goes on.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    ResourceSettings,
    backlog::{Backlog, Waiting},
};
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

/// Work that waits, from which on less is downloaded ahead. Unit: time. Source: downloads stand
/// still for as long as it takes to switch peers, a few seconds; work for so long must be there.
/// Too low: workers wait for the network. Too high: memory is full of what is not needed yet.
const WORK_HIGH: Duration = Duration::from_secs(10);

/// Work that waits, below which more may be downloaded ahead again. Unit: time. Source: doubling
/// what waits must not lead above [`WORK_HIGH`]. Too low: workers run out of work. Too high: it
/// swings.
const WORK_LOW: Duration = Duration::from_secs(5);

/// The part of the budget that deep queues leave: one of so many. Too low: memory is not spared.
/// Too high: a machine that is quick again waits for the network.
const WORK_LEAVES_PART: u64 = 16;

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
    /// Verification and import are slower than the downloads: less is downloaded ahead.
    Work {
        /// What waits for them. Unit: blocks.
        blocks: u64,
        /// How long that takes; none if nothing is imported at all. Unit: seconds.
        seconds: Option<u64>,
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
            Self::Work { blocks, seconds: Some(seconds) } => write!(
                f,
                "{blocks} blocks wait for verification and import, which takes {seconds} s: less \
                 is downloaded ahead"
            ),
            Self::Work { blocks, seconds: None } => write!(
                f,
                "{blocks} blocks wait for verification and import, which stand still: less is \
                 downloaded ahead"
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
    /// What memory allows of it.
    budget: u64,
    budget_changed_at: Option<Duration>,
    /// What the queues allow of it.
    ahead: u64,
    backlog: Backlog,
    memory: Option<Shortage>,
    work: Option<Shortage>,
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
            ahead: budget_max,
            backlog: Backlog::default(),
            memory: None,
            work: None,
            disk: None,
        }
    }

    /// The same after another watch that left downloads `budget` bytes, and import open or held.
    pub fn going_on(self, budget: u64, import: bool) -> Self {
        let needed = self.room_again();
        // What is free is not known yet.
        let disk = (!import).then_some(Shortage::Disk { free: 0, needed });
        Self { budget: budget.min(self.budget_max), disk, ..self }
    }

    /// Takes in what was found at `now`. What is not known changes nothing.
    pub fn look(&mut self, now: Duration, found: ResourceSample) -> Orders {
        if let Some((used, limit)) = found.memory_bytes.zip(self.settings.memory_max_bytes) {
            self.look_at_memory(now, used, limit);
        }
        if let Some(free) = found.disk_free_bytes {
            self.look_at_disk(free);
        }
        self.orders()
    }

    /// Takes in what waits at `now`, about once a second.
    pub fn look_at_work(&mut self, now: Duration, waiting: Waiting) -> Orders {
        if self.disk.is_some() {
            // That it stands still while it is held says nothing of its speed.
            self.backlog = Backlog::default();
            self.work = None;
        } else if let Some(takes) = self.backlog.look(now, waiting) {
            if takes > WORK_HIGH {
                self.ahead = (self.ahead / 2).max(self.budget_max / WORK_LEAVES_PART);
            } else if takes < WORK_LOW {
                self.ahead = self.ahead.max(1).saturating_mul(2).min(self.budget_max);
            }
            let is_short = self.ahead < self.budget_max && takes >= WORK_LOW || takes > WORK_HIGH;
            let seconds = (takes < Duration::MAX).then_some(takes.as_secs());
            self.work = is_short.then_some(Shortage::Work { blocks: waiting.blocks, seconds });
        }
        self.orders()
    }

    fn orders(&self) -> Orders {
        Orders {
            budget_bytes: self.budget.min(self.ahead),
            import: self.disk.is_none(),
            short_of: self.memory.into_iter().chain(self.work).chain(self.disk).collect(),
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

    /// What has to be free for import to go on. Unit: bytes.
    fn room_again(&self) -> u64 {
        let reserve = self.settings.disk_reserve_bytes;
        reserve.saturating_add(reserve / 100 * (ROOM_AGAIN_PERCENT - 100))
    }

    fn look_at_disk(&mut self, free: u64) {
        let (reserve, needed) = (self.settings.disk_reserve_bytes, self.room_again());
        let enough = if self.disk.is_some() { needed } else { reserve };
        self.disk = (free < enough).then_some(Shortage::Disk { free, needed });
    }
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
