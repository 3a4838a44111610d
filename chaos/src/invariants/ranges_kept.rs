//! What was in flight when a child was struck down is not forgotten.
//!
//! Looked at is the lowest height that was not imported, as everything waits for it. It is worked
//! on while a request for it is open, and from its arrival to its import; if it arrived and is
//! asked for again, it was lost with the child that held it. Heights above it that are lost have to
//! wait until the links are through with those below: that they are not forgotten is looked at by
//! `window_true`.
//!
//! Time does not count while nobody could be asked: no peer is usable, all are silent, all that are
//! usable have failed and are left alone for a while, or one is being asked of which chain it is,
//! as each is when it connects or when reputation starts anew; or the node looks for the height of
//! the network, as one does that knows no target. Over a slow link either takes seconds. Nor does
//! it count while another child hangs unnoticed, or while import is held by a full disk.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use alys_sync::types::Height;

use super::{Broken, Facts, Fall, broken, falls};
use crate::{
    plan::{Scarce, Way},
    trace::{Event, PeerIndex, Stamped},
};

const NAME: &str = "ranges_kept";

/// How long a range that was in flight may be left alone. Unit: virtual time. Source: what was
/// asked for.
pub const LEFT_ALONE_MAX: Duration = Duration::from_secs(1);

/// The longest that a peer is left alone after it failed. Unit: virtual time. Source: the policy.
const SET_BACK_MAX: Duration = Duration::from_secs(15);

/// After the child is back, requests that ended because of it have this long to do so. Unit:
/// virtual time.
const AFTERMATH: Duration = Duration::from_millis(100);

/// After a full disk has room again, import is held for so long at most. Unit: virtual time.
/// Source: it is looked at every second.
const HELD_AFTER: Duration = Duration::from_millis(1_500);

pub(super) fn check(facts: &Facts, events: &[Stamped]) -> Result<(), Broken> {
    for fall in falls(events) {
        let alone = left_alone(facts, &fall, events);
        if alone > LEFT_ALONE_MAX {
            return broken(NAME, fall.at, format!("nobody for {alone:?} after {fall:?}"));
        }
    }
    Ok(())
}

/// For how long nobody worked on what was in flight at the front when the child fell. For one that
/// hung, it counts from when that was noticed. Nothing for one that fell soon after another: what
/// was lost with that one may still be on its way.
pub fn left_alone(facts: &Facts, fall: &Fall, events: &[Stamped]) -> Duration {
    let fell = events.partition_point(|stamped| stamped.at <= fall.known_at);
    let (before, after) = events.split_at(fell);
    let head = before.iter().filter_map(|stamped| match stamped.event {
        Event::Appended { last, .. } => Some(last),
        _ => None,
    });
    let Some(front) = head.max().unwrap_or(facts.start).next() else { return Duration::ZERO };
    let fell_before = before.iter().rev().any(|stamped| {
        matches!(stamped.event, Event::Struck { .. })
            && stamped.at < fall.at
            && fall.at - stamped.at <= LEFT_ALONE_MAX
    });
    let held = facts.pressures.iter().any(|pressure| {
        let ends = pressure.from + pressure.lasts + HELD_AFTER;
        pressure.of == Scarce::Disk
            && fall.known_at < ends
            && pressure.from < fall.known_at + HELD_AFTER
    });
    if front > facts.head.height || somebody_hangs(before) || fell_before || held {
        return Duration::ZERO;
    }
    let mut work = Work { front, open: BTreeMap::new(), arrived: false };
    let mut peers = Peers::default();
    for stamped in before {
        work.take_in(&stamped.event);
        peers.take_in(stamped.at, &stamped.event);
    }
    if work.open.is_empty() && !work.arrived {
        return Duration::ZERO;
    }
    let ends = fall.back_at.unwrap_or(Duration::MAX).saturating_add(AFTERMATH);
    let (mut alone, mut seen) = (Duration::ZERO, fall.known_at);
    for Stamped { at, event } in after {
        if work.open.is_empty() && peers.can_be_asked(*at) {
            alone += *at - seen;
        }
        seen = *at;
        match event {
            Event::Appended { last, .. } if *last >= front => return Duration::ZERO,
            Event::Asked { range, .. } if range.contains(front) && work.open.is_empty() => break,
            Event::Struck { way: Way::Hang, .. } | Event::ShuttingDown { .. } => {
                return Duration::ZERO;
            }
            _ => {}
        }
        let was_open = !work.open.is_empty();
        work.take_in(event);
        peers.take_in(*at, event);
        if was_open && work.open.is_empty() && *at > ends {
            // That has other reasons.
            return Duration::ZERO;
        }
    }
    alone
}

