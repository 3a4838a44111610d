//! What lies behind the indexed head when a store is opened.
//!
//! An append writes bodies before it indexes them, and the database, when its own file is damaged,
//! goes back to an earlier state without a word. Both leave bodies that no entry leads to. They
//! were verified before they were written, so those that are whole and continue the chain are taken
//! in; the first that is not ends it, and the rest is cut by the writer.

use bytes::Bytes;

use super::{
    database::IndexError,
    index::{Entry, Index},
    segments::{Location, SegmentError, SegmentReader},
};
use crate::{consensus::LinkPoint, types::Height, wire::block::EncodedBlock};

/// Blocks taken in at once. Too low: a flush for each few when a whole index is made anew. Too
/// high: memory for entries that are not indexed yet.
const BATCH_BLOCKS: usize = 4096;

/// The last block that counts.
pub(super) struct Tail {
    pub(super) head: LinkPoint,
    pub(super) location: Location,
}

/// Why the blocks behind the head could not be taken in.
pub(super) enum TailError {
    Index(IndexError),
    Segment(SegmentError),
}

impl Tail {
    /// Indexes the whole blocks behind the head, durably, and moves there.
    ///
    /// # Errors
    /// [`TailError`]; what was indexed before it stays.
    pub(super) fn take_in(
        &mut self,
        index: &Index,
        reader: &SegmentReader,
    ) -> Result<(), TailError> {
        loop {
            let (first, mut entries) = (self.head.height.next(), Vec::new());
            while entries.len() < BATCH_BLOCKS
                && let Some((location, raw)) =
                    reader.following(&self.location).map_err(TailError::Segment)?
                && let Some(head) = continuation(&self.head, raw)
            {
                entries.push(Entry::of(location, &head));
                (self.head, self.location) = (head, location);
            }
            let (Some(first), false) = (first, entries.is_empty()) else { return Ok(()) };
            let locations: Vec<_> = entries.iter().map(|entry| entry.location).collect();
            reader.sync(&locations).map_err(TailError::Segment)?;
            index.append(first, &entries).map_err(TailError::Index)?;
        }
    }

    /// Tells the operator what opening found behind the head, if anything.
    pub(super) fn report(&self, indexed: Height, bytes_cut: u64) {
        let blocks = self.head.height.blocks_above(indexed);
        if blocks > 0 || bytes_cut > 0 {
            tracing::warn!(
                head = %self.head.block_ref(),
                blocks_taken_in = blocks,
                bytes_cut,
                "the last use of the data directory ended in the middle of a write"
            );
        }
    }
}

/// The link to the block in `raw` if it continues `head`.
fn continuation(head: &LinkPoint, raw: Bytes) -> Option<LinkPoint> {
    let block = EncodedBlock::decode(raw).ok()?;
    let continues = block.parent() == head.root
        && Some(block.height()) == head.height.next()
        && block.execution_parent() == head.execution_hash;
    continues.then(|| LinkPoint::of(&block))
}
