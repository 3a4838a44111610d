//! Nothing of a node outlives its shutdown: no task, no open reply.

use super::{Broken, Facts, broken, end_of};
use crate::trace::{Event, Stamped};

const NAME: &str = "nothing_left";

pub(super) fn check(_: &Facts, events: &[Stamped]) -> Result<(), Broken> {
    match events.last() {
        Some(Stamped { event: Event::Ended { tasks: 0, replies: 0, .. }, .. }) => Ok(()),
        last => broken(NAME, end_of(events), format!("left: {last:?}")),
    }
}
