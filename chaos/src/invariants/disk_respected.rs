//! Nothing is imported onto a full disk, from when it could be noticed.

use std::time::Duration;

use alys_sync::tree::Child;

use super::{Broken, Facts, broken};
use crate::{
    plan::Scarce,
    trace::{Event, Stamped},
};

const NAME: &str = "disk_respected";

/// How long a full disk may go unnoticed. Unit: virtual time. Source: it is looked at every second,
/// and a write of that moment is finished.
const NOTICED_WITHIN: Duration = Duration::from_millis(1_200);

pub(super) fn check(facts: &Facts, events: &[Stamped]) -> Result<(), Broken> {
    for full in facts.pressures.iter().filter(|pressure| pressure.of == Scarce::Disk) {
        let mut noticed_from = full.from + NOTICED_WITHIN;
        let mut down = false;
        for Stamped { at, event } in events {
            match event {
                Event::Struck { child: Child::ResourceMonitor, .. } => down = true,
                Event::Started { child, .. } if *child == Child::ResourceMonitor.id() => {
                    down = false;
                    noticed_from = noticed_from.max(*at + NOTICED_WITHIN);
                }
                Event::Appended { .. } if full.is_on(*at) && *at > noticed_from && !down => {
                    return broken(NAME, *at, format!("{event:?} onto a full disk"));
                }
                _ => {}
            }
        }
    }
    Ok(())
}
