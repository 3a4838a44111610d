//! The height that the node shows never goes back, and is never above what the store holds.

use super::{Broken, Facts, broken};
use crate::trace::{Event, Stamped};

const NAME: &str = "height_rises";

pub(super) fn check(facts: &Facts, events: &[Stamped]) -> Result<(), Broken> {
    let (mut shown, mut stored) = (facts.start, facts.start);
    for Stamped { at, event } in events {
        match event {
            Event::Appended { last, .. } => stored = stored.max(*last),
            Event::Status { height, .. } if *height < shown => {
                return broken(NAME, *at, format!("{height} is shown after {shown}"));
            }
            Event::Status { height, .. } if *height > stored => {
                return broken(NAME, *at, format!("{height} is shown, {stored} is stored"));
            }
            Event::Status { height, .. } => shown = *height,
            _ => {}
        }
    }
    Ok(())
}
