//! All checks of a full node over blocks in order: decoding and verification on all cores, links
//! one by one.

use std::{fmt, sync::Arc};

use alys_sync::{
    adapters::chain_file::RecordPlace,
    consensus::{
        BlockFault, ChainSpec, Genesis, GenesisError, LinkFault, LinkPoint, VerifiedBlock,
        Verifier, links,
    },
    types::{BlockRef, BlockRoot, Height},
    wire::block::{BlockError, EncodedBlock},
};
use bytes::Bytes;
use rayon::{
    ThreadPool, ThreadPoolBuilder,
    iter::{IntoParallelIterator as _, ParallelIterator as _},
};

use crate::cli::Ending;

/// Blocks checked together. Unit: blocks. Too low: cores wait for each other. Too high: memory, and
/// an interruption is noticed late.
const BATCH_BLOCKS: usize = 512;

/// Bytes after which no further block joins a batch.
const BATCH_BYTES: usize = 32 << 20;

/// Where a block was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In a chain file.
    Record(RecordPlace),
    /// In a data directory, at this height.
    Stored(Height),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record(place) => place.fmt(f),
            Self::Stored(height) => write!(f, "the block stored at height {height}"),
        }
    }
}

/// A block that is not of the chain, and why. All before it are.
#[derive(Debug, thiserror::Error)]
pub(super) enum BadBlock {
    #[error("{place} holds no block")]
    Encoding {
        place: Place,
        #[source]
        source: BlockError,
    },
    #[error("{place}: block {block} breaks the rules of the chain")]
    Fault {
        place: Place,
        block: BlockRef,
        #[source]
        source: Box<BlockFault>,
    },
    #[error("{place} does not follow the block before it")]
    Link {
        place: Place,
        #[source]
        source: Box<LinkFault>,
    },
    #[error("{place}: not a genesis block")]
    NotGenesis {
        place: Place,
        #[source]
        source: GenesisError,
    },
    #[error("{place}: the chain begins with genesis {found}, not {given}")]
    OtherGenesis { place: Place, found: BlockRoot, given: BlockRoot },
    #[error("{place}: block {block} is above genesis: give the genesis block with --genesis")]
    NoGenesis { place: Place, block: BlockRef },
}

/// Takes blocks into batches.
#[derive(Debug, Default)]
pub(super) struct Batch {
    blocks: Vec<(Place, Bytes)>,
    bytes: usize,
}

impl Batch {
    pub(super) fn push(&mut self, place: Place, raw: Bytes) {
        self.bytes = self.bytes.saturating_add(raw.len());
        self.blocks.push((place, raw));
    }

    pub(super) fn is_full(&self) -> bool {
        self.blocks.len() >= BATCH_BLOCKS || self.bytes >= BATCH_BYTES
    }
}

/// Checks batch after batch.
pub(super) struct Checker {
    verifier: Verifier,
    pool: ThreadPool,
    /// The last block that passed.
    tip: Option<LinkPoint>,
}

/// The blocks of a batch that passed, in order, and the first that did not.
pub(super) struct Checked {
    pub(super) good: Vec<VerifiedBlock>,
    pub(super) bad: Option<BadBlock>,
}

enum Decoded {
    /// Height 0, which nobody signs.
    Genesis(EncodedBlock),
    Verified(VerifiedBlock),
}

impl Checker {
    /// A checker of the blocks after `tip`; with none the first block has to be genesis. Verifies
    /// on `workers` threads, 0 for one on each core.
    pub(super) fn new(
        spec: Arc<ChainSpec>,
        tip: Option<LinkPoint>,
        workers: usize,
    ) -> Result<Self, Ending> {
        let pool = ThreadPoolBuilder::new().num_threads(workers).build().map_err(Ending::failed)?;
        Ok(Self { verifier: Verifier::new(spec), pool, tip })
    }

    /// The last block that passed.
    pub(super) const fn tip(&self) -> Option<LinkPoint> {
        self.tip
    }

    pub(super) fn check(&mut self, batch: Batch) -> Checked {
        let verifier = &self.verifier;
        let verified: Vec<_> = self.pool.install(|| {
            let check = |(place, raw)| (place, check_one(verifier, place, raw));
            batch.blocks.into_par_iter().map(check).collect()
        });
        let mut good = Vec::with_capacity(verified.len());
        for (place, block) in verified {
            match block.and_then(|block| self.link(place, block)) {
                Ok(block) => good.extend(block),
                Err(bad) => return Checked { good, bad: Some(bad) },
            }
        }
        Checked { good, bad: None }
    }

    /// The block, if it follows the tip; nothing for the genesis block.
    fn link(&mut self, place: Place, block: Decoded) -> Result<Option<VerifiedBlock>, BadBlock> {
        match (block, self.tip) {
            (Decoded::Genesis(block), tip) => {
                let genesis = Genesis::from_block(block)
                    .map_err(|source| BadBlock::NotGenesis { place, source })?;
                let (found, given) = (genesis.root(), tip.map_or(genesis.root(), |tip| tip.root));
                if found != given {
                    return Err(BadBlock::OtherGenesis { place, found, given });
                }
                self.tip = Some(genesis.link_point());
                Ok(None)
            }
            (Decoded::Verified(block), Some(tip)) => {
                links(&tip, &block)
                    .map_err(|source| BadBlock::Link { place, source: Box::new(source) })?;
                self.tip = Some(block.link_point());
                Ok(Some(block))
            }
            (Decoded::Verified(block), None) => {
                Err(BadBlock::NoGenesis { place, block: block.block_ref() })
            }
        }
    }
}

fn check_one(verifier: &Verifier, place: Place, raw: Bytes) -> Result<Decoded, BadBlock> {
    let block = EncodedBlock::decode(raw).map_err(|source| BadBlock::Encoding { place, source })?;
    if block.height() == Height::GENESIS {
        return Ok(Decoded::Genesis(block));
    }
    let at = block.block_ref();
    verifier.verify(block).map(Decoded::Verified).map_err(|source| BadBlock::Fault {
        place,
        block: at,
        source: Box::new(source),
    })
}
