//! The chain that all runs of a process sync: generated once, signed, verified by the real rules.

use std::sync::Arc;

use alys_sync::{
    consensus::{
        Genesis, GenesisError, SignerSet, Verifier,
        generate::{GenerateError, GenerateOptions, Transactions, generate},
    },
    types::{BlockRef, Height},
    wire::block::{EncodedBlock, SignedBlock},
};
use bytes::Bytes;

/// Authorities of the chain. Four of them make a majority of three, which leaves room for too few.
const AUTHORITIES: usize = 4;

/// Transactions of a block on average. More of them make runs slower and test nothing more.
const TRANSACTIONS_PER_BLOCK: u32 = 3;

/// Why there is no chain to sync.
#[derive(Debug, thiserror::Error)]
pub enum FixtureError {
    /// The options are out of range.
    #[error("the chain cannot be made")]
    Generate(#[from] GenerateError),
    /// What was made does not start with a genesis block.
    #[error("the chain has no genesis")]
    Genesis(#[from] GenesisError),
}

/// A chain, as bytes to serve and as rules to verify by.
pub struct Fixture {
    /// Block 0.
    pub genesis: Genesis,
    /// The rules.
    pub verifier: Arc<Verifier>,
    /// The last block.
    pub head: BlockRef,
    blocks: Vec<EncodedBlock>,
    unsigned: SignedBlock,
}

/// How a block is made into one that no honest peer can have imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lie {
    /// The last byte is missing.
    NotCanonical,
    /// It carries the approval of another block.
    WrongSignature,
    /// Nobody signed it.
    NoMajority,
}

impl Lie {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::NotCanonical, Self::WrongSignature, Self::NoMajority];
}

impl Fixture {
    /// A chain of `blocks` blocks above genesis; equal numbers give equal chains.
    ///
    /// # Errors
    /// [`FixtureError`].
    pub fn new(blocks: u64) -> Result<Self, FixtureError> {
        Self::with(blocks, Transactions::Realistic { mean_per_block: TRANSACTIONS_PER_BLOCK })
    }

    /// The same with one transaction of so many bytes in each block.
    ///
    /// # Errors
    /// [`FixtureError`].
    pub fn filled(blocks: u64, transaction_bytes: u32) -> Result<Self, FixtureError> {
        Self::with(blocks, Transactions::Fixed { per_block: 1, bytes: transaction_bytes })
    }

    fn with(blocks: u64, transactions: Transactions) -> Result<Self, FixtureError> {
        let chain = generate(GenerateOptions {
            blocks,
            authorities: AUTHORITIES,
            transactions,
            ..GenerateOptions::default()
        })?;
        let encoded: Vec<_> = chain.blocks().collect();
        let last = encoded.last().unwrap_or_else(|| chain.genesis());
        // All runs sync this chain: what one has found valid, the next need not check again.
        let verifier = Verifier::new(Arc::clone(chain.spec())).remembering(2 * encoded.len());
        let nobody = SignerSet::below(AUTHORITIES, []);
        let approval = chain.authorities().approve(&last.root(), nobody);
        Ok(Self {
            genesis: Genesis::from_block(chain.genesis().clone())?,
            verifier: Arc::new(verifier),
            head: last.block_ref(),
            unsigned: SignedBlock { message: last.to_block().message, approval },
            blocks: encoded,
        })
    }

    /// The bytes of the block at `height`; `None` for genesis and above the head.
    pub fn block(&self, height: Height) -> Option<Bytes> {
        self.at(height).map(|block| block.raw().clone())
    }

    /// The block at `height` made into `lie`.
    pub fn forged(&self, height: Height, lie: Lie) -> Option<Bytes> {
        let honest = self.at(height)?;
        let approval = match lie {
            Lie::NotCanonical => {
                return Some(honest.raw().slice(..honest.raw().len().saturating_sub(1)));
            }
            Lie::WrongSignature => {
                let neighbour = height.checked_sub(1).and_then(|below| self.at(below));
                let other = neighbour.or_else(|| self.at(height.saturating_add(1)))?;
                let mut approval = other.approval().clone();
                approval.bits = honest.approval().bits;
                approval
            }
            Lie::NoMajority => self.unsigned.approval.clone(),
        };
        let message = honest.to_block().message;
        Some(SignedBlock { message, approval }.encode().into())
    }

    fn at(&self, height: Height) -> Option<&EncodedBlock> {
        let index = usize::try_from(height.get()).ok()?.checked_sub(1)?;
        self.blocks.get(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_lie_is_provable_and_every_block_is_not() {
        let fixture = Fixture::new(5).unwrap();
        for number in 1..=5 {
            let height = Height::new(number);
            let block = EncodedBlock::decode(fixture.block(height).unwrap()).unwrap();
            fixture.verifier.verify(block).unwrap();
            for lie in Lie::ALL {
                match EncodedBlock::decode(fixture.forged(height, lie).unwrap()) {
                    Err(_) => assert_eq!(lie, Lie::NotCanonical),
                    Ok(block) => {
                        let fault = fixture.verifier.verify(block).unwrap_err();
                        assert!(fault.is_provable_lie(), "{lie:?}: {fault}");
                    }
                }
            }
        }
        assert_eq!(fixture.block(Height::GENESIS), None);
        assert_eq!(fixture.block(Height::new(6)), None);
    }
}
