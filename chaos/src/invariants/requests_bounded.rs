//! No peer has more requests open than today's nodes bear.

use std::collections::BTreeMap;

use super::{Broken, Facts, broken};
use crate::trace::{Event, PeerIndex, Stamped};

const NAME: &str = "requests_bounded";

/// Open requests at one peer. Source: today's nodes close a connection at the 33rd; two less are
/// promised.
const OPEN_MAX: u64 = 30;

pub(super) fn check(_: &Facts, events: &[Stamped]) -> Result<(), Broken> {
    let mut open: BTreeMap<PeerIndex, u64> = BTreeMap::new();
    for Stamped { at, event } in events {
        match event {
            Event::Asked { peer, .. } => {
                let count = open.entry(*peer).or_default();
                *count += 1;
                if *count > OPEN_MAX {
                    return broken(NAME, *at, format!("{count} requests open at {peer:?}"));
                }
            }
            Event::ReplyOver { peer, .. } => {
                let count = open.entry(*peer).or_default();
                *count = count.saturating_sub(1);
            }
            _ => {}
        }
    }
    Ok(())
}
