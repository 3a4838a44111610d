//! Where a chain goes on whose head fails its checks. Pure: the blocks are looked at by the caller.
//!
//! The durable head wins, so nothing here is asked while it is whole. Then: the highest whole block
//! near below the head; else the newest checkpoint whose block is in the chain, whole, and the one
//! it names; where its block is gone, a whole block a margin below it. A checkpoint is never
//! believed, only looked up: a forged one with a right checksum names a block that the chain does
//! not have. How many blocks are looked at is bounded, whatever the length of the chain.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{BlockFacts, Checkpoint, CheckpointCheck, CheckpointKind};
use crate::types::{BlockRef, BlockRoot, Height};

/// How far below a damaged head a whole block is looked for before a checkpoint is asked. Unit:
/// blocks. Source: an append is at most about this long, so damage by one torn write is passed.
/// Too low: blocks that are whole are given up. Too high: a disk that fails everywhere delays the
/// start.
pub const NEAR_BLOCKS_MAX: u64 = 1_024;

/// How far below a checkpoint whose block is gone a whole block is looked for: from this far below
/// on, and so far down. Unit: blocks. Source: what took one block took its neighbours. Too low:
/// damage goes on where the chain does. Too high: more is downloaded again.
pub const SAFETY_MARGIN_BLOCKS: u64 = 100;

/// Blocks looked at for all checkpoints together. Unit: blocks. Source: with the near ones it
/// keeps a decision below two seconds even if each is as long as a block can be. Too low: old
/// checkpoints are not asked. Too high: a broken disk keeps the operator waiting.
const CHECKPOINT_LOOKS_MAX: u64 = 1_024;

/// By what a chain was saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "by")]
pub enum RecoveredBy {
    /// A whole block near below the head.
    NearBlock,
    /// A checkpoint whose block is in the chain.
    Checkpoint {
        /// Its height.
        height: Height,
        /// Why it was made.
        kind: CheckpointKind,
    },
    /// A whole block a safety margin below a checkpoint whose block is gone.
    BelowCheckpoint {
        /// The height of the checkpoint.
        height: Height,
        /// Why it was made.
        kind: CheckpointKind,
    },
}

impl fmt::Display for RecoveredBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NearBlock => f.write_str("the next whole block below"),
            Self::Checkpoint { height, kind } => write!(f, "the {kind} checkpoint at {height}"),
            Self::BelowCheckpoint { height, kind } => {
                write!(f, "a whole block below the {kind} checkpoint at {height}")
            }
        }
    }
}

/// Why a checkpoint did not save the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    /// Its record fails its checks: how.
    Damaged(String),
    /// It does not hold for the chain.
    DoesNotHold(CheckpointCheck),
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged(how) => f.write_str(how),
            Self::DoesNotHold(check) => check.fmt(f),
        }
    }
}

/// A checkpoint that did not save the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkippedCheckpoint {
    /// Its height; none where the record cannot be read.
    pub height: Option<Height>,
    /// Why not.
    pub why: SkipReason,
}

impl fmt::Display for SkippedCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.height {
            Some(height) => write!(f, "checkpoint at {height}: {}", self.why),
            None => write!(f, "checkpoint: {}", self.why),
        }
    }
}

/// A recovery that was done when a data directory was opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recovery {
    /// The height of the head that failed its checks.
    pub from: Height,
    /// How it failed.
    pub damage: String,
    /// The head now: the last of the whole blocks that follow the one it was saved by.
    pub to: BlockRef,
    /// By what it was saved.
    #[serde(flatten)]
    pub by: RecoveredBy,
    /// The checkpoints that were asked before, newest first, and those that could not be read.
    pub skipped: Vec<SkippedCheckpoint>,
    /// Where the bytes behind the new head were moved; none if there were none.
    pub quarantine: Option<Quarantine>,
}

/// Bytes that were moved out of the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantine {
    /// The directory.
    pub dir: String,
    /// What is in it. Unit: bytes.
    pub bytes_kept: u64,
    /// What did not fit and is gone. Unit: bytes.
    pub bytes_dropped: u64,
}

impl fmt::Display for Recovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the block at {} was damaged: going on from {}, ", self.from, self.to.height)?;
        write!(f, "saved by {}", self.by)
    }
}

/// Which chain, and between which heights it goes on somewhere.
#[derive(Debug, Clone, Copy)]
pub struct Damaged {
    /// The root of its genesis block.
    pub chain: BlockRoot,
    /// The lowest height it holds.
    pub oldest: Height,
    /// The highest height that may be whole.
    pub top: Height,
}

/// What was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// The block to go on from; none if nothing saves the chain.
    pub saved: Option<(BlockRef, RecoveredBy)>,
    /// The checkpoints that were asked before, newest first.
    pub skipped: Vec<SkippedCheckpoint>,
}

/// Decides where the chain goes on. `checkpoints` are in order of height; `look` returns the block
/// of the chain at a height if all of it is whole.
///
/// # Errors
/// The first of `look`: what could not be read is not known to be damaged.
pub fn decide<E>(
    damaged: Damaged,
    checkpoints: &[Checkpoint],
    mut look: impl FnMut(Height) -> Result<Option<BlockFacts>, E>,
) -> Result<Decided, E> {
    let Damaged { chain, oldest, top } = damaged;
    let mut skipped = Vec::new();
    let near = highest(top, oldest, NEAR_BLOCKS_MAX, &mut look)?;
    if let Some(block) = near {
        return Ok(Decided { saved: Some((block, RecoveredBy::NearBlock)), skipped });
    }
    let mut looks = CHECKPOINT_LOOKS_MAX;
    for checkpoint in checkpoints.iter().rev() {
        let (height, kind) = (checkpoint.height, checkpoint.kind);
        let Some(rest) = looks.checked_sub(1) else { break };
        looks = rest;
        let known = checkpoint.chain == chain && (oldest..=top).contains(&height);
        let found = if known { look(height)? } else { None };
        let check = CheckpointCheck::of(checkpoint, chain, (oldest, top), found);
        if check == CheckpointCheck::Holds {
            let block = BlockRef { height, root: checkpoint.root };
            let saved = Some((block, RecoveredBy::Checkpoint { height, kind }));
            return Ok(Decided { saved, skipped });
        }
        let why = SkipReason::DoesNotHold(check);
        skipped.push(SkippedCheckpoint { height: Some(height), why });
        if check == CheckpointCheck::BlockDamaged
            && let Some(below) = height.checked_sub(SAFETY_MARGIN_BLOCKS)
        {
            let count = SAFETY_MARGIN_BLOCKS.min(looks);
            looks -= count;
            if let Some(block) = highest(below, oldest, count, &mut look)? {
                let saved = Some((block, RecoveredBy::BelowCheckpoint { height, kind }));
                return Ok(Decided { saved, skipped });
            }
        }
    }
    Ok(Decided { saved: None, skipped })
}

/// The highest whole block of the `count` from `top` down.
fn highest<E>(
    top: Height,
    oldest: Height,
    count: u64,
    look: &mut impl FnMut(Height) -> Result<Option<BlockFacts>, E>,
) -> Result<Option<BlockRef>, E> {
    for height in (0..count).map_while(|down| top.checked_sub(down)) {
        if height < oldest {
            break;
        }
        if let Some(BlockFacts { height, root, .. }) = look(height)? {
            return Ok(Some(BlockRef { height, root }));
        }
    }
    Ok(None)
}

#[cfg(test)]
#[path = "recovery_tests.rs"]
mod tests;
