//! Every killed child comes back, with a higher incarnation, within a tenth of a second.

use std::time::Duration;

use super::{Broken, Facts, broken};
use crate::trace::{Event, Stamped};

const NAME: &str = "children_back";

/// How long a killed child may be away. Unit: virtual time. Source: the product's promise.
pub const BACK_WITHIN: Duration = Duration::from_millis(100);

pub(super) fn check(_: &Facts, events: &[Stamped]) -> Result<(), Broken> {
    for (killed, back) in kills(events) {
        match back {
            None => return broken(NAME, killed.at, format!("never back: {:?}", killed.event)),
            Some(away) if away > BACK_WITHIN => {
                let what = format!("back after {away:?}: {:?}", killed.event);
                return broken(NAME, killed.at, what);
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// How long each killed child that came back was away, in order.
pub fn back_times(events: &[Stamped]) -> Vec<Duration> {
    kills(events).filter_map(|(_, back)| back).collect()
}

/// Each kill, with the time until a later incarnation was up.
fn kills(events: &[Stamped]) -> impl Iterator<Item = (&Stamped, Option<Duration>)> {
    events.iter().enumerate().filter_map(|(index, killed)| {
        let Event::Killed { child, incarnation, .. } = killed.event else { return None };
        let later = events.iter().skip(index);
        let back = later.into_iter().find_map(|stamped| match stamped.event {
            Event::Started { child: id, incarnation: later }
                if id == child.id() && later > incarnation =>
            {
                Some(stamped.at - killed.at)
            }
            _ => None,
        });
        Some((killed, back))
    })
}
