use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::{doubles::blocks, flow::ByteBudget, types::BlockRoot, wire::block::EncodedBlock};

/// A budget that never runs out.
fn budget() -> ByteBudget {
    ByteBudget::new(u64::MAX)
}

fn verdict_on(block: Bytes) -> Result<VerifiedBlock, ReplyFault> {
    let block = EncodedBlock::decode(block).map_err(ReplyFault::Encoding)?;
    blocks().verifier.verify(block).map_err(ReplyFault::Block)
}

/// The verdict on a reply of `raw`, the first asked for at `first`.
fn verdict(first: u64, raw: Vec<Bytes>, budget: &ByteBudget) -> Verdict {
    let results = raw.iter().cloned().map(verdict_on).collect();
    assemble(blocks().raw_segment(first, raw, budget), results)
}

fn honest(first: u64, last: u64) -> Vec<Bytes> {
    (first..=last).map(|height| blocks().raw(height)).collect()
}

/// The heights of the good segments, first and last.
fn good(verdict: &Verdict) -> Vec<(u64, u64)> {
    let ends = |range: HeightRange| (range.start().get(), range.last().get());
    verdict.good.iter().map(|segment| ends(segment.range)).collect()
}

fn faults(verdict: &Verdict) -> Vec<u64> {
    verdict.faults.iter().map(|fault| fault.height.get()).collect()
}

#[test]
fn honest_reply_is_one_segment_with_its_origin_and_all_its_bytes() {
    let budget = budget();
    let raw = honest(3, 12);
    let size: u64 = raw.iter().map(|block| block.len() as u64).sum();
    let verdict = verdict(3, raw, &budget);
    assert_eq!(good(&verdict), [(3, 12)]);
    assert!(verdict.faults.is_empty());
    let segment = &verdict.good[0];
    assert_eq!(segment.origin, blocks().segment(1, 1).origin);
    assert_eq!((segment.permit.bytes(), budget.gauge().used), (size, size));
    for (block, height) in segment.blocks.iter().zip(3..) {
        assert_eq!(block.root(), blocks().at(height).root());
    }
}

#[test]
fn bad_signature_in_the_middle_leaves_what_is_before_and_after() {
    let mut raw = honest(1, 9);
    raw[4] = blocks().badly_signed(5);
    let verdict = verdict(1, raw, &budget());
    assert_eq!(good(&verdict), [(1, 4), (6, 9)]);
    assert_eq!(faults(&verdict), [5]);
    let fault = &verdict.faults[0].fault;
    assert!(matches!(fault, ReplyFault::Block(BlockFault::InvalidSignature { .. })), "{fault}");
    assert!(fault.is_provable_lie());
}

#[test]
fn bytes_that_are_no_block_are_a_lie_and_cost_one_height() {
    for garbage in [Bytes::new(), Bytes::from_static(&[0xc1; 40]), blocks().raw(2).slice(..100)] {
        let mut raw = honest(1, 3);
        raw[1] = garbage;
        let verdict = verdict(1, raw, &budget());
        assert_eq!(good(&verdict), [(1, 1), (3, 3)]);
        assert!(matches!(verdict.faults[0].fault, ReplyFault::Encoding(_)));
        assert!(verdict.faults[0].fault.is_provable_lie());
    }
}

#[test]
fn block_of_another_height_is_no_lie_and_is_never_good() {
    // A server with a hole in its index: it skips height 4.
    let raw = [honest(1, 3), honest(5, 8)].concat();
    let verdict = verdict(1, raw, &budget());
    assert_eq!(good(&verdict), [(1, 3)]);
    assert_eq!(faults(&verdict), [4, 5, 6, 7]);
    for (fault, found) in verdict.faults.iter().zip(5..) {
        let other = matches!(fault.fault, ReplyFault::OtherHeight { found: height }
            if height == Height::new(found));
        assert!(other && !fault.fault.is_provable_lie(), "{}", fault.fault);
    }
}

#[test]
fn the_same_block_twice_is_good_once() {
    let raw = vec![blocks().raw(1), blocks().raw(1), blocks().raw(3)];
    let verdict = verdict(1, raw, &budget());
    assert_eq!(good(&verdict), [(1, 1), (3, 3)]);
    assert_eq!(faults(&verdict), [2]);
}

