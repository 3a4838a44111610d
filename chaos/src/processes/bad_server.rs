//! Servers that are not full, prompt and honest. All of them serve block 1 as it is: a peer is
//! asked for nothing more before it has shown which chain it serves.

use std::{thread::sleep, time::Duration};

use alys_sync::{
    adapters::chain_file::ChainFile,
    ports::{BlockSource, ChainError},
    types::{BlockRef, Height},
    wire::block::EncodedBlock,
};
use bytes::Bytes;

use crate::fixture::other_blocks::approved;

/// How long a late server takes for each read. Unit: time. Source: half of the five seconds that a
/// look at its height may take, a third of the eight that a block may take of a peer of which
/// little is known; more than twice the second after which a front is asked of another. Too low:
/// nobody else is asked, or it is first all the same. Too high: it fails.
const LATE: Duration = Duration::from_millis(2_500);

/// What a server does with what it is asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Behaviour {
    /// It serves its chain.
    #[default]
    Honest,
    /// It answers when others would have long ago, and before it is given up.
    Late,
    /// Each block carries the approval of the one below.
    WrongSignatures,
    /// The last byte of each block is missing.
    NotCanonical,
    /// It has nothing.
    Empty,
    /// It answers with an error.
    Refusing,
    /// It serves a fork that a majority signed.
    Forked,
}

/// A chain as a server of some behaviour serves it.
pub(super) struct Misbehaving {
    chain: ChainFile,
    behaviour: Behaviour,
}

impl Misbehaving {
    /// Serves what `behaviour` makes of `chain`.
    pub(super) const fn new(chain: ChainFile, behaviour: Behaviour) -> Self {
        Self { chain, behaviour }
    }

    /// `block` with the approval of the one below it; as it is where there is none.
    fn with_the_approval_below(&self, block: &Bytes) -> Result<Bytes, ChainError> {
        let honest = EncodedBlock::decode(block.clone()).map_err(corrupt)?;
        let Some(below) = honest.height().checked_sub(1) else { return Ok(block.clone()) };
        let Some(below) = self.chain.read(below, 1, usize::MAX)?.into_iter().next() else {
            return Ok(block.clone());
        };
        let mut approval = EncodedBlock::decode(below).map_err(corrupt)?.approval().clone();
        approval.bits = honest.approval().bits;
        Ok(approved(&honest, approval))
    }
}

fn corrupt(error: impl ToString) -> ChainError {
    ChainError::Corrupt(error.to_string())
}

impl BlockSource for Misbehaving {
    fn head(&self) -> BlockRef {
        self.chain.head()
    }

    fn oldest(&self) -> Height {
        self.chain.oldest()
    }

    fn read(
        &self,
        start: Height,
        blocks_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<Bytes>, ChainError> {
        let honest = || self.chain.read(start, blocks_max, bytes_max);
        if start <= Height::new(1) {
            return self.chain.read(start, 1, bytes_max);
        }
        match self.behaviour {
            Behaviour::Honest | Behaviour::Forked => honest(),
            Behaviour::Late => {
                sleep(LATE);
                honest()
            }
            Behaviour::WrongSignatures => {
                honest()?.iter().map(|block| self.with_the_approval_below(block)).collect()
            }
            Behaviour::NotCanonical => {
                let cut = |block: Bytes| block.slice(..block.len().saturating_sub(1));
                Ok(honest()?.into_iter().map(cut).collect())
            }
            Behaviour::Empty => Ok(Vec::new()),
            Behaviour::Refusing => Err(ChainError::Poisoned),
        }
    }
}
