//! A segment on its way through verification.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use ractor::RpcReplyPort;

use super::{ReplyFault, Verdict, verdict::assemble};
use crate::{consensus::VerifiedBlock, flow::RawSegment};

/// A segment under verification. Its blocks come back one by one, in any order and from any
/// thread; whoever brings the last one sends the verdict. If a block is lost, so is the segment:
/// its caller is told as soon as nobody works on the others any more.
pub(super) struct Work(Mutex<Option<Open>>);

struct Open {
    segment: RawSegment,
    reply: RpcReplyPort<Verdict>,
    results: Vec<Option<Result<VerifiedBlock, ReplyFault>>>,
    left: usize,
}

/// The place of a block: in which segment, and where there.
#[derive(Clone)]
pub(super) struct Place {
    work: Arc<Work>,
    index: usize,
}

/// A block as it came, with its place.
pub(super) struct RawBlock {
    pub(super) raw: Bytes,
    pub(super) place: Place,
}

impl Work {
    /// The blocks of `segment`, whose verdict goes to `reply`.
    pub(super) fn begin(segment: RawSegment, reply: RpcReplyPort<Verdict>) -> Vec<RawBlock> {
        let blocks = segment.blocks.clone();
        let results = blocks.iter().map(|_| None).collect();
        let open = Open { segment, reply, results, left: blocks.len() };
        if blocks.is_empty() {
            open.finish();
            return Vec::new();
        }
        let work = Arc::new(Self(Mutex::new(Some(open))));
        let place = |index| Place { work: Arc::clone(&work), index };
        let block = |(index, raw)| RawBlock { raw, place: place(index) };
        blocks.into_iter().enumerate().map(block).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Open>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Whether anybody still waits for this block.
    pub(super) fn is_wanted(&self) -> bool {
        self.work.lock().as_ref().is_some_and(|open| !open.reply.is_closed())
    }

    /// Brings the result of the block.
    pub(super) fn settle(self, result: Result<VerifiedBlock, ReplyFault>) {
        let mut slot = self.work.lock();
        let Some(open) = slot.as_mut() else { return };
        if let Some(place) = open.results.get_mut(self.index)
            && place.replace(result).is_none()
        {
            open.left -= 1;
        }
        if open.left == 0
            && let Some(open) = slot.take()
        {
            drop(slot);
            open.finish();
        }
    }

    /// Gives the segment up: its caller is told now, and its other blocks are wanted no more.
    pub(super) fn fail(self) {
        drop(self.work.lock().take());
    }
}

impl Open {
    fn finish(self) {
        let Self { segment, reply, results, .. } = self;
        let results: Option<Vec<_>> = results.into_iter().collect();
        if let Some(results) = results {
            // The caller may have given up: then the verdict is of no use to anybody.
            let _ = reply.send(assemble(segment, results));
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Place({})", self.index)
    }
}
