//! Setting the chain back to a checkpoint, as an operator asked. Blocks on the disk.

use serde::{Deserialize, Serialize};
use supervisors::CallError;

use super::{Checkpoint, CheckpointCheck, CheckpointError, keeping::check};
use crate::{
    ports::{Chain, ChainError},
    types::{BlockRef, Height},
};

/// A chain that was set back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetBack {
    /// What the head was.
    pub from: BlockRef,
    /// The block of the checkpoint, which is the head now.
    pub to: BlockRef,
}

/// Why a chain was not set back. Nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetBackRefused {
    /// There is no such checkpoint.
    #[error("no checkpoint at height {height}: see `alys-sync checkpoint list`")]
    NoCheckpoint {
        /// Where one was asked for.
        height: Height,
    },
    /// It is not true of the chain.
    #[error("the checkpoint at height {height} does not hold: {result}")]
    DoesNotHold {
        /// Its height.
        height: Height,
        /// What is wrong.
        result: CheckpointCheck,
    },
    /// The coordinator did not answer, so that the node may go on producing on top of its head.
    #[error("production could not be stopped, as the coordinator did not answer: ask again")]
    Produces,
}

/// Why a running node did not go back to a checkpoint, or is not known to have.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// It must not. Nothing changed.
    #[error(transparent)]
    Refused(#[from] SetBackRefused),
    /// What checkpoints there are is not known. Nothing changed.
    #[error(transparent)]
    Checkpoints(#[from] CheckpointError),
    /// The owner of the chain ended, or takes long. It is set back whole, or not at all.
    #[error("the importer did not answer: see the status for the head, and ask again if need be")]
    Unanswered(#[source] CallError),
}

/// Makes the block at `height` the head, durably, if one of the checkpoints `kept` there is true of
/// the chain; forgets what is above.
///
/// # Errors
/// As of [`Chain::truncate_to`]; what the disk holds is then unknown.
pub fn set_back(
    chain: &dyn Chain,
    kept: &[Checkpoint],
    height: Height,
) -> Result<Result<SetBack, SetBackRefused>, ChainError> {
    match may_set_back(chain, kept, height)? {
        Ok(()) => forget_above(chain, height).map(Ok),
        Err(refused) => Ok(Err(refused)),
    }
}

/// Whether one of the checkpoints `kept` at `height` is true of the chain.
///
/// # Errors
/// The chain cannot be read.
pub(crate) fn may_set_back(
    chain: &dyn Chain,
    kept: &[Checkpoint],
    height: Height,
) -> Result<Result<(), SetBackRefused>, ChainError> {
    let mut refused = SetBackRefused::NoCheckpoint { height };
    for checkpoint in kept.iter().filter(|checkpoint| checkpoint.height == height) {
        let result = check(chain, checkpoint)?;
        if result == CheckpointCheck::Holds {
            return Ok(Ok(()));
        }
        refused = SetBackRefused::DoesNotHold { height, result };
    }
    Ok(Err(refused))
}

/// Makes the block at `height` the head, durably.
///
/// # Errors
/// As of [`Chain::truncate_to`].
pub(crate) fn forget_above(chain: &dyn Chain, height: Height) -> Result<SetBack, ChainError> {
    let from = chain.head();
    let to = chain.truncate_to(height)?;
    Ok(SetBack { from, to })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        adapters::memory::MemoryChain, doubles::blocks, ports::BlockSource as _, types::BlockRoot,
    };

    fn of(height: u64) -> Checkpoint {
        blocks().checkpoint(height)
    }

    fn chain_of(count: u64) -> MemoryChain {
        let chain = MemoryChain::new(&blocks().genesis);
        let all: Vec<_> = (1..=count).map(|height| blocks().at(height)).collect();
        chain.append(&all).unwrap();
        chain
    }

    #[test]
    fn chain_is_set_back_to_a_checkpoint_that_holds_whatever_else_is_kept_there() {
        let chain = chain_of(9);
        let forged = Checkpoint { root: BlockRoot::ZERO, ..of(4) };
        let done = set_back(&chain, &[of(2), forged, of(4)], Height::new(4));
        let (from, to) = (blocks().at(9).block_ref(), blocks().at(4).block_ref());
        assert_eq!(done.unwrap(), Ok(SetBack { from, to }));
        assert_eq!(chain.head(), to);
    }

    #[test]
    fn checkpoint_that_is_missing_forged_or_above_the_head_changes_nothing() {
        let chain = chain_of(9);
        let forged = Checkpoint { root: BlockRoot::ZERO, ..of(4) };
        let refused = |kept: &[Checkpoint], height| {
            set_back(&chain, kept, Height::new(height)).unwrap().unwrap_err()
        };
        let none = SetBackRefused::NoCheckpoint { height: Height::new(3) };
        assert_eq!(refused(&[of(2), of(4)], 3), none);
        let of_another = refused(&[forged], 4);
        assert!(of_another.to_string().contains("the chain has block"), "{of_another}");
        let above = refused(&[of(10)], 10);
        assert!(above.to_string().contains("the chain ends at 9"), "{above}");
        assert_eq!(chain.head(), blocks().at(9).block_ref());
    }
}
