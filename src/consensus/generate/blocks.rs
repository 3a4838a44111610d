//! The blocks of a generated chain in order: made a chunk at a time, signed in parallel.

use std::collections::VecDeque;

use rand::Rng as _;
use rayon::prelude::*;

use super::{GenerateError, GenerateOptions, GeneratedChain, content};
use crate::{
    consensus::{link::LinkPoint, majority::SignerSet, payload_hash::execution_hash},
    types::{BlockRoot, Slot},
    wire::block::{ConsensusBlock, EncodedBlock, SignedBlock},
};

/// How many blocks are made and held at once. Unit: blocks. Source: enough for all cores to have
/// signatures to make between two waits. Lower: cores idle. Higher: memory, a block of 1 MiB each.
const CHUNK_BLOCKS: u64 = 128;

/// One block in so many comes a slot late, as when a leader missed its slot.
const BLOCKS_PER_MISSED_SLOT: u32 = 16;

/// Milliseconds in a second.
const MS_PER_SECOND: u64 = 1000;

/// Refuses chains whose last timestamp cannot be written: each block may miss a slot.
pub(super) fn check_time(options: &GenerateOptions) -> Result<(), GenerateError> {
    let genesis_ms = options.genesis_time.checked_mul(MS_PER_SECOND);
    let chain_ms = options
        .blocks
        .checked_mul(2)
        .and_then(|slots| slots.checked_add(2))
        .and_then(|slots| slots.checked_mul(options.slot_duration_ms));
    let end_ms = genesis_ms.zip(chain_ms).and_then(|(genesis, chain)| genesis.checked_add(chain));
    end_ms.map(|_| ()).ok_or(GenerateError::OutOfTime)
}

/// The blocks of a [`GeneratedChain`] from height 1 on.
#[derive(Debug)]
pub struct Blocks<'a> {
    chain: &'a GeneratedChain,
    /// The last block made.
    tip: LinkPoint,
    tip_slot: u64,
    ready: VecDeque<EncodedBlock>,
}

/// A block that only lacks its signature.
struct Unsigned {
    message: ConsensusBlock,
    root: BlockRoot,
    signers: SignerSet,
}

impl<'a> Blocks<'a> {
    pub(super) fn of(chain: &'a GeneratedChain) -> Self {
        let genesis = chain.genesis();
        let options = chain.options();
        Self {
            chain,
            tip: LinkPoint::of(genesis),
            tip_slot: options.genesis_time * MS_PER_SECOND / options.slot_duration_ms,
            ready: VecDeque::new(),
        }
    }

    /// Makes the next blocks, as many as a chunk holds and the chain still has.
    fn refill(&mut self) {
        let left = self.chain.options().blocks - self.tip.height.get();
        let unsigned: Vec<_> = (0..left.min(CHUNK_BLOCKS)).map(|_| self.unsigned()).collect();
        let authorities = self.chain.authorities();
        let signed: Vec<_> = unsigned
            .into_par_iter()
            .map(|Unsigned { message, root, signers }| {
                let approval = authorities.approve(&root, signers);
                content::encoded(&SignedBlock { message, approval })
            })
            .collect();
        self.ready.extend(signed);
    }

    /// The block after the tip, which becomes the tip.
    fn unsigned(&mut self) -> Unsigned {
        let options = self.chain.options();
        let height = self.tip.height.saturating_add(1);
        let mut rng = content::block_rng(options.seed, height);
        let missed = u64::from(rng.random_ratio(1, BLOCKS_PER_MISSED_SLOT));
        self.tip_slot += 1 + missed;

        let mut payload = content::payload(&mut rng, options.transactions);
        payload.parent_hash = self.tip.execution_hash;
        payload.block_number = height;
        payload.timestamp = (self.tip_slot * options.slot_duration_ms).div_ceil(MS_PER_SECOND);
        payload.block_hash = execution_hash(&payload);
        let execution_hash = payload.block_hash;
        let message = content::message(self.tip.root, Slot::new(self.tip_slot), payload);
        let root = message.root();
        self.tip = LinkPoint { height, root, execution_hash };
        Unsigned { message, root, signers: self.chain.authorities().some_majority(&mut rng) }
    }
}

impl Iterator for Blocks<'_> {
    type Item = EncodedBlock;

    fn next(&mut self) -> Option<EncodedBlock> {
        if self.ready.is_empty() {
            self.refill();
        }
        self.ready.pop_front()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let unmade = self.chain.options().blocks - self.tip.height.get();
        let left = usize::try_from(unmade).ok().and_then(|n| n.checked_add(self.ready.len()));
        (left.unwrap_or(usize::MAX), left)
    }
}
