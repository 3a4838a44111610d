//! How long the work takes that waits for verification and import. Pure.
//!
//! A queue is deep when it takes long, not when it has many blocks: the same blocks are nothing to
//! a fast machine. So the depth is told as time, by how fast blocks were imported while some
//! waited.

use std::{collections::VecDeque, time::Duration};

use crate::types::Height;

/// Over how long the speed is measured. Unit: time. Source: a few of the longest writes of a slow
/// disk. Too low: one slow write looks like a slow disk. Too high: a change shows late.
const MEASURED_OVER: Duration = Duration::from_secs(10);

/// Before it was measured for so long, it is not known. Unit: time.
const MEASURED_AT_LEAST: Duration = Duration::from_secs(5);

/// What waits, and how far the import is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// Blocks that are being verified or were given to the importer. Those that wait for a lower
    /// one that did not arrive are not among them: they wait for the network. Unit: blocks.
    pub blocks: u64,
    /// The highest imported block.
    pub head: Height,
}

/// Where the import was while blocks waited.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    seen: VecDeque<(Duration, Height)>,
}

impl Backlog {
    /// How long what waits takes at the speed of late, without end if nothing is imported; `None`
    /// while the speed is not known.
    pub(super) fn look(&mut self, now: Duration, waiting: Waiting) -> Option<Duration> {
        let Waiting { blocks, head } = waiting;
        if self.seen.back().is_some_and(|(_, before)| head < *before) {
            // The chain was set back.
            self.seen.clear();
        }
        if blocks == 0 {
            // Who had nothing to do shows nothing of its speed.
            self.seen.clear();
            return Some(Duration::ZERO);
        }
        self.seen.push_back((now, head));
        let old = |(at, _): &(Duration, Height)| now.saturating_sub(*at) > MEASURED_OVER;
        while self.seen.front().is_some_and(old) {
            self.seen.pop_front();
        }
        let (since, from) = *self.seen.front()?;
        let span = now.saturating_sub(since);
        if span < MEASURED_AT_LEAST {
            return None;
        }
        let imported = head.blocks_above(from);
        if imported == 0 {
            return Some(Duration::MAX);
        }
        let seconds = span.as_secs_f64() * blocks as f64 / imported as f64;
        Some(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(looks: impl IntoIterator<Item = (u64, u64)>) -> Option<Duration> {
        let mut backlog = Backlog::default();
        let mut last = None;
        for (second, (blocks, head)) in (0..).zip(looks) {
            let waiting = Waiting { blocks, head: Height::new(head) };
            last = backlog.look(Duration::from_secs(second), waiting);
        }
        last
    }

    #[test]
    fn depth_is_told_as_time_at_the_speed_of_late() {
        let steady = |speed: u64| (0..8).map(move |second| (1_000, second * speed));
        assert_eq!(after(steady(1_000)), Some(Duration::from_secs(1)));
        assert_eq!(after(steady(10)), Some(Duration::from_secs(100)));
        assert_eq!(after(steady(0)), Some(Duration::MAX));
    }

    #[test]
    fn speed_is_not_known_at_first_nor_from_times_without_work() {
        assert_eq!(after([(1_000, 0); 5]), None);
        assert_eq!(after([(1_000, 0), (0, 0)]), Some(Duration::ZERO));
        let idle_before = [(0, 0); 20].into_iter().chain([(1_000, 0); 3]);
        assert_eq!(after(idle_before), None, "nobody stood still while there was nothing to do");
    }

    #[test]
    fn change_of_speed_shows_and_a_lower_head_begins_anew() {
        let slow_then_fast = (0..20).map(|_| (100, 0)).chain((1..12).map(|s| (100, s * 100)));
        assert_eq!(after(slow_then_fast), Some(Duration::from_secs(1)));
        let set_back = (0..20).map(|second| (100, second)).chain([(100, 3), (100, 4)]);
        assert_eq!(after(set_back), None);
    }
}
