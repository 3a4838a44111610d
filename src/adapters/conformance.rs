//! What every chain and journal adapter must do, checked on real blocks.

use std::sync::{Arc, OnceLock};

use crate::{
    checkpoint::{Checkpoint, CheckpointKind, RunState, SyncProgress},
    consensus::{
        Genesis, VerifiedBlock, Verifier,
        generate::{GenerateOptions, GeneratedChain, Transactions, generate},
    },
    ports::{Chain, ChainError, Journal},
    types::{BlockRef, BlockRoot, Height, StateRoot},
};

/// How many blocks a [`Sample`] has above genesis.
pub(crate) const SAMPLE_BLOCKS: u64 = 48;

/// A short signed chain.
pub(crate) struct Sample {
    pub(crate) genesis: Genesis,
    /// The block of height 1 is the first.
    pub(crate) blocks: Vec<VerifiedBlock>,
}

impl Sample {
    fn make(seed: u64) -> Self {
        let options = GenerateOptions {
            blocks: SAMPLE_BLOCKS,
            authorities: 3,
            seed,
            transactions: Transactions::Realistic { mean_per_block: 4 },
            ..GenerateOptions::default()
        };
        let chain: GeneratedChain = generate(options).unwrap();
        let verifier = Verifier::new(Arc::clone(chain.spec()));
        let genesis = Genesis::from_block(chain.genesis().clone()).unwrap();
        let blocks = chain.blocks().map(|block| verifier.verify(block).unwrap()).collect();
        Self { genesis, blocks }
    }

    /// The blocks of these heights.
    pub(crate) fn range(&self, heights: std::ops::RangeInclusive<usize>) -> &[VerifiedBlock] {
        &self.blocks[heights.start() - 1..*heights.end()]
    }

    pub(crate) fn at(&self, height: u64) -> BlockRef {
        let root = match usize::try_from(height).unwrap().checked_sub(1) {
            Some(index) => self.blocks[index].root(),
            None => self.genesis.root(),
        };
        BlockRef { height: Height::new(height), root }
    }
}

/// The chain that most tests use.
pub(crate) fn sample() -> &'static Sample {
    static SAMPLE: OnceLock<Sample> = OnceLock::new();
    SAMPLE.get_or_init(|| Sample::make(1))
}

/// A chain that shares no block with [`sample`].
pub(crate) fn other_sample() -> &'static Sample {
    static OTHER: OnceLock<Sample> = OnceLock::new();
    OTHER.get_or_init(|| Sample::make(2))
}

/// Compares all that can be read with the model: the sample up to `head`.
pub(crate) fn assert_holds(chain: &dyn Chain, head: u64) {
    let sample = sample();
    assert_eq!(chain.genesis(), sample.genesis.root());
    assert_eq!(chain.oldest(), Height::GENESIS);
    assert_eq!(chain.head(), sample.at(head));
    assert_eq!(chain.tip().unwrap().block_ref(), sample.at(head));
    let read = chain.read(Height::GENESIS, usize::MAX, usize::MAX).unwrap();
    let count = usize::try_from(head).unwrap();
    let expected = std::iter::once(sample.genesis.raw())
        .chain(sample.blocks.iter().take(count).map(|block| block.raw()));
    assert!(read.iter().eq(expected), "bodies up to {head}");
    for height in 0..=head {
        let link = chain.link_point(Height::new(height)).unwrap();
        assert_eq!(link.block_ref(), sample.at(height));
    }
    assert_eq!(chain.link_point(Height::new(head)).unwrap(), chain.tip().unwrap());
}

/// Runs every check on chains that `make` makes, each new and of the sample's genesis block.
pub(crate) fn check_contract(make: &dyn Fn() -> Box<dyn Chain>) {
    starts_with_genesis(make().as_ref());
    appends_in_batches(make().as_ref());
    refuses_what_does_not_link(make().as_ref());
    limits_reads(make().as_ref());
    truncates_and_goes_on(make().as_ref());
}

fn starts_with_genesis(chain: &dyn Chain) {
    assert_holds(chain, 0);
    assert_eq!(chain.tip().unwrap(), sample().genesis.link_point());
    assert!(chain.read(Height::new(1), 10, usize::MAX).unwrap().is_empty());
    assert_eq!(chain.append(&[]).unwrap(), sample().at(0));
    assert_eq!(chain.truncate_to(Height::GENESIS).unwrap(), sample().at(0));
    assert_holds(chain, 0);
}

fn appends_in_batches(chain: &dyn Chain) {
    for (batch, head) in [(1..=1, 1), (2..=9, 9), (10..=48, SAMPLE_BLOCKS)] {
        assert_eq!(chain.append(sample().range(batch)).unwrap(), sample().at(head));
        assert_holds(chain, head);
    }
}

fn refuses_what_does_not_link(chain: &dyn Chain) {
    chain.append(sample().range(1..=5)).unwrap();
    let hole: Vec<_> = [sample().range(6..=7), sample().range(9..=9)].concat();
    let batches: [(&[VerifiedBlock], BlockRef); 5] = [
        (sample().range(7..=8), sample().at(7)),
        (sample().range(5..=6), sample().at(5)),
        (sample().range(1..=1), sample().at(1)),
        (other_sample().range(6..=6), other_sample().at(6)),
        (&hole, sample().at(9)),
    ];
    for (batch, expected) in batches {
        match chain.append(batch) {
            Err(ChainError::NotNext { head, offered }) => {
                assert_eq!((head, offered), (sample().at(5), expected));
            }
            other => panic!("{other:?}"),
        }
        assert_holds(chain, 5);
    }
    chain.append(sample().range(6..=6)).unwrap();
    assert_holds(chain, 6);
}

