//! Every child that is struck down comes back, with a higher incarnation, within a tenth of a
//! second; one that hangs is noticed within six.

use std::time::Duration;

use alys_sync::tree::Child;

use super::{Broken, Facts, broken};
use crate::{
    plan::Way,
    trace::{Event, Stamped},
};

const NAME: &str = "children_back";

/// How long a child that was struck down may be away. Unit: virtual time. Source: the product's
/// promise.
pub const BACK_WITHIN: Duration = Duration::from_millis(100);

/// How long a child may hang unnoticed. Unit: virtual time. Source: it is asked once a second, and
/// has five to answer; what is in its mailbox comes first.
pub const NOTICED_WITHIN: Duration = Duration::from_millis(6_010);

/// What became of a child that was struck down. Times are virtual.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fall {
    /// Who.
    pub child: Child,
    /// In which way.
    pub way: Way,
    /// When.
    pub at: Duration,
    /// Segments in flight at that moment.
    pub segments: usize,
    /// When anybody could know. A child that was struck again before it was noticed to hang did not
    /// have to be noticed.
    pub known_at: Duration,
    /// When a later incarnation was up.
    pub back_at: Option<Duration>,
}

impl Fall {
    /// How long it hung unnoticed.
    pub fn unnoticed(&self) -> Duration {
        self.known_at - self.at
    }

    /// How long it was away once that was known.
    pub fn away(&self) -> Option<Duration> {
        Some(self.back_at?.saturating_sub(self.known_at))
    }
}

pub(super) fn check(_: &Facts, events: &[Stamped]) -> Result<(), Broken> {
    for fall in falls(events) {
        let what = match fall.away() {
            None => format!("never back: {fall:?}"),
            Some(away) if away > BACK_WITHIN => format!("back after {away:?}: {fall:?}"),
            Some(_) if fall.unnoticed() > NOTICED_WITHIN => format!("noticed late: {fall:?}"),
            Some(_) => continue,
        };
        return broken(NAME, fall.at, what);
    }
    Ok(())
}

/// All children that were struck down, in order.
pub fn falls(events: &[Stamped]) -> Vec<Fall> {
    let fall = |(index, struck): (usize, &Stamped)| {
        let Event::Struck { child, way, incarnation, segments } = struck.event else { return None };
        let mut fall =
            Fall { child, way, at: struck.at, segments, known_at: struck.at, back_at: None };
        for Stamped { at, event } in &events[index..] {
            match event {
                Event::Hung { child: id, incarnation: of }
                    if *id == child.id() && *of == incarnation =>
                {
                    fall.known_at = *at;
                }
                Event::Started { child: id, incarnation: later }
                    if *id == child.id() && *later > incarnation =>
                {
                    fall.back_at = Some(*at);
                    break;
                }
                _ => {}
            }
        }
        Some(fall)
    };
    events.iter().enumerate().filter_map(fall).collect()
}
