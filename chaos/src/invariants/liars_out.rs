//! A provable liar is out after at most three bad replies.
//!
//! A bad reply counts when it is over, for only then has all of it been judged. What is asked of
//! the liar after the third is one request too many. Verdicts and the memory of them die with the
//! children that hold them, and what is judged while there is none of them is lost; so the count
//! starts again when one of those ends, when it is back, and when the faults end. Of a reply that
//! the node drops it judges what had gone on to verification.

use std::{collections::BTreeMap, time::Duration};

use alys_sync::tree::Child;

use super::{Broken, Facts, broken};
use crate::trace::{Event, PeerIndex, Stamped};

const NAME: &str = "liars_out";

/// Bad replies after which a liar must be out. Source: the product's promise.
const BAD_REPLIES_MAX: usize = 3;

/// From the end of a reply to the end of its verification, its evidence and what follows. Unit:
/// virtual time, in which verification takes none.
const JUDGED_WITHIN: Duration = Duration::from_millis(20);

/// From the arrival of a block to its verification, if the reply has not ended. Unit: virtual
/// time. Source: blocks wait 100 ms for others at most.
const VERIFIED_WITHIN: Duration = Duration::from_millis(120);

/// Where verdicts on their way and the memory of them are held.
const JUDGES: [Child; 4] =
    [Child::PeerReputation, Child::ValidatorPool, Child::DownloadScheduler, Child::SyncCoordinator];

#[derive(Default)]
struct Record {
    /// Replies with a lie, and when the first of each came.
    lying: BTreeMap<u64, Duration>,
    over: usize,
    convicted_at: Option<Duration>,
}

pub(super) fn check(facts: &Facts, events: &[Stamped]) -> Result<(), Broken> {
    let mut records: BTreeMap<PeerIndex, Record> = BTreeMap::new();
    for Stamped { at, event } in events {
        match event {
            Event::Exited { child, .. } | Event::Started { child, .. }
                if JUDGES.iter().any(|judge| judge.id() == *child) =>
            {
                records.clear();
            }
            Event::Killed { child, .. } if JUDGES.contains(child) => records.clear(),
            Event::Healed => records.clear(),
            Event::DroppedByNode { peer } => {
                records.remove(peer);
            }
            Event::Delivered { peer, request, lie: true } if facts.is_liar(*peer) => {
                records.entry(*peer).or_default().lying.entry(*request).or_insert(*at);
            }
            Event::ReplyOver { peer, request, whole } => {
                let Some(record) = records.get_mut(peer) else { continue };
                let Some(lied_at) = record.lying.remove(request) else { continue };
                record.over += usize::from(*whole || *at >= lied_at + VERIFIED_WITHIN);
                if record.over >= BAD_REPLIES_MAX {
                    record.convicted_at.get_or_insert(*at);
                }
            }
            Event::Asked { peer, .. } => {
                let convicted = records.get(peer).and_then(|record| record.convicted_at);
                if convicted.is_some_and(|since| *at > since + JUDGED_WITHIN) {
                    let what = format!("{peer:?} is asked after {BAD_REPLIES_MAX} bad replies");
                    return broken(NAME, *at, what);
                }
            }
            _ => {}
        }
    }
    Ok(())
}
