use proptest::prelude::*;

use super::*;
use crate::doubles::blocks;

/// The heights of a batch.
fn heights(batch: &Batch) -> Vec<u64> {
    batch.blocks.iter().map(|block| block.height().get()).collect()
}

/// A queue of segments from the first to the last height of each pair.
fn queue(segments: &[(u64, u64)]) -> VecDeque<Arc<Segment>> {
    segments.iter().map(|&(first, last)| blocks().segment(first, last)).collect()
}

/// The next batch above the real block at `tip`.
fn next(tip: u64, queue: &mut VecDeque<Arc<Segment>>, blocks_max: usize) -> Batch {
    next_batch(&blocks().tip(tip), queue, blocks_max)
}

#[test]
fn empty_queue_gives_an_empty_batch() {
    let batch = next(0, &mut VecDeque::new(), 10);
    assert!(batch.blocks.is_empty() && batch.stop.is_none());
}

#[test]
fn segments_in_order_become_one_batch() {
    let mut queue = queue(&[(1, 4), (5, 5), (6, 10)]);
    let batch = next(0, &mut queue, 100);
    assert_eq!(heights(&batch), (1..=10).collect::<Vec<_>>());
    assert!(batch.stop.is_none() && queue.is_empty());
}

#[test]
fn blocks_at_or_below_the_tip_are_skipped() {
    let mut segments = queue(&[(1, 4), (3, 7), (2, 5), (7, 8)]);
    let batch = next(5, &mut segments, 100);
    assert_eq!(heights(&batch), [6, 7, 8]);
    assert!(batch.stop.is_none() && segments.is_empty());
    let mut segments = queue(&[(1, 4)]);
    let batch = next(5, &mut segments, 100);
    assert!(batch.blocks.is_empty() && batch.stop.is_none() && segments.is_empty());
}

#[test]
fn gap_ends_the_batch_and_empties_the_queue() {
    let mut segments = queue(&[(1, 3), (5, 6), (4, 4)]);
    let batch = next(0, &mut segments, 100);
    assert_eq!(heights(&batch), [1, 2, 3]);
    assert!(matches!(batch.stop, Some(Stop::Gap)));
    assert!(segments.is_empty(), "nothing behind a gap can be imported");
    let batch = next(0, &mut queue(&[(2, 6)]), 100);
    assert!(batch.blocks.is_empty());
    assert!(matches!(batch.stop, Some(Stop::Gap)));
}

#[test]
fn refusal_in_the_middle_keeps_what_came_before_and_empties_the_queue() {
    let fork = blocks().verify(blocks().fork(5));
    // The fork's first block links; the real one above it does not.
    let mixed = vec![blocks().at(4), fork.clone(), blocks().at(6), blocks().at(7)];
    let mut queue = queue(&[(1, 3)]);
    queue.push_back(blocks().segment_of(4, mixed));
    queue.push_back(blocks().segment(8, 9));
    let batch = next(0, &mut queue, 100);
    assert_eq!(heights(&batch), [1, 2, 3, 4, 5]);
    assert_eq!(batch.blocks[4].root(), fork.root());
    let Some(Stop::Refused(refusal)) = batch.stop else { panic!("{:?}", batch.stop) };
    assert_eq!(refusal.at, Height::new(6));
    assert_eq!(refusal.origin, blocks().segment(8, 9).origin);
    assert!(matches!(refusal.fault, LinkFault::Parent { .. }), "{}", refusal.fault);
    assert!(queue.is_empty());
}

#[test]
fn refusal_of_the_very_first_block_leaves_an_empty_batch() {
    let mut queue = VecDeque::from([blocks().segment(6, 9), blocks().segment(10, 12)]);
    let fork = blocks().verify(blocks().fork(5));
    let batch = next_batch(&fork.link_point(), &mut queue, 100);
    assert!(batch.blocks.is_empty() && queue.is_empty());
    let Some(Stop::Refused(refusal)) = batch.stop else { panic!("{:?}", batch.stop) };
    assert_eq!(refusal.at, Height::new(6));
}

#[test]
fn full_batch_ends_inside_a_segment_and_the_next_goes_on_there() {
    let mut queue = queue(&[(1, 5), (6, 8)]);
    let mut tip = 0;
    for expected in [vec![1, 2, 3], vec![4, 5, 6], vec![7, 8], vec![]] {
        let batch = next(tip, &mut queue, 3);
        assert_eq!(heights(&batch), expected);
        assert!(batch.stop.is_none());
        tip += batch.blocks.len() as u64;
    }
    assert!(queue.is_empty());
}

#[test]
fn stop_behind_a_full_batch_is_found_by_the_next() {
    let mut queue = queue(&[(1, 3), (9, 9)]);
    assert!(next(0, &mut queue, 2).stop.is_none());
    let batch = next(2, &mut queue, 2);
    assert_eq!(heights(&batch), [3]);
    assert!(matches!(batch.stop, Some(Stop::Gap)));
}

/// What the batches of `queue` should bring the tip to, by heights alone.
fn model(mut tip: u64, segments: &[(u64, u64)]) -> u64 {
    for &(first, last) in segments {
        if first > tip + 1 {
            return tip;
        }
        tip = tip.max(last);
    }
    tip
}

proptest! {
    #[test]
    fn batches_of_any_segments_in_any_order_are_one_linked_chain(
        rounds in prop::collection::vec(
            prop::collection::vec((1_u64..=30, 0_u64..=12), 0..8),
            0..8,
        ),
        blocks_max in 1_usize..10,
    ) {
        let mut tip = blocks().tip(0);
        let mut head = 0;
        for round in rounds {
            let segments: Vec<_> =
                round.into_iter().map(|(first, more)| (first, first + more)).collect();
            let mut queue = queue(&segments);
            head = model(head, &segments);
            while !queue.is_empty() {
                let batch = next_batch(&tip, &mut queue, blocks_max);
                prop_assert!(batch.blocks.len() <= blocks_max);
                for block in &batch.blocks {
                    prop_assert_eq!(links(&tip, block), Ok(()));
                    tip = block.link_point();
                }
                prop_assert!(!matches!(batch.stop, Some(Stop::Refused(_))), "all are of one chain");
                let stuck = batch.blocks.is_empty() && batch.stop.is_none() && !queue.is_empty();
                prop_assert!(!stuck, "no progress");
            }
            prop_assert_eq!(tip, blocks().tip(head));
        }
    }

    #[test]
    fn forks_are_refused_or_followed_and_never_mixed(
        segments in prop::collection::vec((1_u64..=12, 0_u64..=4, any::<bool>()), 1..12),
        blocks_max in 1_usize..6,
    ) {
        // A fork that ends where it begins, at block 6: what follows either links or is refused.
        let fork = blocks().verify(blocks().fork(6));
        let mut queue: VecDeque<_> = segments
            .into_iter()
            .map(|(first, more, forked)| {
                let of = |height| match height {
                    6 if forked => fork.clone(),
                    _ => blocks().at(height),
                };
                blocks().segment_of(first, (first..=first + more).map(of).collect())
            })
            .collect();
        let mut tip = blocks().tip(0);
        while !queue.is_empty() {
            let batch = next_batch(&tip, &mut queue, blocks_max);
            for block in &batch.blocks {
                prop_assert_eq!(links(&tip, block), Ok(()));
                tip = block.link_point();
            }
            if let Some(Stop::Refused(refusal)) = batch.stop {
                prop_assert_eq!(tip.root, fork.root());
                prop_assert_eq!(refusal.at, Height::new(7));
                prop_assert!(queue.is_empty());
            }
        }
    }
}