#[test]
fn broken_link_splits_the_reply_and_convicts_nobody() {
    let mut raw = honest(1, 8);
    raw[4] = blocks().fork(5);
    let verdict = verdict(1, raw, &budget());
    // The fork's first block links to block 4; the real block 6 does not link to it.
    assert_eq!(good(&verdict), [(1, 5), (6, 8)]);
    assert_eq!(faults(&verdict), [6]);
    assert!(matches!(verdict.faults[0].fault, ReplyFault::Link(LinkFault::Parent { .. })));
    assert!(!verdict.faults[0].fault.is_provable_lie());
}

#[test]
fn signed_block_with_another_parent_links_to_neither_neighbour() {
    let mut raw = honest(1, 6);
    raw[2] = blocks().signed(3, |block| block.message.parent_hash = BlockRoot::ZERO);
    let verdict = verdict(1, raw, &budget());
    assert_eq!(good(&verdict), [(1, 2), (3, 3), (4, 6)]);
    assert_eq!(faults(&verdict), [3, 4]);
}

#[test]
fn nothing_good_frees_the_whole_permit() {
    let budget = budget();
    let raw = (1..=4).map(|height| blocks().badly_signed(height)).collect();
    let verdict = verdict(1, raw, &budget);
    assert!(verdict.good.is_empty());
    assert_eq!(faults(&verdict), [1, 2, 3, 4]);
    assert_eq!(budget.gauge().used, 0);
}

#[test]
fn permit_too_small_for_what_came_is_never_made_larger() {
    let budget = budget();
    let mut segment = blocks().raw_segment(1, honest(1, 6), &budget);
    let more = segment.permit.bytes() - 3_000;
    drop(segment.permit.split(more, segment.range.start()));
    let results = segment.blocks.iter().cloned().map(verdict_on).collect();
    let verdict = assemble(segment, results);
    let held: u64 = verdict.good.iter().map(|segment| segment.permit.bytes()).sum();
    assert_eq!((held, budget.gauge().used), (3_000, 3_000));
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Honest,
    BadSignature,
    Garbage,
    Fork,
    OtherHeight,
}

impl Kind {
    fn raw(self, height: u64) -> Bytes {
        match self {
            Self::Honest => blocks().raw(height),
            Self::BadSignature => blocks().badly_signed(height),
            Self::Garbage => Bytes::from_static(b"no block"),
            Self::Fork => blocks().fork(height),
            Self::OtherHeight => blocks().raw(height + 1),
        }
    }
}

proptest! {
    // Each case verifies real signatures.
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn whatever_came_good_segments_link_and_bytes_are_conserved(
        first in 1_u64..50,
        kinds in prop::collection::vec(
            prop_oneof![
                6 => Just(Kind::Honest),
                1 => Just(Kind::BadSignature),
                1 => Just(Kind::Garbage),
                1 => Just(Kind::Fork),
                1 => Just(Kind::OtherHeight),
            ],
            1..20,
        ),
    ) {
        let budget = budget();
        let raw: Vec<_> = kinds.iter().zip(first..).map(|(kind, at)| kind.raw(at)).collect();
        let size: u64 = raw.iter().map(|block| block.len() as u64).sum();
        let last = first + kinds.len() as u64 - 1;
        let verdict = verdict(first, raw, &budget);
        let mut at = first;
        let mut held = 0;
        for segment in &verdict.good {
            prop_assert!(segment.range.start().get() >= at, "out of order");
            prop_assert!(segment.range.last().get() <= last);
            prop_assert_eq!(segment.range.count(), segment.blocks.len() as u64);
            for (block, height) in segment.blocks.iter().zip(segment.range.heights()) {
                prop_assert_eq!(block.height(), height);
            }
            for pair in segment.blocks.windows(2) {
                prop_assert_eq!(links(&pair[0].link_point(), &pair[1]), Ok(()));
            }
            let bytes: u64 = segment.blocks.iter().map(|block| block.raw().len() as u64).sum();
            prop_assert_eq!(segment.permit.bytes(), bytes);
            held += bytes;
            at = segment.range.last().get() + 1;
        }
        prop_assert!(held <= size);
        prop_assert_eq!(budget.gauge().used, held, "the rest is given back");
        prop_assert!(verdict.faults.is_sorted_by_key(|fault| fault.height));
        for (kind, height) in kinds.iter().zip(first..) {
            let good = verdict.good.iter().any(|s| s.range.contains(Height::new(height)));
            let passes = matches!(kind, Kind::Honest | Kind::Fork);
            prop_assert_eq!(good, passes, "{:?} at {}", kind, height);
        }
        drop(verdict);
        prop_assert_eq!(budget.gauge().used, 0);
    }
}
