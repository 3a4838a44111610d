//! The records themselves, and which checkpoints are due and which go. Pure.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    types::{BlockRoot, Height, StateRoot},
    wire::block::EncodedBlock,
};

/// Checkpoints made by hand that are kept. Unit: checkpoints. Source: one a day for three months.
/// They are never removed by themselves, so one more is refused. Too low: operators who keep many
/// are in the way of themselves. Too high: a script that makes them fills the index, and a recovery
/// looks at each.
pub const MANUAL_KEPT_MAX: usize = 100;

/// Checkpoints of stops that are kept. Unit: checkpoints. Only the newest counts; the others are
/// there for when it is damaged. Too low: a damaged record costs the run state. Too high: records
/// nobody reads.
pub(super) const STOP_KEPT_MAX: usize = 3;

/// Why a checkpoint was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckpointKind {
    /// The height passed a multiple of the interval.
    Periodic,
    /// Somebody asked for it.
    Manual,
    /// The sync was stopped in order.
    Stop,
}

impl CheckpointKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Periodic, Self::Manual, Self::Stop];

    /// The name, as in answers and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Periodic => "periodic",
            Self::Manual => "manual",
            Self::Stop => "stop",
        }
    }
}

impl fmt::Display for CheckpointKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What a sync was told to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Nothing, or to stop.
    Idle,
    /// To sync.
    Running,
    /// To hold.
    Paused,
}

/// How far a sync was when a checkpoint was made, as of the block of the checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncProgress {
    /// Imported since the sync of this chain began, over all restarts. Unit: blocks.
    pub blocks_processed: u64,
    /// Delivered by peers and of no use. Unit: blocks.
    pub blocks_failed: u64,
    /// The height it was to sync to; 0 while it was not known.
    pub target_height: Height,
    /// Whether the target was given rather than found.
    pub target_given: bool,
    /// What the sync was told to do.
    pub run_state: RunState,
}

/// What a checkpoint says of its block, each of which can be checked against the block itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockFacts {
    /// Its height.
    pub height: Height,
    /// Its root.
    pub root: BlockRoot,
    /// The root of the block before.
    pub parent: BlockRoot,
    /// The root of the state after it, as its execution payload says.
    pub state_root: StateRoot,
}

impl BlockFacts {
    /// Those of `block`.
    pub fn of(block: &EncodedBlock) -> Self {
        let state_root = StateRoot::new(block.payload().state_root.0);
        let (height, root, parent) = (block.height(), block.root(), block.parent());
        Self { height, root, parent, state_root }
    }
}

/// A block known to have been imported, and how far the sync was then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// The root of the genesis block: which chain.
    pub chain: BlockRoot,
    /// Its height.
    pub height: Height,
    /// Its root.
    pub root: BlockRoot,
    /// The root of the block before.
    pub parent: BlockRoot,
    /// The root of the state after it.
    pub state_root: StateRoot,
    /// Why it was made.
    pub kind: CheckpointKind,
    /// When it was made. Unit: seconds since the Unix epoch.
    pub made_unix_seconds: u64,
    /// How far the sync was; none where that is not known, as in one that was brought from
    /// elsewhere.
    pub progress: Option<SyncProgress>,
    /// The version of the records of peers that were stored beside it.
    pub peer_book_version: u8,
    /// Whether its block was read back from the chain and is the one it names. One that is not is
    /// a claim.
    pub verified: bool,
}

impl Checkpoint {
    /// What it says of its block.
    pub const fn block(&self) -> BlockFacts {
        let Self { height, root, parent, state_root, .. } = *self;
        BlockFacts { height, root, parent, state_root }
    }

    /// How far the sync is whose chain has come to `height`, above the checkpoint or below it.
    pub fn progress_at(&self, height: Height) -> Option<SyncProgress> {
        let progress = self.progress?;
        let (above, below) = (height.blocks_above(self.height), self.height.blocks_above(height));
        let processed = progress.blocks_processed.saturating_add(above).saturating_sub(below);
        Some(SyncProgress { blocks_processed: processed, ..progress })
    }
}

/// The multiple of `interval` that the head passed on its way from `from` to `to`, the highest if
/// it passed several.
pub(super) fn due(from: Height, to: Height, interval: u64) -> Option<Height> {
    let multiple = to.get().checked_div(interval)? * interval;
    (multiple > from.get()).then_some(Height::new(multiple))
}

/// Checkpoints of `kind` beyond the newest `kept_max`, oldest first, of those in order of height.
pub(super) fn surplus(
    checkpoints: &[Checkpoint],
    kind: CheckpointKind,
    kept_max: usize,
) -> Vec<Height> {
    let of_kind = checkpoints.iter().filter(|checkpoint| checkpoint.kind == kind);
    let heights: Vec<_> = of_kind.map(|checkpoint| checkpoint.height).collect();
    let count = heights.len().saturating_sub(kept_max.max(1));
    heights.into_iter().take(count).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::conformance::checkpoint;

    fn h(number: u64) -> Height {
        Height::new(number)
    }

    #[test]
    fn checkpoint_is_due_at_the_multiple_however_far_the_head_jumps() {
        assert_eq!(due(h(0), h(99), 100), None);
        assert_eq!(due(h(99), h(100), 100), Some(h(100)));
        assert_eq!(due(h(50), h(730), 100), Some(h(700)));
        assert_eq!(due(h(700), h(730), 100), None);
        assert_eq!(due(h(0), h(730), 0), None);
    }

    #[test]
    fn oldest_checkpoints_of_a_kind_go_and_those_of_other_kinds_stay() {
        let of = |height, kind| Checkpoint { kind, ..checkpoint(height) };
        let (periodic, stop) = (CheckpointKind::Periodic, CheckpointKind::Stop);
        let all = [
            of(50, CheckpointKind::Manual),
            of(100, periodic),
            of(150, stop),
            of(200, periodic),
            of(300, periodic),
            of(300, stop),
        ];
        assert_eq!(surplus(&all, periodic, 2), [h(100)]);
        assert_eq!(surplus(&all, periodic, 0), [h(100), h(200)]);
        assert!(surplus(&all, periodic, 10).is_empty());
        assert_eq!(surplus(&all, stop, 1), [h(150)]);
    }

    #[test]
    fn progress_goes_on_and_back_by_the_blocks_between_checkpoint_and_head() {
        let made = checkpoint(100);
        let at = |height| made.progress_at(h(height)).unwrap().blocks_processed;
        let then = made.progress.unwrap().blocks_processed;
        assert_eq!((at(100), at(130), at(90), at(0)), (then, then + 30, then - 10, 0));
        assert_eq!(Checkpoint { progress: None, ..made }.progress_at(h(130)), None);
    }
}
