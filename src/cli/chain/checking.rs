//! All checks of a full node over blocks in order: decoding and verification on all cores,
//! signatures many at once, links one by one.

use std::{fmt, sync::Arc};

use alys_sync::{
    adapters::chain_file::RecordPlace,
    consensus::{
        BlockFault, ChainSpec, Genesis, GenesisError, LinkFault, LinkPoint, VerifiedBlock,
        Verifier, attest, links,
    },
    ports::{Entropy as _, EntropyError, OsEntropy, RandomWeights},
    types::{BlockRef, BlockRoot, Height},
    wire::block::{BlockError, EncodedBlock},
};
use bytes::Bytes;
use rayon::{
    ThreadPool, ThreadPoolBuilder, iter::ParallelIterator as _, slice::ParallelSlice as _,
};

use crate::cli::Ending;

/// Blocks checked together. Unit: blocks. Too low: cores wait for each other. Too high: memory, and
/// an interruption is noticed late.
const BATCH_BLOCKS: usize = 2048;

/// Blocks whose signatures are checked together. Unit: blocks. Too low: each costs more. Too high:
/// cores idle, as each takes so many at once.
const ATTESTED_BLOCKS: usize = 256;

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

    /// Checks the blocks after the tip, which moves to the last that passes.
    pub(super) fn check(&mut self, batch: Batch) -> Result<Checked, Ending> {
        let verifier = &self.verifier;
        let verified: Result<Vec<_>, _> = self.pool.install(|| {
            let together = batch.blocks.par_chunks(ATTESTED_BLOCKS);
            together.map(|blocks| verify_together(verifier, blocks)).collect()
        });
        let mut good = Vec::with_capacity(batch.blocks.len());
        for (place, block) in verified.map_err(Ending::failed)?.into_iter().flatten() {
            match block.and_then(|block| self.link(place, block)) {
                Ok(block) => good.extend(block),
                Err(bad) => return Ok(Checked { good, bad: Some(bad) }),
            }
        }
        Ok(Checked { good, bad: None })
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

/// What became of a block.
type Outcome = (Place, Result<Decoded, BadBlock>);

/// What became of `blocks`, in order. On the caller's thread.
fn verify_together(
    verifier: &Verifier,
    blocks: &[(Place, Bytes)],
) -> Result<Vec<Outcome>, EntropyError> {
    let mut claimed = Vec::with_capacity(blocks.len());
    let mut outcomes = Vec::with_capacity(blocks.len());
    for (place, raw) in blocks {
        let outcome = match EncodedBlock::decode(raw.clone()) {
            Err(source) => Some(Err(BadBlock::Encoding { place: *place, source })),
            Ok(block) if block.height() == Height::GENESIS => Some(Ok(Decoded::Genesis(block))),
            Ok(block) => {
                let at = block.block_ref();
                match verifier.claim(block) {
                    Ok(block) => {
                        claimed.push(block);
                        None
                    }
                    Err(fault) => Some(Err(fault_of(*place, at, fault))),
                }
            }
        };
        outcomes.push((*place, outcome));
    }
    let (attested, _) = attest(&claimed, &mut RandomWeights::new(OsEntropy.seed()?));
    let mut attested = claimed.iter().zip(attested);
    let outcome = |(place, outcome): (Place, Option<_>)| {
        let verified = || {
            let (claimed, attested) = attested.next()?;
            let block = claimed.block_ref();
            let verified = attested.and_then(|block| verifier.check_content(block));
            Some(verified.map(Decoded::Verified).map_err(|fault| fault_of(place, block, fault)))
        };
        Some((place, outcome.or_else(verified)?))
    };
    Ok(outcomes.into_iter().filter_map(outcome).collect())
}

fn fault_of(place: Place, block: BlockRef, fault: BlockFault) -> BadBlock {
    BadBlock::Fault { place, block, source: Box::new(fault) }
}
