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

/// For how long a blow may keep the monitor from looking: one that hangs is noticed and replaced
/// within that. Unit: virtual time.
const BLIND_MAX: Duration = Duration::from_secs(7);

pub(super) fn check(facts: &Facts, events: &[Stamped]) -> Result<(), Broken> {
    for full in facts.pressures.iter().filter(|pressure| pressure.of == Scarce::Disk) {
        let (from, to) = (full.from + NOTICED_WITHIN, full.from + full.lasts);
        let blind = events.iter().any(|stamped| {
            let Event::Struck { child: Child::ResourceMonitor, .. } = stamped.event else {
                return false;
            };
            stamped.at < to && stamped.at + BLIND_MAX > full.from
        });
        let written = events.iter().find(|stamped| {
            matches!(stamped.event, Event::Appended { .. }) && stamped.at > from && stamped.at < to
        });
        if let Some(written) = written.filter(|_| !blind) {
            return broken(NAME, written.at, format!("{:?} onto a full disk", written.event));
        }
    }
    Ok(())
}
