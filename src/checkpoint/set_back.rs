//! Setting the chain back to a checkpoint, as an operator asked. Blocks on the disk.

use serde::{Deserialize, Serialize};
use supervisors::CallError;

use super::{
    Checkpoint, CheckpointCheck, CheckpointError,
    keeping::{check, give_up_above},
};
use crate::{
    ports::{Chain, ChainError, Journal},
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

/// Why a chain was not set back. It is as it was.
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
    /// The checkpoint store did not answer, so that what is above would count as lost.
    #[error(
        "the checkpoints above could not be given up, as the checkpoint store did not answer: ask \
         again"
    )]
    NotGivenUp,
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

/// Makes the block at `height` the head, durably, if one of the checkpoints there is true of the
/// chain; gives up the checkpoints above, and forgets the blocks.
///
/// # Errors
/// The journal failed, or as of [`Chain::truncate_to`]: what the disk holds is then unknown.
pub fn set_back(
    chain: &dyn Chain,
    journal: &dyn Journal,
    height: Height,
) -> Result<Result<SetBack, SetBackRefused>, ChainError> {
    let (kept, _) = journal.checkpoints()?;
    if let Err(refused) = may_set_back(chain, &kept, height)? {
        return Ok(Err(refused));
    }
    give_up_above(journal, height)?;
    forget_above(chain, height).map(Ok)
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
        adapters::memory::{MemoryChain, MemoryJournal},
        checkpoint::{CheckpointKind, Survey, check_all},
        doubles::{ChainDouble, Write, blocks},
        ports::BlockSource as _,
        types::BlockRoot,
    };

    fn of(height: u64) -> Checkpoint {
        blocks().checkpoint(height)
    }

    fn journal_of(kept: &[Checkpoint]) -> MemoryJournal {
        let journal = MemoryJournal::default();
        kept.iter().for_each(|checkpoint| journal.put_checkpoint(checkpoint).unwrap());
        journal
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
        let forged = Checkpoint { kind: CheckpointKind::Manual, ..forged };
        let journal = journal_of(&[of(2), forged, of(4)]);
        let done = set_back(&chain, &journal, Height::new(4));
        let (from, to) = (blocks().at(9).block_ref(), blocks().at(4).block_ref());
        assert_eq!(done.unwrap(), Ok(SetBack { from, to }));
        assert_eq!(chain.head(), to);
    }

    #[test]
    fn what_is_given_up_on_purpose_is_no_loss_wherever_a_crash_comes() {
        let io = || std::io::Error::other("power loss");
        let crash = ChainError::Io { action: "cutting".to_owned(), source: io() };
        let chain = ChainDouble::new([]);
        chain.append(&(1..=9).map(|height| blocks().at(height)).collect::<Vec<_>>()).unwrap();
        let journal = journal_of(&[of(2), of(4), of(6), of(8)]);
        chain.then(Write::Fails(crash));
        set_back(&chain, &journal, Height::new(4)).unwrap_err();

        // It may have come after the cut,
        let cut = chain_of(4);
        assert_eq!(check_all(&cut, &journal).unwrap().wrong(), 0);
        let survey = Survey::take(&cut, &journal).unwrap();
        assert_eq!((survey.sound.len(), survey.lost), (2, Vec::new()));
        // or before: then the claims hold again.
        let survey = Survey::take(&chain, &journal).unwrap();
        assert_eq!(survey.sound, [of(2), of(4), of(6), of(8)]);
    }

    #[test]
    fn checkpoint_that_is_missing_forged_or_above_the_head_changes_nothing() {
        let chain = chain_of(9);
        let forged = Checkpoint { root: BlockRoot::ZERO, ..of(4) };
        let refused = |kept: &[Checkpoint], height| {
            let journal = journal_of(kept);
            let refused = set_back(&chain, &journal, Height::new(height)).unwrap().unwrap_err();
            assert_eq!(journal.checkpoints().unwrap().0, kept, "nothing is given up");
            refused
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
