//! The chain that all runs of a process sync: generated once, signed, verified by the real rules.

pub(crate) mod other_blocks;

use std::sync::{Arc, OnceLock};

use alys_sync::{
    consensus::{
        Genesis, GenesisError, SignerSet, VerifiedBlock, Verifier,
        generate::{Authorities, GenerateError, GenerateOptions, Transactions, generate},
    },
    types::{BlockRef, BlockRoot, Height},
    wire::block::EncodedBlock,
};
use bytes::Bytes;
pub use other_blocks::{Fork, Second};

/// Authorities of the chain. Four of them make a majority of three, which leaves room for too few.
const AUTHORITIES: usize = 4;

/// Transactions of a block on average. More of them make runs slower and test nothing more.
const TRANSACTIONS_PER_BLOCK: u32 = 3;

/// How many forks of the chain there are. More of them cost time to sign and show nothing more.
pub const FORKS: usize = 3;

/// The forks part above the first, second and third of so many parts of the chain: early, so that
/// a node that starts above all of them still has most of the chain before it.
const FORK_PARTS: u64 = 8;

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
    authorities: Authorities,
    /// Made when somebody first serves one.
    forks: [OnceLock<Fork>; FORKS],
    /// One list for each [`Second`], made when somebody first serves one of it.
    seconds: [OnceLock<Vec<Bytes>>; 2],
    /// Made when a node first starts above genesis.
    verified: OnceLock<Vec<VerifiedBlock>>,
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
        let signatures = 2 * (1 + FORKS) * encoded.len();
        let verifier = Verifier::new(Arc::clone(chain.spec())).remembering(signatures);
        Ok(Self {
            genesis: Genesis::from_block(chain.genesis().clone())?,
            verifier: Arc::new(verifier),
            head: last.block_ref(),
            blocks: encoded,
            authorities: chain.authorities().clone(),
            forks: Default::default(),
            seconds: Default::default(),
            verified: OnceLock::new(),
        })
    }

    /// The last height that fork `number`, counted from 0, shares with the chain.
    pub fn fork_parts_above(&self, number: usize) -> Height {
        fork_parts_above(self.head.height.get(), number)
    }

    /// Fork `number`, counted from 0; `None` from [`FORKS`] on.
    pub fn fork(&self, number: usize) -> Option<&Fork> {
        let parts_above = self.fork_parts_above(number);
        let make = || Fork::new(&self.blocks, &self.authorities, parts_above, number);
        self.forks.get(number).map(|fork| fork.get_or_init(make))
    }

    /// Another block for `height`, which no honest peer can have.
    pub fn second(&self, height: Height, how: Second) -> Option<Bytes> {
        let index = usize::try_from(height.get()).ok()?.checked_sub(1)?;
        let [few, firsts] = &self.seconds;
        let seconds = match how {
            Second::TooFew => few,
            Second::ApprovalOfTheFirst => firsts,
        };
        let make = || {
            let blocks = self.blocks.iter();
            blocks.map(|first| other_blocks::second(first, &self.authorities, how)).collect()
        };
        seconds.get_or_init(make).get(index).cloned()
    }

    /// The blocks from 1 to `height`, verified: what the store of a node that is there holds.
    pub fn verified_to(&self, height: Height) -> &[VerifiedBlock] {
        let verified = self.verified.get_or_init(|| {
            let verify = |block: &EncodedBlock| self.verifier.verify(block.clone());
            let blocks = self.blocks.iter().map(verify);
            blocks.collect::<Result<_, _>>().expect("the generator makes valid blocks")
        });
        let count = usize::try_from(height.get()).unwrap_or(usize::MAX).min(verified.len());
        verified.get(..count).unwrap_or_default()
    }

    /// The root of the block at `height`; `None` above the head.
    pub fn root(&self, height: Height) -> Option<BlockRoot> {
        if height == Height::GENESIS {
            return Some(self.genesis.root());
        }
        self.at(height).map(EncodedBlock::root)
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
            Lie::NoMajority => {
                let nobody = SignerSet::below(AUTHORITIES, []);
                self.authorities.approve(&honest.root(), nobody)
            }
        };
        Some(other_blocks::approved(honest, approval))
    }

    fn at(&self, height: Height) -> Option<&EncodedBlock> {
        let index = usize::try_from(height.get()).ok()?.checked_sub(1)?;
        self.blocks.get(index)
    }
}

/// The last height that fork `number` of a chain with its head at `head` shares with it, at least
/// 1: peers are asked for block 1 to see which chain they serve.
pub fn fork_parts_above(head: u64, number: usize) -> Height {
    let part = u64::try_from(number).unwrap_or(u64::MAX).saturating_add(1);
    Height::new((head / FORK_PARTS).saturating_mul(part).clamp(1, head.max(1)))
}

#[cfg(test)]
mod tests {
    use alys_sync::consensus::links;

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

    #[test]
    fn second_block_is_another_one_of_its_height_and_a_provable_lie() {
        let fixture = Fixture::new(5).unwrap();
        for how in Second::ALL {
            for number in 1..=5 {
                let height = Height::new(number);
                let second = EncodedBlock::decode(fixture.second(height, how).unwrap()).unwrap();
                assert_eq!(second.height(), height);
                assert_ne!(Some(second.raw()), fixture.block(height).as_ref());
                let fault = fixture.verifier.verify(second).unwrap_err();
                assert!(fault.is_provable_lie(), "{how:?}: {fault}");
            }
        }
    }

    #[test]
    fn forks_are_chains_of_valid_blocks_that_part_where_they_say() {
        let fixture = Fixture::new(24).unwrap();
        for number in 0..FORKS {
            let fork = fixture.fork(number).unwrap();
            let parts_above = fork.parts_above();
            assert_eq!(parts_above, fixture.fork_parts_above(number));
            assert!(fork.block(parts_above).is_none());
            let mut tip = fixture.verified_to(parts_above).last().unwrap().link_point();
            for number in parts_above.get() + 1..=24 {
                let height = Height::new(number);
                let block = fixture.verifier.verify(fork.block(height).unwrap().clone()).unwrap();
                links(&tip, &block).unwrap();
                assert_ne!(Some(block.raw()), fixture.block(height).as_ref());
                tip = block.link_point();
            }
            assert!(fork.block(Height::new(25)).is_none());
        }
        assert!(fixture.fork(FORKS).is_none());
    }
}
