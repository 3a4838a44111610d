//! What the scheduler says of its window is so: nothing counts as under way that nobody works on.
//!
//! Every height that is not imported is wanted, asked for, in verification, waits for a lower one,
//! or was given to the importer; the core's own tests show that none is forgotten. What they
//! cannot show is that the world agrees: that the request is open, that verification and import
//! are at work. A range whose request is gone and that still counts as asked for is lost, and so
//! is one whose verdict or import never comes.

use std::{collections::BTreeSet, time::Duration};

use alys_sync::types::{Height, HeightRange};

use super::{Broken, Facts, broken};
use crate::{
    plan::Scarce,
    trace::{Event, Stamped},
};

const NAME: &str = "window_true";

/// How long the account may be ahead of the world. Unit: virtual time. Source: what was asked for.
const WRONG_MAX: Duration = Duration::from_secs(1);

/// How long after a blow, a restart or a full disk nothing is held against it. Unit: virtual time.
/// Source: what was asked for, and what a child needs to come back.
const AFTERMATH: Duration = Duration::from_millis(1_500);

/// Since when something has been wrong.
#[derive(Default)]
struct Since(Option<Duration>);

impl Since {
    /// Takes in whether it is wrong at `now`; for how long it has been.
    fn look(&mut self, now: Duration, wrong: bool) -> Duration {
        self.0 = wrong.then(|| self.0.unwrap_or(now));
        self.0.map_or(Duration::ZERO, |since| now.saturating_sub(since))
    }
}

pub(super) fn check(facts: &Facts, events: &[Stamped]) -> Result<(), Broken> {
    // Those that only look how high a chain is, or which one, are not of the window.
    let is_probe = |range: HeightRange, head: Height| {
        let which_chain = range.start() == Height::new(1) && head > Height::GENESIS;
        let how_high = range.start() > head.saturating_add(facts.window);
        range.count() == 1 && (which_chain || how_high)
    };
    let (mut open, mut head) = (BTreeSet::new(), facts.start);
    let mut shown = (0, 0);
    let (mut gone, mut idle) = (Since::default(), Since::default());
    // A blow is news until the one who got it is back.
    let mut quiet_from = Duration::ZERO;
    let mut down = BTreeSet::new();
    for Stamped { at, event } in events {
        match event {
            Event::Asked { request, range, .. } if !is_probe(*range, head) => {
                open.insert(*request);
            }
            Event::ReplyOver { request, .. } => drop(open.remove(request)),
            Event::Appended { last, .. } => head = *last,
            Event::Struck { child, incarnation, .. } => {
                down.insert((child.id(), *incarnation));
                quiet_from = *at + AFTERMATH;
            }
            Event::Exited { .. } => quiet_from = *at + AFTERMATH,
            Event::Started { child, incarnation } => {
                down.retain(|(id, before)| id != child || before >= incarnation);
                quiet_from = *at + AFTERMATH;
            }
            Event::ShuttingDown { .. } => return Ok(()),
            _ => {}
        }
        let full = facts.pressures.iter().any(|pressure| {
            pressure.of == Scarce::Disk && *at >= pressure.from && {
                *at < pressure.from + pressure.lasts + AFTERMATH
            }
        });
        if !down.is_empty() || *at < quiet_from || full {
            (gone, idle) = Default::default();
            continue;
        }
        match event {
            Event::Window { requests, verifying, importing } => {
                if gone.look(*at, *requests > open.len()) > WRONG_MAX {
                    let what = format!("{requests} requests under way, open are {open:?}");
                    return broken(NAME, *at, what);
                }
                if std::mem::replace(&mut shown, (*verifying, *importing)) != shown {
                    idle = Since::default();
                }
                if idle.look(*at, verifying + importing > 0) > WRONG_MAX {
                    let what = format!(
                        "{verifying} blocks in verification, {importing} given to \
                                        the importer, and nothing comes of it"
                    );
                    return broken(NAME, *at, what);
                }
            }
            // It is worked on.
            Event::Appended { .. } => idle = Since::default(),
            _ => {}
        }
    }
    Ok(())
}
