//! A short chain of real signed blocks, made once.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::{
    checkpoint::{BlockFacts, Checkpoint},
    consensus::{
        ChainSpec, Genesis, LinkPoint, SignerSet, VerifiedBlock, Verifier,
        generate::{GenerateOptions, GeneratedChain, generate},
    },
    flow::{ByteBudget, Origin, RawSegment, RequestId, Segment},
    types::{Height, HeightRange, Slot},
    wire::block::{EncodedBlock, SignedBlock},
};

use super::peer;

/// How many blocks above genesis.
const COUNT: u64 = 100;

/// A chain of a hundred blocks, verified.
pub(crate) struct Blocks {
    pub(crate) spec: Arc<ChainSpec>,
    pub(crate) verifier: Arc<Verifier>,
    pub(crate) genesis: Genesis,
    chain: GeneratedChain,
    verified: Vec<VerifiedBlock>,
}

/// The chain, the same for every test.
pub(crate) fn blocks() -> &'static Blocks {
    static BLOCKS: OnceLock<Blocks> = OnceLock::new();
    BLOCKS.get_or_init(|| {
        let chain = generate(GenerateOptions { blocks: COUNT, ..Default::default() }).unwrap();
        let spec = Arc::clone(chain.spec());
        let verifier = Arc::new(Verifier::new(Arc::clone(&spec)));
        let verified = chain.blocks().map(|block| verifier.verify(block).unwrap()).collect();
        let genesis = Genesis::from_block(chain.genesis().clone()).unwrap();
        Blocks { spec, verifier, genesis, chain, verified }
    })
}

impl Blocks {
    /// The block at `height`, from 1 on.
    pub(crate) fn at(&self, height: u64) -> VerifiedBlock {
        self.verified[usize::try_from(height).unwrap() - 1].clone()
    }

    /// Its bytes.
    pub(crate) fn raw(&self, height: u64) -> Bytes {
        self.at(height).raw().clone()
    }

    /// What a child of the block at `height` links to.
    pub(crate) fn tip(&self, height: u64) -> LinkPoint {
        if height == 0 { self.genesis.link_point() } else { self.at(height).link_point() }
    }

    /// A checkpoint of the block at `height`.
    pub(crate) fn checkpoint(&self, height: u64) -> Checkpoint {
        let facts = BlockFacts::of(&EncodedBlock::decode(self.raw(height)).unwrap());
        let BlockFacts { height, root, parent, state_root } = facts;
        let made = crate::adapters::conformance::checkpoint(height.get());
        Checkpoint { chain: self.genesis.root(), height, root, parent, state_root, ..made }
    }

    /// A sibling of the block at `height`, signed by everybody: the first block of a fork.
    pub(crate) fn fork(&self, height: u64) -> Bytes {
        self.signed(height, |block| {
            block.message.slot = Slot::new(block.message.slot.get() - 1);
        })
    }

    /// The block at `height` after `change`, signed again by everybody.
    pub(crate) fn signed(&self, height: u64, change: impl FnOnce(&mut SignedBlock)) -> Bytes {
        let mut block = EncodedBlock::decode(self.raw(height)).unwrap().to_block();
        change(&mut block);
        let authorities = self.chain.authorities();
        let everybody = SignerSet::below(authorities.set().len(), 0..authorities.set().len());
        block.approval = authorities.approve(&block.message.root(), everybody);
        block.encode().into()
    }

    /// The block at `height` after `change`, with the signature it had.
    pub(crate) fn tampered(&self, height: u64, change: impl FnOnce(&mut SignedBlock)) -> Bytes {
        let mut block = EncodedBlock::decode(self.raw(height)).unwrap().to_block();
        change(&mut block);
        block.encode().into()
    }

    /// The block at `height` with a signature that is not its own.
    pub(crate) fn badly_signed(&self, height: u64) -> Bytes {
        self.tampered(height, |block| block.message.execution_payload.gas_used += 1)
    }

    /// `raw` verified.
    pub(crate) fn verify(&self, raw: Bytes) -> VerifiedBlock {
        self.verifier.verify(EncodedBlock::decode(raw).unwrap()).unwrap()
    }

    /// A segment of the blocks from `first` to `last`, with a permit of a budget of its own.
    pub(crate) fn segment(&self, first: u64, last: u64) -> Arc<Segment> {
        self.segment_of(first, (first..=last).map(|height| self.at(height)).collect())
    }

    /// A segment of `blocks`, the first of them at `first`.
    pub(crate) fn segment_of(&self, first: u64, blocks: Vec<VerifiedBlock>) -> Arc<Segment> {
        let range = HeightRange::new(Height::new(first), blocks.len() as u64).unwrap();
        let bytes = blocks.iter().map(|block| block.raw().len() as u64).sum();
        let permit = ByteBudget::new(bytes).try_reserve(range.start(), bytes).unwrap();
        Arc::new(Segment { range, blocks, origin: origin(), permit, span: tracing::Span::none() })
    }

    /// A raw segment of `blocks`, the first asked for at `first`, with a permit of `budget`.
    pub(crate) fn raw_segment(
        &self,
        first: u64,
        blocks: Vec<Bytes>,
        budget: &ByteBudget,
    ) -> RawSegment {
        let range = HeightRange::new(Height::new(first), blocks.len() as u64).unwrap();
        let bytes = blocks.iter().map(|block| block.len() as u64).sum();
        let permit = budget.try_reserve(range.start(), bytes).unwrap();
        RawSegment { range, blocks, origin: origin(), permit, span: tracing::Span::none() }
    }
}

fn origin() -> Origin {
    Origin { peer: peer(1), request: RequestId(7) }
}
