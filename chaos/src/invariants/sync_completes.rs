//! The sync completes: after the faults the node says synced, with the true head, and its tree
//! never gives up.

use super::{Broken, Facts, broken, end_of};
use crate::trace::{Event, Stamped};

const NAME: &str = "sync_completes";

pub(super) fn check(facts: &Facts, events: &[Stamped]) -> Result<(), Broken> {
    for Stamped { at, event } in events {
        match event {
            Event::Synced { head } if *head == facts.head => return Ok(()),
            Event::Synced { head } | Event::GaveUp { head } => {
                return broken(NAME, *at, format!("head is {head}, should be {}", facts.head));
            }
            Event::TreeEnded => return broken(NAME, *at, "the tree gave up"),
            _ => {}
        }
    }
    broken(NAME, end_of(events), "the run ended before the sync")
}
