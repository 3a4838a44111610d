//! What the core is told, and what it wants done.

use std::time::Duration;

use crate::{
    flow::RequestId,
    scheduler::policy::ReplyEnd,
    selection::Standing,
    types::{Height, HeightRange, PeerId},
};

/// Verified blocks as the core sees them: nothing but heights.
pub trait Held: Clone {
    /// Which heights.
    fn range(&self) -> HeightRange;
    /// Who delivered them.
    fn peer(&self) -> PeerId;
}

/// What happened.
#[derive(Debug)]
pub enum DownloadEvent<S> {
    /// Blocks up to `last` are needed; everything below `next` is imported.
    WindowSet {
        /// Lowest height needed.
        next: Height,
        /// Highest height needed.
        last: Height,
    },
    /// No more blocks are needed.
    WindowClosed,
    /// A peer may be asked, or its standing changed.
    PeerUsable {
        /// Who.
        peer: PeerId,
        /// What reputation tells of it.
        standing: Standing,
    },
    /// A peer must not be asked any more. What it delivered may be good.
    PeerUnusable {
        /// Who.
        peer: PeerId,
    },
    /// A peer lied: what it delivered is not worth verifying.
    PeerBanned {
        /// Who.
        peer: PeerId,
    },
    /// The blocks of `range` arrived in reply to `request` and are being verified.
    Arrived {
        /// The request.
        request: RequestId,
        /// Which heights: the next ones of the request.
        range: HeightRange,
        /// Their size.
        bytes: u64,
    },
    /// Of `range`, `segments` passed verification; the rest did not.
    Verified {
        /// The request that they came in reply to.
        request: RequestId,
        /// Which heights were verified: those that arrived together.
        range: HeightRange,
        /// Those that passed.
        segments: Vec<S>,
    },
    /// The reply to `request` is over; blocks of it may still be being verified.
    Ended {
        /// The request.
        request: RequestId,
        /// How.
        end: ReplyEnd,
    },
    /// Nothing more will be heard of `request`.
    Settled {
        /// The request.
        request: RequestId,
    },
    /// The chain's head is now at `head`.
    Imported {
        /// Its height.
        head: Height,
    },
    /// The released block at `at` does not continue the chain; all below it are imported.
    ImportRefused {
        /// Its height.
        at: Height,
    },
    /// The importer lost what was released to it; its head is at `head`.
    ImporterStarted {
        /// Its height.
        head: Height,
    },
    /// The chain was set back, and its head is at `head`: what is under way is not for it.
    SetBack {
        /// Its height.
        head: Height,
    },
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DownloadEffect<S> {
    /// Ask `peer` for `range`. Answered by [`DownloadEvent::Ended`].
    Fetch {
        /// The request.
        request: RequestId,
        /// Who is asked.
        peer: PeerId,
        /// For which heights.
        range: HeightRange,
        /// What to reserve of the budget. Unit: bytes.
        bytes: u64,
        /// How long the first block, or the next one, may take.
        block_deadline: Duration,
    },
    /// Give up a request, and what of it is being verified.
    Cancel {
        /// The request.
        request: RequestId,
    },
    /// Receive no more of a request. What of it is being verified goes on.
    Stop {
        /// The request.
        request: RequestId,
    },
    /// Import this next.
    Release(S),
}
