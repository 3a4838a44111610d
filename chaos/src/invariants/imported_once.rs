//! Every block is imported exactly once, in order, without a hole.

use alys_sync::types::Height;

use super::{Broken, Facts, broken, end_of};
use crate::trace::{Event, Stamped};

const NAME: &str = "imported_once";

pub(super) fn check(facts: &Facts, events: &[Stamped]) -> Result<(), Broken> {
    let mut head = facts.start;
    for Stamped { at, event } in events {
        let Event::Appended { first, last } = event else { continue };
        if Some(*first) != head.next() {
            let what = format!("{first} to {last} imported on top of {head}");
            return broken(NAME, *at, what);
        }
        head = *last;
    }
    if head > facts.head.height {
        return broken(NAME, end_of(events), format!("{head} is above the head of the network"));
    }
    Ok(())
}

/// How many heights were imported more than once.
pub fn imported_twice(events: &[Stamped]) -> u64 {
    let mut head = Height::GENESIS;
    let mut twice = 0;
    for Stamped { event, .. } in events {
        if let Event::Appended { first, last } = event {
            let known = head.min(*last);
            twice += first.checked_sub(1).map_or(0, |before| known.blocks_above(before));
            head = head.max(*last);
        }
    }
    twice
}
