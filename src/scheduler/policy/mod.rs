//! What a download policy decides, and what it is told.
//!
//! The core keeps account of every height and every request; a policy only says who is asked for
//! what, and when something is asked twice or given up. So policies can be compared, and none of
//! them can lose or repeat a block. [`Adaptive`] is ours.
//!
//! A policy has no clock, no entropy but what it was seeded with, and no I/O: time comes in with
//! every call, and the same calls give the same answers.

mod adaptive;
mod allocation;
mod hedge;
mod patience;
mod peer_load;
mod peer_rate;

use std::{collections::BTreeMap, time::Duration};

pub use adaptive::Adaptive;
pub use allocation::Allocation;
#[cfg(test)]
pub(super) use hedge::HEDGE_BLOCKS;

use super::HeightSet;
use crate::{
    flow::RequestId,
    selection::Standing,
    types::{Height, HeightRange, PeerId},
};

/// How a reply ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplyEnd {
    /// The peer closed cleanly.
    Closed,
    /// The peer, or the way to it, failed.
    Failed,
    /// Our own limit or restart, nobody's fault: ask again soon.
    NotSent,
    /// The peer serves us no more before so much time has passed; it may not have said how much.
    Limited {
        /// How long to wait.
        wait: Option<Duration>,
    },
    /// We gave it up ourselves.
    Cancelled,
}

/// What a usable peer has to do for us at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PeerWork {
    /// What reputation tells of it.
    pub standing: Standing,
    /// Requests open.
    pub requests: usize,
    /// Blocks asked and not arrived.
    pub blocks: u64,
}

/// The downloads as a policy sees them.
#[derive(Debug, Clone, Copy)]
pub struct DownloadView<'a> {
    /// Heights of the window that nobody is asked for.
    pub wanted: &'a HeightSet,
    /// Everybody who may be asked.
    pub peers: &'a BTreeMap<PeerId, PeerWork>,
    /// The lowest height that is not imported.
    pub next_import: Height,
    /// The lowest height that did not go on to import yet: everything waits for it.
    pub front: Height,
    /// The highest height that is needed, inside the window or beyond it.
    pub last: Height,
    /// The highest height that is there and waits for lower ones, if any does.
    pub held: Option<Height>,
    /// The measured size of a block. Unit: bytes, at least 1.
    pub bytes_per_block: u64,
    /// What the budget has left. The front is asked for even when nothing is. Unit: bytes.
    pub available: u64,
}

/// One request to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assignment {
    /// Who is asked.
    pub peer: PeerId,
    /// For what: wanted heights.
    pub range: HeightRange,
    /// How long its first block, or the next one, may take before the request has failed. It does
    /// not run while we do not read because memory is short.
    pub block_deadline: Duration,
}

/// A request that has not brought the next of its blocks yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unanswered {
    /// The request.
    pub request: RequestId,
    /// Who was asked.
    pub peer: PeerId,
    /// What has not arrived.
    pub missing: HeightRange,
    /// Since it was sent, or since its latest piece.
    pub waited: Duration,
    /// How long a block of its latest piece took since the piece before; none before the second
    /// piece, as the first also waits for other replies.
    pub pace: Option<Duration>,
    /// How many heights lie between the front and what it misses; 0 when it is the front.
    pub beyond_front: u64,
}

/// Blocks of a reply that arrived together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArrivedPiece {
    /// In reply to this.
    pub request: RequestId,
    /// From this peer.
    pub peer: PeerId,
    /// How many. Unit: blocks, at least 1.
    pub blocks: u64,
    /// Their size. Unit: bytes.
    pub bytes: u64,
    /// Blocks of the reply so far, these included.
    pub got: u64,
    /// Since the request was sent, or since the piece before.
    pub waited: Duration,
}

/// A reply that is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndedReply {
    /// To this request.
    pub request: RequestId,
    /// From this peer.
    pub peer: PeerId,
    /// Blocks asked for.
    pub asked: u64,
    /// Blocks that arrived.
    pub got: u64,
    /// The first height that did not arrive; the last one asked for when all did.
    pub next: Height,
    /// How it ended.
    pub end: ReplyEnd,
}

/// Decides who is asked for which heights. See the module.
pub trait DownloadPolicy: Send {
    /// How far beyond the imported head heights may be asked for now. Unit: blocks, at least 1.
    fn window_blocks(&self) -> u64;

    /// `peer` may be asked from now on.
    fn joined(&mut self, now: Duration, peer: PeerId);

    /// `peer` may not be asked any more; nothing is open at it.
    fn left(&mut self, peer: PeerId);

    /// The next request, if somebody should be asked for something now. It is asked again and
    /// again until it answers `None`; an answer may come to nothing when memory is short, so state
    /// changes in [`DownloadPolicy::sent`].
    fn assign(&mut self, now: Duration, view: &DownloadView<'_>) -> Option<Assignment>;

    /// How far beyond the front [`DownloadPolicy::hedge`] is asked. Unit: blocks; 0 for the front
    /// only.
    fn hedges_beyond_front(&self) -> u64 {
        0
    }

    /// Who else should be asked for the beginning of what a request still misses. The first piece
    /// of either request ends the other.
    fn hedge(
        &mut self,
        now: Duration,
        late: &Unanswered,
        view: &DownloadView<'_>,
    ) -> Option<Assignment> {
        let _ = (now, late, view);
        None
    }

    /// A request that is to be given up as failed, although its blocks may keep coming. It is
    /// asked again until it answers `None`.
    fn expired(&mut self, now: Duration) -> Option<RequestId> {
        let _ = now;
        None
    }

    /// A request went out; `hedge` if it repeats what another peer is late with.
    fn sent(&mut self, now: Duration, request: RequestId, assignment: &Assignment, hedge: bool);

    /// Blocks arrived.
    fn arrived(&mut self, now: Duration, piece: &ArrivedPiece);

    /// A reply is over.
    fn ended(&mut self, now: Duration, reply: &EndedReply);

    /// Another peer, asked later for the same, was quicker than `peer`.
    fn was_late(&mut self, now: Duration, peer: PeerId) {
        let _ = (now, peer);
    }

    /// Valid blocks of `peer` did not continue our chain.
    fn did_not_link(&mut self, now: Duration, peer: PeerId) {
        let _ = (now, peer);
    }
}
