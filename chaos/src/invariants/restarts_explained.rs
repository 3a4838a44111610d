//! Children end only when they are killed, and the restarts stay within what the tree bears.

use std::collections::BTreeMap;

use super::{Broken, Facts, broken};
use crate::trace::{Event, Stamped};

const NAME: &str = "restarts_explained";

/// Restarts that the tree bears in a period. Source: its intensity.
const RESTARTS_MAX: u32 = 30;

pub(super) fn check(_: &Facts, events: &[Stamped]) -> Result<(), Broken> {
    let mut kills: BTreeMap<&str, u64> = BTreeMap::new();
    for Stamped { at, event } in events {
        match event {
            Event::Killed { child, .. } => *kills.entry(child.id()).or_default() += 1,
            Event::Exited { child, .. } => {
                let open = kills.entry(child).or_default();
                match open.checked_sub(1) {
                    Some(left) => *open = left,
                    None => return broken(NAME, *at, format!("{child} ended by itself")),
                }
            }
            Event::Restarting { child, in_period } if *in_period > RESTARTS_MAX => {
                return broken(NAME, *at, format!("{in_period} restarts, the last of {child}"));
            }
            Event::ShuttingDown { .. } => return Ok(()),
            _ => {}
        }
    }
    Ok(())
}
