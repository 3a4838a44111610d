//! Real chains: the golden one of the network's own code, and generated ones.

use std::{
    io::Read as _,
    path::Path,
    sync::{Arc, OnceLock},
};

use alys_sync::{
    consensus::{
        ChainSpec, Genesis, SignerSet, Verifier,
        generate::{GenerateOptions, GeneratedChain, generate},
    },
    ports::{BlockSource, ChainError},
    types::{BlockRef, Height, Slot},
    wire::{block::EncodedBlock, chain_file::ChainFileReader},
};
use bytes::Bytes;

/// A whole chain in memory, as a server holds it: nothing of it is verified.
pub struct TestChain {
    pub spec: Arc<ChainSpec>,
    pub genesis: Genesis,
    /// By height; genesis first.
    pub blocks: Vec<Bytes>,
    pub head: BlockRef,
}

impl TestChain {
    fn new(spec: ChainSpec, blocks: Vec<Bytes>) -> Self {
        let first = EncodedBlock::decode(blocks[0].clone()).unwrap();
        let last = EncodedBlock::decode(blocks[blocks.len() - 1].clone()).unwrap();
        Self {
            spec: Arc::new(spec),
            genesis: Genesis::from_block(first).unwrap(),
            head: last.block_ref(),
            blocks,
        }
    }

    pub fn verifier(&self) -> Arc<Verifier> {
        Arc::new(Verifier::new(Arc::clone(&self.spec)))
    }

    /// The same blocks under the rules of another network.
    pub fn under_rules_of(&self, other: &Self) -> Self {
        Self::new(ChainSpec::from_json(&other.spec.to_json()).unwrap(), self.blocks.clone())
    }

    /// The same chain as far as `height`, as an older peer holds it.
    pub fn until(&self, height: u64) -> Self {
        let count = usize::try_from(height).unwrap() + 1;
        let spec = ChainSpec::from_json(&self.spec.to_json()).unwrap();
        Self::new(spec, self.blocks[..count].to_vec())
    }
}

impl BlockSource for TestChain {
    fn head(&self) -> BlockRef {
        self.head
    }

    fn oldest(&self) -> Height {
        Height::GENESIS
    }

    fn read(
        &self,
        start: Height,
        blocks_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<Bytes>, ChainError> {
        let mut bytes = 0;
        let start = usize::try_from(start.get()).unwrap();
        let blocks = self.blocks.iter().skip(start).take(blocks_max).take_while(|block| {
            let fits = bytes == 0 || bytes < bytes_max;
            bytes += block.len();
            fits
        });
        Ok(blocks.cloned().collect())
    }
}

/// 5,000 blocks made by the code of today's node.
pub fn golden() -> Arc<TestChain> {
    static CHAIN: OnceLock<Arc<TestChain>> = OnceLock::new();
    Arc::clone(CHAIN.get_or_init(|| {
        let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
        let packed = std::fs::File::open(vectors.join("chain-5000.bin.gz")).unwrap();
        let mut bytes = Vec::new();
        flate2::read::GzDecoder::new(packed).read_to_end(&mut bytes).unwrap();
        let blocks = ChainFileReader::new(&bytes[..]).map(Result::unwrap).collect();
        let spec = std::fs::read_to_string(vectors.join("chain-spec.json")).unwrap();
        Arc::new(TestChain::new(ChainSpec::from_json(&spec).unwrap(), blocks))
    }))
}

/// A chain of `blocks` blocks above genesis, the same for the same seed.
pub fn generated(blocks: u64, seed: u64) -> Arc<TestChain> {
    Arc::new(whole(&generate(GenerateOptions { blocks, seed, ..Default::default() }).unwrap()))
}

fn whole(chain: &GeneratedChain) -> TestChain {
    let mut all = vec![chain.genesis().raw().clone()];
    all.extend(chain.blocks().map(|block| block.raw().clone()));
    TestChain::new(ChainSpec::from_json(&chain.spec().to_json()).unwrap(), all)
}

/// A chain of `blocks` blocks, and its beginning up to about `at`, where another block, signed by
/// everybody, is its last.
pub fn forked(blocks: u64, at: usize) -> (TestChain, TestChain) {
    let generated = generate(GenerateOptions { blocks, ..Default::default() }).unwrap();
    let chain = whole(&generated);
    let slot = |at: usize| {
        EncodedBlock::decode(chain.blocks[at].clone()).unwrap().to_block().message.slot.get()
    };
    // Where a leader has missed its slot, another one could have used it.
    let at = (at..).find(|at| slot(*at) > slot(at - 1) + 1).unwrap();
    let mut other = EncodedBlock::decode(chain.blocks[at].clone()).unwrap().to_block();
    other.message.slot = Slot::new(other.message.slot.get() - 1);
    let authorities = generated.authorities();
    let everybody = SignerSet::below(authorities.set().len(), 0..authorities.set().len());
    other.approval = authorities.approve(&other.message.root(), everybody);
    let mut fork = chain.blocks[..at].to_vec();
    fork.push(other.encode().into());
    let spec = ChainSpec::from_json(&chain.spec.to_json()).unwrap();
    (chain, TestChain::new(spec, fork))
}
