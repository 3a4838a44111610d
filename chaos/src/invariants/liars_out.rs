//! A provable liar is out after at most three bad replies.
//!
//! A bad reply counts when it is over, for only then has all of it been judged. What is asked of
//! the liar after the third is one request too many. Verdicts and the memory of them die with the
//! children that hold them, and what is judged while there is none of them is lost; so the count
//! starts again when one of those ends, when it is back, and when the faults end. Of a reply that
//! the node drops it judges what had gone on to verification.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use alys_sync::tree::Child;

use super::{Broken, Facts, broken};
use crate::trace::{Event, PeerIndex, Stamped};

const NAME: &str = "liars_out";

/// Bad replies after which a liar must be out. Source: the product's promise.
pub const BAD_REPLIES_MAX: usize = 3;

/// From the end of a reply to the end of its verification, its evidence and what follows. Unit:
/// virtual time, in which verification takes none.
const JUDGED_WITHIN: Duration = Duration::from_millis(20);

/// From the arrival of a block to its verification, if the reply has not ended. Unit: virtual
/// time. Source: blocks wait 100 ms for others at most.
const VERIFIED_WITHIN: Duration = Duration::from_millis(120);

/// Where verdicts on their way and the memory of them are held.
const JUDGES: [Child; 4] =
    [Child::PeerReputation, Child::ValidatorPool, Child::DownloadScheduler, Child::SyncCoordinator];

fn is_judge(child: &str) -> bool {
    JUDGES.iter().any(|judge| judge.id() == child)
}

#[derive(Default)]
struct Record {
    /// Replies with a lie, and when the first of each came.
    lying: BTreeMap<u64, Duration>,
    /// Bad replies that are over. Those that ended while the last one allowed was being judged were
    /// under way before anybody could know, and do not count.
    over: usize,
    convicted_at: Option<Duration>,
}

impl Record {
    fn reply_over(&mut self, at: Duration, request: u64, whole: bool) {
        let Some(lied_at) = self.lying.remove(&request) else { return };
        let judged = whole || at >= lied_at + VERIFIED_WITHIN;
        let under_way = self.convicted_at.is_some_and(|since| at <= since + JUDGED_WITHIN);
        if !judged || under_way {
            return;
        }
        self.over += 1;
        if self.over >= BAD_REPLIES_MAX {
            self.convicted_at.get_or_insert(at);
        }
    }

    fn is_convicted(&self, at: Duration) -> bool {
        self.convicted_at.is_some_and(|since| at > since + JUDGED_WITHIN)
    }
}

/// What the oracle holds against each liar.
#[derive(Default)]
struct Records {
    of: BTreeMap<PeerIndex, Record>,
    /// Those of the judges that were struck down and are not back: one that hangs judges nothing.
    down: BTreeSet<&'static str>,
}

impl Records {
    fn take_in(&mut self, facts: &Facts, at: Duration, event: &Event) {
        match event {
            Event::Exited { child, .. } if is_judge(child) => self.of.clear(),
            Event::Started { child, .. } if is_judge(child) => {
                self.down.remove(child);
                self.of.clear();
            }
            Event::Struck { child, .. } if is_judge(child.id()) => {
                self.down.insert(child.id());
                self.of.clear();
            }
            _ if !self.down.is_empty() => {}
            Event::Healed => self.of.clear(),
            Event::DroppedByNode { peer } => {
                self.of.remove(peer);
            }
            Event::Delivered { peer, request, lie: true } if facts.is_liar(*peer) => {
                self.of.entry(*peer).or_default().lying.entry(*request).or_insert(at);
            }
            Event::ReplyOver { peer, request, whole } => {
                if let Some(record) = self.of.get_mut(peer) {
                    record.reply_over(at, *request, *whole);
                }
            }
            _ => {}
        }
    }
}

pub(super) fn check(facts: &Facts, events: &[Stamped]) -> Result<(), Broken> {
    let mut records = Records::default();
    for Stamped { at, event } in events {
        records.take_in(facts, *at, event);
        if let Event::Asked { peer, .. } = event
            && records.of.get(peer).is_some_and(|record| record.is_convicted(*at))
        {
            let what = format!("{peer:?} is asked after {BAD_REPLIES_MAX} bad replies");
            return broken(NAME, *at, what);
        }
    }
    Ok(())
}

/// What became of liars until the sync was over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LiarsSeen {
    /// The most bad replies of one of them before it was thrown out, or until the end.
    pub most_bad_replies: usize,
    /// Those who should have been thrown out and were not.
    pub left: usize,
}

/// What became of the liars of a run.
pub fn liars_seen(facts: &Facts, events: &[Stamped]) -> LiarsSeen {
    let (mut records, mut most_bad_replies) = (Records::default(), 0);
    let mut end = Duration::ZERO;
    for Stamped { at, event } in events {
        end = *at;
        if matches!(event, Event::Synced { .. } | Event::GaveUp { .. }) {
            break;
        }
        records.take_in(facts, *at, event);
        let most = records.of.values().map(|record| record.over).max();
        most_bad_replies = most_bad_replies.max(most.unwrap_or_default());
    }
    let left = records.of.values().filter(|record| record.is_convicted(end)).count();
    LiarsSeen { most_bad_replies, left }
}
