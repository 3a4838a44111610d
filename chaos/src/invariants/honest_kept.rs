//! Who never sent a provable lie is never thrown out: slow, silent, short, stale and absent peers
//! are not liars.

use super::{Broken, Facts, broken};
use crate::trace::{Event, PeerIndex, Stamped};

const NAME: &str = "honest_kept";

pub(super) fn check(facts: &Facts, events: &[Stamped]) -> Result<(), Broken> {
    for Stamped { at, event } in events {
        if let Event::DroppedByNode { peer } = event
            && !facts.is_liar(*peer)
        {
            let role = facts.roles.get(peer.0);
            return broken(NAME, *at, format!("{peer:?} was thrown out, it is {role:?}"));
        }
    }
    Ok(())
}

/// The peers that the node threw out, in order.
pub fn dropped(events: &[Stamped]) -> Vec<PeerIndex> {
    let dropped = events.iter().filter_map(|stamped| match stamped.event {
        Event::DroppedByNode { peer } => Some(peer),
        _ => None,
    });
    dropped.collect()
}
