//! Children end only when they are struck down, and the restarts stay within what the tree bears.

use std::collections::BTreeSet;

use super::{Broken, Facts, broken};
use crate::trace::{Event, Stamped};

const NAME: &str = "restarts_explained";

/// Restarts that the tree bears in a period. Source: its intensity.
const RESTARTS_MAX: u32 = 30;

pub(super) fn check(_: &Facts, events: &[Stamped]) -> Result<(), Broken> {
    let mut struck: BTreeSet<(&str, u64)> = BTreeSet::new();
    for Stamped { at, event } in events {
        match event {
            Event::Struck { child, incarnation, .. } => {
                struck.insert((child.id(), *incarnation));
            }
            Event::Exited { child, incarnation } if !struck.contains(&(*child, *incarnation)) => {
                return broken(NAME, *at, format!("{child} ended by itself"));
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
