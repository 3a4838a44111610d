use std::{collections::BTreeSet, convert::Infallible};

use proptest::prelude::*;

use super::*;
use crate::types::StateRoot;

const CHAIN: BlockRoot = BlockRoot::new([9; 32]);

fn h(number: u64) -> Height {
    Height::new(number)
}

/// The block of the chain at `height`.
fn block(height: Height) -> BlockFacts {
    let mut bytes = [7; 32];
    bytes[..8].copy_from_slice(&height.get().to_be_bytes());
    let (root, state_root) = (BlockRoot::new(bytes), StateRoot::new(bytes));
    BlockFacts { height, root, parent: BlockRoot::new([4; 32]), state_root }
}

fn checkpoint(height: u64) -> Checkpoint {
    let BlockFacts { height, root, parent, state_root } = block(h(height));
    Checkpoint {
        chain: CHAIN,
        height,
        root,
        parent,
        state_root,
        kind: CheckpointKind::Periodic,
        made_unix_seconds: 0,
        progress: None,
        peer_book_version: 1,
        verified: true,
    }
}

/// A decision about a chain from genesis to `top` whose blocks are whole where `whole` says so, and
/// how many of them were looked at.
fn decided(top: u64, checkpoints: &[Checkpoint], whole: impl Fn(u64) -> bool) -> (Decided, usize) {
    let mut looks = 0;
    let damaged = Damaged { chain: CHAIN, oldest: Height::GENESIS, top: h(top) };
    let decision = decide(damaged, checkpoints, |height| {
        looks += 1;
        assert!(height <= h(top), "{height} is not of the chain");
        Ok::<_, Infallible>(whole(height.get()).then(|| block(height)))
    });
    (decision.unwrap(), looks)
}

fn saved(top: u64, checkpoints: &[Checkpoint], whole: impl Fn(u64) -> bool) -> (u64, RecoveredBy) {
    let (decision, _) = decided(top, checkpoints, whole);
    let (to, by) = decision.saved.unwrap();
    assert_eq!(to.root, block(to.height).root);
    (to.height.get(), by)
}

fn by_checkpoint(height: u64) -> RecoveredBy {
    RecoveredBy::Checkpoint { height: h(height), kind: CheckpointKind::Periodic }
}

#[test]
fn highest_whole_block_near_the_head_comes_before_any_checkpoint() {
    let all = [checkpoint(9_000)];
    assert_eq!(saved(9_100, &all, |height| height < 9_100), (9_099, RecoveredBy::NearBlock));
    assert_eq!(saved(9_100, &all, |height| height <= 8_500), (8_500, RecoveredBy::NearBlock));
    assert_eq!(saved(9_100, &[], |_| true), (9_100, RecoveredBy::NearBlock));
}

#[test]
fn newest_checkpoint_whose_block_is_whole_saves_what_no_near_block_does() {
    let all = [checkpoint(1_000), checkpoint(2_000), checkpoint(5_000)];
    assert_eq!(saved(9_000, &all, |height| height <= 5_000), (5_000, by_checkpoint(5_000)));
    let only = |height| height == 2_000;
    assert_eq!(saved(9_000, &all, only), (2_000, by_checkpoint(2_000)));
    let (decision, _) = decided(9_000, &all, only);
    let why = SkipReason::DoesNotHold(CheckpointCheck::BlockDamaged);
    assert_eq!(decision.skipped, [SkippedCheckpoint { height: Some(h(5_000)), why }]);
}

