//! Bytes are conserved: the budget is empty once the sync is over, and never held more than its
//! limit and the overdraw that is stated for the front.

use super::{Broken, Facts, broken};
use crate::trace::{Event, Stamped};

const NAME: &str = "permits_conserved";

pub(super) fn check(facts: &Facts, events: &[Stamped]) -> Result<(), Broken> {
    for Stamped { at, event } in events {
        match event {
            Event::ShuttingDown { used: 1.. } => {
                return broken(NAME, *at, format!("bytes held by nothing: {event:?}"));
            }
            Event::Ended { budget, .. } if budget.used > 0 => {
                return broken(NAME, *at, format!("bytes left after the shutdown: {budget:?}"));
            }
            Event::Ended { budget, .. } if budget.peak > facts.peak_bytes_max => {
                let max = facts.peak_bytes_max;
                return broken(NAME, *at, format!("more than {max} bytes held: {budget:?}"));
            }
            _ => {}
        }
    }
    Ok(())
}
