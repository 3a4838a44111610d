//! Whether a checkpoint is true of a chain. Pure.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{BlockFacts, Checkpoint};
use crate::types::{BlockRoot, Height};

/// What came of comparing a checkpoint with the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "check")]
pub enum CheckpointCheck {
    /// Its block is in the chain, whole, and the one it names.
    Holds,
    /// It is of another chain.
    OtherChain {
        /// The genesis of that one.
        chain: BlockRoot,
    },
    /// The chain has another block there: it is forged, or of a fork that was left.
    OtherBlock {
        /// The block of the chain.
        ours: BlockRoot,
    },
    /// It names the block of the chain, but not its parent or its state: it is forged.
    OtherFacts,
    /// The chain does not reach there.
    AboveHead {
        /// Where it ends.
        head: Height,
    },
    /// The chain does not go back so far.
    BelowOldest {
        /// Where it begins.
        oldest: Height,
    },
    /// The block that should be there is missing or damaged.
    BlockDamaged,
}

impl CheckpointCheck {
    /// Compares `checkpoint` with the chain that begins with the block `chain` and holds the blocks
    /// from `oldest` to `head`; `found` is its block at that height, if it is whole.
    pub fn of(
        checkpoint: &Checkpoint,
        chain: BlockRoot,
        (oldest, head): (Height, Height),
        found: Option<BlockFacts>,
    ) -> Self {
        if checkpoint.chain != chain {
            return Self::OtherChain { chain: checkpoint.chain };
        }
        if checkpoint.height > head {
            return Self::AboveHead { head };
        }
        if checkpoint.height < oldest {
            return Self::BelowOldest { oldest };
        }
        match found {
            None => Self::BlockDamaged,
            Some(found) if found.root != checkpoint.root => Self::OtherBlock { ours: found.root },
            Some(found) if found != checkpoint.block() => Self::OtherFacts,
            Some(_) => Self::Holds,
        }
    }

    /// Whether the chain shows it to be wrong, now and for ever: it is set aside.
    pub const fn is_false(self) -> bool {
        match self {
            Self::OtherChain { .. } | Self::OtherBlock { .. } | Self::OtherFacts => true,
            Self::Holds
            | Self::AboveHead { .. }
            | Self::BelowOldest { .. }
            | Self::BlockDamaged => false,
        }
    }
}

impl fmt::Display for CheckpointCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Holds => f.write_str("holds"),
            Self::OtherChain { chain } => write!(f, "it is of the chain with genesis {chain}"),
            Self::OtherBlock { ours } => write!(
                f,
                "the chain has block {ours} there: it is forged, or of a fork that was left"
            ),
            Self::OtherFacts => f.write_str("parent or state are not those of its block: forged"),
            Self::AboveHead { head } => write!(f, "the chain ends at {head}"),
            Self::BelowOldest { oldest } => write!(f, "the chain begins at {oldest}"),
            Self::BlockDamaged => f.write_str("its block is missing from the chain or damaged"),
        }
    }
}

/// A checkpoint with what came of comparing it with the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckedCheckpoint {
    /// The checkpoint.
    pub checkpoint: Checkpoint,
    /// What came of it.
    pub result: CheckpointCheck,
}

impl CheckedCheckpoint {
    /// Whether something is wrong: with it, or with the chain. That the chain does not reach a
    /// claim yet is not, nor that it no longer holds the block.
    pub const fn is_wrong(&self) -> bool {
        match self.result {
            CheckpointCheck::Holds | CheckpointCheck::BelowOldest { .. } => false,
            CheckpointCheck::AboveHead { .. } => self.checkpoint.verified,
            CheckpointCheck::OtherChain { .. }
            | CheckpointCheck::OtherBlock { .. }
            | CheckpointCheck::OtherFacts
            | CheckpointCheck::BlockDamaged => true,
        }
    }
}

/// All checkpoints of a journal, checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckedJournal {
    /// The root of the genesis block of the chain they were compared with.
    pub chain: BlockRoot,
    /// Those that can be read, in order of height.
    pub checkpoints: Vec<CheckedCheckpoint>,
    /// How each record fails that cannot be read.
    pub damaged: Vec<String>,
}

impl CheckedJournal {
    /// With how many something is wrong.
    pub fn wrong(&self) -> usize {
        self.checkpoints.iter().filter(|checked| checked.is_wrong()).count() + self.damaged.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{adapters::conformance::checkpoint, types::StateRoot};

    #[test]
    fn checkpoint_holds_only_if_all_it_says_is_true() {
        let ours = checkpoint(10);
        let range = (Height::new(5), Height::new(20));
        let check = |checkpoint: &Checkpoint, found| {
            CheckpointCheck::of(checkpoint, ours.chain, range, found)
        };
        let found = Some(ours.block());
        assert_eq!(check(&ours, found), CheckpointCheck::Holds);
        assert_eq!(check(&ours, None), CheckpointCheck::BlockDamaged);
        let chain = BlockRoot::new([1; 32]);
        let foreign = Checkpoint { chain, ..ours.clone() };
        assert_eq!(check(&foreign, found), CheckpointCheck::OtherChain { chain });
        let forged = Checkpoint { root: BlockRoot::ZERO, ..ours.clone() };
        let other = CheckpointCheck::OtherBlock { ours: ours.root };
        assert_eq!(check(&forged, found), other);
        let parent = Checkpoint { parent: BlockRoot::new([2; 32]), ..ours.clone() };
        let state = Checkpoint { state_root: StateRoot::new([2; 32]), ..ours.clone() };
        for forged in [&parent, &state] {
            assert_eq!(check(forged, found), CheckpointCheck::OtherFacts);
        }
        for (height, expected) in [
            (21, CheckpointCheck::AboveHead { head: range.1 }),
            (4, CheckpointCheck::BelowOldest { oldest: range.0 }),
        ] {
            let moved = Checkpoint { height: Height::new(height), ..ours.clone() };
            assert_eq!(check(&moved, found), expected);
            assert!(!expected.is_false());
        }
        assert!(other.is_false());
    }
}
