//! The chain store as sync sees it. All calls block on disk: never call one on an async worker.

use bytes::Bytes;

use crate::{
    consensus::{LinkPoint, VerifiedBlock},
    types::{BlockRef, BlockRoot, Height},
};

/// Why the store refused or failed. What to do follows from the variant alone.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// The first block does not continue the durable head, or the batch is not contiguous. Nothing
    /// was written: ask the head again and start from there.
    #[error("block {offered} does not continue the durable head {head}")]
    NotNext {
        /// The durable head.
        head: BlockRef,
        /// The block that does not fit.
        offered: BlockRef,
    },
    /// The height is outside what the store holds.
    #[error("height {height} is outside the stored range {oldest}..={head}")]
    OutOfRange {
        /// The height that was asked for.
        height: Height,
        /// The lowest height stored.
        oldest: Height,
        /// The highest height stored.
        head: Height,
    },
    /// Stored data fails its checks. Never restart into it: quarantine and report.
    #[error("stored data is corrupt: {0}")]
    Corrupt(String),
    /// A call to the disk failed. After a failed write the store refuses all further writes.
    #[error("{action} failed")]
    Io {
        /// What was being done, with the path.
        action: String,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// An earlier write failed, so what the disk holds is unknown until the store is opened again.
    #[error("the store is closed to writes after an earlier failure")]
    Poisoned,
}

/// Read side: enough to serve blocks to others.
pub trait BlockSource: Send + Sync + 'static {
    /// The highest durable block.
    fn head(&self) -> BlockRef;

    /// The lowest height whose body is held.
    fn oldest(&self) -> Height;

    /// Bodies of consecutive blocks from `start` on, as they were received: at most `blocks_max`,
    /// and no further block once `bytes_max` is reached (so at least one where there is one).
    /// Empty when `start` is above the head or below the oldest height.
    ///
    /// # Errors
    /// [`ChainError::Io`] and [`ChainError::Corrupt`].
    fn read(
        &self,
        start: Height,
        blocks_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<Bytes>, ChainError>;
}

/// The chain with its one writer's operations.
pub trait Chain: BlockSource {
    /// The root of the genesis block: the identity of the network.
    fn genesis(&self) -> BlockRoot;

    /// What the next block must link to. Waits for a write under way, so that after a writer's
    /// death its successor never sees a head that is about to move.
    ///
    /// # Errors
    /// [`ChainError::Poisoned`] after a failed write.
    fn tip(&self) -> Result<LinkPoint, ChainError>;

    /// What a child of the block at `height` must link to.
    ///
    /// # Errors
    /// [`ChainError::OutOfRange`], [`ChainError::Io`], [`ChainError::Corrupt`].
    fn link_point(&self, height: Height) -> Result<LinkPoint, ChainError>;

    /// Appends blocks that link to the head and to each other, atomically with the head, and
    /// returns the new head once all of it would survive a power loss. An empty batch is a no-op.
    ///
    /// # Errors
    /// [`ChainError::NotNext`] with nothing written; after any other error the store refuses
    /// writes ([`ChainError::Poisoned`]) until it is opened again.
    fn append(&self, blocks: &[VerifiedBlock]) -> Result<BlockRef, ChainError>;

    /// Makes the block at `height` the head and forgets everything above, durably.
    ///
    /// # Errors
    /// [`ChainError::OutOfRange`]; others as for [`Chain::append`].
    fn truncate_to(&self, height: Height) -> Result<BlockRef, ChainError>;
}