/// Whether anybody could be asked.
#[derive(Default)]
struct Peers {
    usable: usize,
    /// Whether the node looks for the height of the network: the scheduler may have no window.
    discovering: bool,
    /// Whether the node takes its own link for cut: all peers are silent.
    cut: bool,
    /// Requests for block 1, which tells of which chain a peer is: it is asked for nothing else
    /// before.
    checks: BTreeSet<u64>,
    /// When a reply of a peer failed that was not asked since.
    failed: BTreeMap<PeerIndex, Duration>,
    /// When a child last fell: replies that end because of it are given up, and have not failed.
    fell: Option<Duration>,
}

impl Peers {
    fn can_be_asked(&self, now: Duration) -> bool {
        let set_back = |failed: &&Duration| now.saturating_sub(**failed) <= SET_BACK_MAX;
        let set_back = self.failed.values().filter(set_back).count();
        self.usable > set_back && !self.discovering && !self.cut && self.checks.is_empty()
    }

    fn take_in(&mut self, at: Duration, event: &Event) {
        match event {
            Event::Partition { told } => self.cut = *told,
            Event::Status { usable_peers, phase, .. } => {
                self.usable = *usable_peers;
                self.discovering = *phase == "discovering";
            }
            Event::Struck { .. } | Event::Hung { .. } | Event::Exited { .. } => {
                self.fell = Some(at)
            }
            Event::Asked { peer, request, range } => {
                self.failed.remove(peer);
                if range.last() == Height::new(1) {
                    self.checks.insert(*request);
                }
            }
            Event::ReplyOver { peer, request, whole } => {
                self.checks.remove(request);
                let given_up = self.fell.is_some_and(|fell| at.saturating_sub(fell) <= AFTERMATH);
                if !whole && !given_up {
                    self.failed.insert(*peer, at);
                }
            }
            _ => {}
        }
    }
}

/// Whether a child hangs that nobody noticed yet.
fn somebody_hangs(events: &[Stamped]) -> bool {
    let mut hanging = BTreeSet::new();
    for Stamped { event, .. } in events {
        match event {
            Event::Struck { child, way: Way::Hang, incarnation, .. } => {
                hanging.insert((child.id(), *incarnation));
            }
            Event::Hung { child, incarnation } | Event::Exited { child, incarnation } => {
                hanging.remove(&(*child, *incarnation));
            }
            _ => {}
        }
    }
    !hanging.is_empty()
}

/// Who works on one height.
struct Work {
    front: Height,
    /// Requests for it that are open, and the height that each brings next.
    open: BTreeMap<u64, Height>,
    arrived: bool,
}

impl Work {
    fn take_in(&mut self, event: &Event) {
        match event {
            Event::Asked { request, range, .. } if range.contains(self.front) => {
                self.open.insert(*request, range.start());
            }
            Event::Delivered { request, lie, .. } => {
                let Some(next) = self.open.get_mut(request) else { return };
                if *next == self.front {
                    self.arrived |= !lie;
                    self.open.remove(request);
                } else {
                    *next = next.saturating_add(1);
                }
            }
            Event::ReplyOver { request, .. } => drop(self.open.remove(request)),
            _ => {}
        }
    }
}
