//! How fast the sync is and when it is there, measured over contiguous imported blocks only. Pure.

mod course;
mod eta;
mod level;
mod rate;

use std::time::Duration;

use course::Course;
use eta::Speed;
use rate::RateWindow;

use crate::types::Height;

pub(super) use eta::Eta;
pub(super) use rate::Rates;

/// Counts what was imported.
#[derive(Debug, Default)]
pub(super) struct Progress {
    window: RateWindow,
    course: Course,
    /// The speed, and when it was told.
    speed: Option<(Duration, Speed)>,
}

impl Progress {
    /// Takes in that blocks were imported on the way to `target`.
    pub(super) fn imported(&mut self, now: Duration, blocks: u64, bytes: u64, target: Height) {
        self.window.imported(now, blocks, bytes);
        self.course.imported(now, blocks, bytes, target);
    }

    /// Looks at the speed. While the sync is stalled it stays what it was.
    pub(super) fn tick(&mut self, now: Duration) {
        self.window.sample(now);
        if self.course.is_stalled(now) {
            return;
        }
        let speed = Speed::of(&self.course, now);
        self.speed = speed.map(|speed| match self.speed {
            Some((at, before)) => {
                (now, speed.glided_from(before, now.saturating_sub(at).as_secs_f64()))
            }
            None => (now, speed),
        });
    }

    /// The way is over, or was left: what comes next tells nothing of it and is told nothing by it.
    pub(super) fn begin_anew(&mut self) {
        self.course.clear();
        self.speed = None;
    }

    /// The speed over the stated window.
    pub(super) fn rates(&self, now: Duration) -> Rates {
        self.window.rates(now)
    }

    /// The time to the target; none while too little is known. `slot`: of the chain, at which the
    /// target may move.
    pub(super) fn eta(
        &self,
        now: Duration,
        head: Height,
        target: Height,
        slot: Duration,
    ) -> Option<Eta> {
        match target.blocks_above(head) {
            0 => Some(Eta::ARRIVED),
            behind => self.speed?.1.eta(&self.course, now, behind, slot),
        }
    }
}
