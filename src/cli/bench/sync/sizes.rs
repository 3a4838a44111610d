//! How much is synced in each part of `bench sync`.

use alys_sync::consensus::generate::Transactions;

/// What the blocks of the parts without links carry: about 1.8 kB as encoded. Source: the size that
/// the real node's speed was measured with.
pub(super) const SMALL_BLOCKS: Transactions = Transactions::Fixed { per_block: 1, bytes: 250 };

/// What the blocks over links carry: a little above 64 kB as they travel, about twice that as
/// encoded. Source: the promise that is measured names 64 kB.
pub(super) const LARGE_BLOCKS: Transactions = Transactions::Fixed { per_block: 50, bytes: 1_000 };

/// The same in the chain that takes long to import. Unit: bytes. Only to reckon how many make so
/// many bytes.
pub(super) const LARGE_BLOCK_BYTES: u64 = 101_500;

/// How much is synced. Unit: blocks, unless said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sizes {
    /// Of the chain that the old algorithm and ours sync.
    pub(super) blocks: u64,
    pub(super) rounds: u32,
    /// Of the chain that is synced over links.
    pub(super) link_blocks: u64,
    /// Of the chain that one block a request is served of.
    pub(super) one_block_blocks: u64,
    /// The chain that a slow store imports. Unit: bytes.
    pub(super) memory_bytes_chain: u64,
}

impl Sizes {
    /// Enough for the start and the end of a sync to count for little: some eight minutes in all.
    pub(super) const FULL: Self = Self {
        blocks: 4_000,
        rounds: 3,
        link_blocks: 8_000,
        one_block_blocks: 40_000,
        memory_bytes_chain: 1_000_000_000,
    };

    /// The same parts in less than a minute. Starts and ends count for much.
    pub(super) const QUICK: Self = Self {
        blocks: 600,
        rounds: 1,
        link_blocks: 300,
        one_block_blocks: 2_000,
        memory_bytes_chain: 20_000_000,
    };
}