fn limits_reads(chain: &dyn Chain) {
    chain.append(sample().range(1..=20)).unwrap();
    let read = |start, blocks, bytes| {
        let read = chain.read(Height::new(start), blocks, bytes).unwrap();
        let first = usize::try_from(start).unwrap();
        if !read.is_empty() {
            let expected = sample().range(first..=first + read.len() - 1);
            assert!(read.iter().eq(expected.iter().map(|block| block.raw())));
        }
        read.len()
    };
    assert_eq!(read(3, 4, usize::MAX), 4);
    assert_eq!(read(18, 10, usize::MAX), 3);
    assert_eq!(read(20, usize::MAX, usize::MAX), 1);
    assert_eq!(read(21, 1, usize::MAX), 0);
    assert_eq!(read(u64::MAX, usize::MAX, usize::MAX), 0);
    assert_eq!(read(3, 0, usize::MAX), 0);
    let length = |height: usize| sample().range(height..=height)[0].raw().len();
    assert_eq!(read(3, 10, 0), 1);
    assert_eq!(read(3, 10, length(3)), 1);
    assert_eq!(read(3, 10, length(3) + 1), 2);
    assert_eq!(read(3, 10, length(3) + length(4) + length(5)), 3);
}

fn truncates_and_goes_on(chain: &dyn Chain) {
    chain.append(sample().range(1..=20)).unwrap();
    match chain.truncate_to(Height::new(21)) {
        Err(ChainError::OutOfRange { height, oldest, head }) => {
            assert_eq!((height.get(), oldest.get(), head.get()), (21, 0, 20));
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(chain.link_point(Height::new(21)), Err(ChainError::OutOfRange { .. })));
    assert_holds(chain, 20);
    for (height, next) in [(20, 21..=22), (13, 14..=20), (0, 1..=1)] {
        assert_eq!(chain.truncate_to(Height::new(height)).unwrap(), sample().at(height));
        assert_holds(chain, height);
        let head = u64::try_from(*next.end()).unwrap();
        assert_eq!(chain.append(sample().range(next)).unwrap(), sample().at(head));
        assert_holds(chain, head);
    }
}

/// A checkpoint at this height.
pub(crate) fn checkpoint(height: u64) -> Checkpoint {
    let progress = SyncProgress {
        blocks_processed: height,
        blocks_failed: 3,
        target_height: Height::new(100_000),
        target_given: false,
        run_state: RunState::Running,
    };
    Checkpoint {
        chain: sample().genesis.root(),
        height: Height::new(height),
        root: sample().at(height % SAMPLE_BLOCKS).root,
        parent: sample().at((height + 1) % SAMPLE_BLOCKS).root,
        state_root: StateRoot::new([5; 32]),
        kind: CheckpointKind::Periodic,
        made_unix_seconds: 1_700_000_000,
        progress: Some(progress),
        peer_book_version: 1,
        verified: true,
    }
}

/// Checks a new journal, and leaves checkpoints in it.
pub(crate) fn check_journal(journal: &dyn Journal) {
    let (periodic, stop) = (CheckpointKind::Periodic, CheckpointKind::Stop);
    assert!(journal.checkpoints().unwrap().0.is_empty());
    // Not in the order of their numbers as text, nor of their first bytes.
    for height in [1000, 200, 70_000, 200] {
        journal.put_checkpoint(&checkpoint(height)).unwrap();
    }
    let kept = || journal.checkpoints().unwrap().0;
    assert_eq!(kept(), [checkpoint(200), checkpoint(1000), checkpoint(70_000)]);
    let again = Checkpoint { made_unix_seconds: 1, ..checkpoint(1000) };
    let stopped = Checkpoint { kind: stop, ..checkpoint(1000) };
    journal.put_checkpoint(&stopped).unwrap();
    journal.put_checkpoint(&again).unwrap();
    assert!(journal.remove_checkpoint(Height::new(200), periodic).unwrap());
    assert!(!journal.remove_checkpoint(Height::new(200), periodic).unwrap());
    assert!(!journal.remove_checkpoint(Height::new(70_000), stop).unwrap());
    assert_eq!(kept(), [again.clone(), stopped.clone(), checkpoint(70_000)]);
    journal.set_aside(Height::new(70_000), periodic).unwrap();
    journal.set_aside(Height::new(70_000), periodic).unwrap();
    assert!(journal.set_aside_damaged().unwrap().is_empty());
    assert_eq!(kept(), [again, stopped]);
}

#[test]
fn the_journal_in_memory_keeps_the_contract() {
    check_journal(&super::memory::MemoryJournal::default());
}

#[test]
fn the_chain_in_memory_keeps_the_contract() {
    let make = || Box::new(super::memory::MemoryChain::new(&sample().genesis)) as Box<dyn Chain>;
    check_contract(&make);
    assert_ne!(sample().genesis.root(), BlockRoot::ZERO);
}
