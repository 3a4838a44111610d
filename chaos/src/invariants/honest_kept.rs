//! Who never sent a provable lie is never thrown out: slow, silent, short, stale and absent peers
//! are not liars.

use std::{collections::BTreeSet, time::Duration};

use super::{Broken, Facts, broken};
use crate::trace::{Event, PeerIndex, Stamped};

const NAME: &str = "honest_kept";

pub(super) fn check(facts: &Facts, events: &[Stamped]) -> Result<(), Broken> {
    match thrown_out_without_a_lie(facts, events).first() {
        Some((at, peer)) => {
            let role = facts.roles.get(peer.0);
            broken(NAME, *at, format!("{peer:?} was thrown out, it is {role:?}"))
        }
        None => Ok(()),
    }
}

/// The peers that the node threw out before they had sent it a provable lie, and when. Each of them
/// once for each time. A node that takes its own link for cut may close what carries nothing.
pub fn thrown_out_without_a_lie(facts: &Facts, events: &[Stamped]) -> Vec<(Duration, PeerIndex)> {
    let (mut lied, mut thrown_out, mut link_cut) = (BTreeSet::new(), Vec::new(), false);
    for Stamped { at, event } in events {
        match event {
            Event::Delivered { peer, lie: true, .. } if facts.is_liar(*peer) => {
                lied.insert(*peer);
            }
            Event::Partition { told } => link_cut = *told,
            Event::DroppedByNode { peer } if !lied.contains(peer) && !link_cut => {
                thrown_out.push((*at, *peer));
            }
            _ => {}
        }
    }
    thrown_out
}

/// The peers that the node threw out, in order.
pub fn dropped(events: &[Stamped]) -> Vec<PeerIndex> {
    let dropped = events.iter().filter_map(|stamped| match stamped.event {
        Event::DroppedByNode { peer } => Some(peer),
        _ => None,
    });
    dropped.collect()
}