#[test]
fn forged_foreign_and_future_checkpoints_are_skipped_with_the_reason() {
    let forged = Checkpoint { root: BlockRoot::new([1; 32]), ..checkpoint(5_000) };
    let state = Checkpoint { state_root: StateRoot::ZERO, ..checkpoint(5_500) };
    let foreign = Checkpoint { chain: BlockRoot::ZERO, ..checkpoint(6_000) };
    let above = checkpoint(90_000);
    let all = [checkpoint(4_000), forged, state, foreign, above];
    let (decision, _) = decided(9_000, &all, |height| height <= 5_500);
    assert_eq!(
        decision.saved,
        Some((BlockRef { height: h(4_000), root: block(h(4_000)).root }, by_checkpoint(4_000),))
    );
    let why = [
        CheckpointCheck::AboveHead { head: h(9_000) },
        CheckpointCheck::OtherChain { chain: BlockRoot::ZERO },
        CheckpointCheck::OtherFacts,
        CheckpointCheck::OtherBlock { ours: block(h(5_000)).root },
    ];
    let skipped: Vec<_> = decision.skipped.into_iter().map(|skipped| skipped.why).collect();
    assert_eq!(skipped, why.map(SkipReason::DoesNotHold));
}

#[test]
fn where_the_block_of_a_checkpoint_is_gone_a_whole_one_a_margin_below_is_taken() {
    let all = [checkpoint(3_000), checkpoint(5_000)];
    let by =
        |height| RecoveredBy::BelowCheckpoint { height: h(height), kind: CheckpointKind::Periodic };
    assert_eq!(saved(9_000, &all, |height| height <= 4_950), (4_900, by(5_000)));
    assert_eq!(saved(9_000, &all, |height| height <= 4_850), (4_850, by(5_000)));
    // Not below the second margin: the next checkpoint is asked.
    assert_eq!(saved(9_000, &all, |height| height <= 4_800), (3_000, by_checkpoint(3_000)));
    assert_eq!(saved(9_000, &all, |height| height <= 2_999), (2_900, by(3_000)));
}

#[test]
fn nothing_whole_saves_nothing_and_the_search_is_bounded() {
    let all: Vec<_> = (1..5_000).map(|number| checkpoint(number * 1_000)).collect();
    let (decision, looks) = decided(9_000_000, &all, |_| false);
    assert_eq!(decision.saved, None);
    assert!(looks <= usize::try_from(NEAR_BLOCKS_MAX + CHECKPOINT_LOOKS_MAX).unwrap(), "{looks}");
}

#[test]
fn block_that_cannot_be_read_ends_the_search_with_the_error() {
    let damaged = Damaged { chain: CHAIN, oldest: Height::GENESIS, top: h(10) };
    let failed =
        decide(
            damaged,
            &[],
            |height| {
                if height == h(8) { Err("the disk is gone") } else { Ok(None) }
            },
        );
    assert_eq!(failed, Err("the disk is gone"));
}

proptest! {
    #[test]
    fn whatever_checkpoints_say_only_whole_blocks_of_the_chain_are_gone_on_from(
        top in 0..6_000_u64,
        whole in prop::collection::btree_set(0..6_000_u64, 0..4),
        claims in prop::collection::vec((0..8_000_u64, any::<bool>(), any::<bool>()), 0..6),
    ) {
        let whole: BTreeSet<u64> = whole;
        let mut all: Vec<_> = claims.into_iter().map(|(height, ours, true_root)| {
            let honest = checkpoint(height);
            let chain = if ours { honest.chain } else { BlockRoot::ZERO };
            let root = if true_root { honest.root } else { BlockRoot::ZERO };
            Checkpoint { chain, root, ..honest }
        }).collect();
        all.sort_by_key(|checkpoint| checkpoint.height);
        let (decision, _) = decided(top, &all, |height| whole.contains(&height));
        if let Some((to, by)) = decision.saved {
            prop_assert!(to.height <= h(top) && whole.contains(&to.height.get()));
            prop_assert_eq!(to.root, block(to.height).root);
            if let RecoveredBy::Checkpoint { height, .. } = by {
                prop_assert_eq!(height, to.height);
            }
        } else {
            let near = whole.range(top.saturating_sub(NEAR_BLOCKS_MAX - 1)..=top).next();
            prop_assert_eq!(near, None, "a whole block near the head was given up");
        }
    }
}
