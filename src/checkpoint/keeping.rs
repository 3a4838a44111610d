//! What is done with checkpoints through the ports, by the actor and by the command line alike. All
//! of it blocks on the disk.

use std::time::Duration;

use super::{
    BlockFacts, CheckedCheckpoint, CheckedJournal, Checkpoint, CheckpointCheck, CheckpointKind,
    MANUAL_KEPT_MAX, SyncProgress,
};
use crate::{
    ports::{Chain, ChainError, Journal},
    reputation::STORED_PEER_VERSION,
    types::Height,
    wire::block::EncodedBlock,
};

/// Why a checkpoint was not made or taken in.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// There is no room for another one by hand.
    #[error(
        "{max} checkpoints were made by hand, which is the most that are kept: remove one with \
         `alys-sync checkpoint remove --height HEIGHT`"
    )]
    TooMany {
        /// How many are kept.
        max: usize,
    },
    /// The block cannot be read back whole, or is not in the chain any more.
    #[error("its block cannot be read back")]
    Unreadable(#[source] ChainError),
    /// The journal failed.
    #[error("the store failed")]
    Store(#[from] ChainError),
}

/// What the block of the chain at `height` is, if it is there and whole.
///
/// # Errors
/// [`ChainError::Io`] and [`ChainError::Poisoned`].
fn look(chain: &dyn Chain, height: Height) -> Result<Option<BlockFacts>, ChainError> {
    let found = chain.link_point(height).and_then(|link| Ok((link, chain.read(height, 1, 0)?)));
    let (link, raw) = match found {
        Ok(found) => found,
        Err(
            ChainError::Corrupt(_) | ChainError::OutOfRange { .. } | ChainError::NotNext { .. },
        ) => {
            return Ok(None);
        }
        Err(error @ (ChainError::Io { .. } | ChainError::Poisoned)) => return Err(error),
    };
    let block = raw.into_iter().next().and_then(|raw| EncodedBlock::decode(raw).ok());
    let whole = block.filter(|block| block.block_ref() == link.block_ref());
    Ok(whole.map(|block| BlockFacts::of(&block)))
}

/// Compares a checkpoint with the chain: reads its block back. One that the disk does not give is
/// as good as damaged: an old block must not end a node that does not need it.
///
/// # Errors
/// [`ChainError::Poisoned`].
pub(super) fn check(
    chain: &dyn Chain,
    checkpoint: &Checkpoint,
) -> Result<CheckpointCheck, ChainError> {
    let range = (chain.oldest(), chain.head().height);
    let known =
        checkpoint.chain == chain.genesis() && (range.0..=range.1).contains(&checkpoint.height);
    let found = match if known { look(chain, checkpoint.height) } else { Ok(None) } {
        Err(error @ ChainError::Io { .. }) => {
            tracing::warn!(
                height = %checkpoint.height, kind = %checkpoint.kind,
                error = &error as &dyn std::error::Error,
                "the block of a checkpoint cannot be read: the checkpoint is kept as it is and \
                 not used; check the disk"
            );
            None
        }
        found => found?,
    };
    Ok(CheckpointCheck::of(checkpoint, chain.genesis(), range, found))
}

/// All checkpoints, each compared with the chain.
///
/// # Errors
/// As of [`Journal::checkpoints`].
pub fn check_all(chain: &dyn Chain, journal: &dyn Journal) -> Result<CheckedJournal, ChainError> {
    let (kept, damaged) = journal.checkpoints()?;
    let checked = kept.into_iter().map(|checkpoint| {
        let result = check(chain, &checkpoint)?;
        Ok(CheckedCheckpoint { checkpoint, result })
    });
    Ok(CheckedJournal {
        chain: chain.genesis(),
        checkpoints: checked.collect::<Result<_, ChainError>>()?,
        damaged: damaged.iter().map(ToString::to_string).collect(),
    })
}

/// What became of a checkpoint that was compared with the chain.
enum Settled {
    /// It holds, and is marked so.
    Sound(Checkpoint),
    /// Its block is not there: why.
    NotThere(Checkpoint, CheckpointCheck),
    /// The chain shows it to be false.
    SetAside,
}

/// Compares a checkpoint with the chain. One that is false is set aside and told in the log; a
/// claim that holds is marked as verified.
///
/// # Errors
/// The journal failed.
fn settle(
    chain: &dyn Chain,
    journal: &dyn Journal,
    mut checkpoint: Checkpoint,
) -> Result<Settled, ChainError> {
    let result = check(chain, &checkpoint)?;
    if result.is_false() {
        tracing::warn!(
            height = %checkpoint.height, kind = %checkpoint.kind, why = %result,
            "a checkpoint is not of this chain: it was set aside and is not used; if nobody \
             brought it here, find out who writes to the data directory"
        );
        journal.set_aside(checkpoint.height, checkpoint.kind)?;
        return Ok(Settled::SetAside);
    }
    if result != CheckpointCheck::Holds {
        return Ok(Settled::NotThere(checkpoint, result));
    }
    if !checkpoint.verified {
        checkpoint.verified = true;
        journal.put_checkpoint(&checkpoint)?;
    }
    Ok(Settled::Sound(checkpoint))
}

/// Settles the claims that the chain has come to.
///
/// # Errors
/// The journal failed.
pub(super) fn settle_claims(chain: &dyn Chain, journal: &dyn Journal) -> Result<(), ChainError> {
    let (head, (kept, _)) = (chain.head().height, journal.checkpoints()?);
    for claim in kept.into_iter().filter(|kept| !kept.verified && kept.height <= head) {
        settle(chain, journal, claim)?;
    }
    Ok(())
}

/// Gives up the checkpoints above `height`, durably: claims again, so that nothing counts as lost
/// if the chain does not have them. Done before the chain is set back to there: a crash in between
/// leaves claims, which the next start finds to hold.
///
/// # Errors
/// The journal failed.
pub(super) fn give_up_above(journal: &dyn Journal, height: Height) -> Result<(), ChainError> {
    let (kept, _) = journal.checkpoints()?;
    for checkpoint in kept.into_iter().filter(|kept| kept.verified && kept.height > height) {
        journal.put_checkpoint(&Checkpoint { verified: false, ..checkpoint })?;
    }
    Ok(())
}

/// Gives up what is above the head of a chain that was set back, and returns the newest that is of
/// the chain. What was made or settled while the chain was being set back was not given up before.
///
/// # Errors
/// The journal failed.
pub(super) fn follow_back(
    chain: &dyn Chain,
    journal: &dyn Journal,
) -> Result<Option<Checkpoint>, ChainError> {
    let head = chain.head().height;
    give_up_above(journal, head)?;
    // The one that the chain was set back to may have been a claim.
    settle_claims(chain, journal)?;
    let (kept, _) = journal.checkpoints()?;
    Ok(kept.into_iter().rev().find(|kept| kept.verified && kept.height <= head))
}

/// What is known of a journal once what is false was set aside.
#[derive(Debug, Default)]
pub struct Survey {
    /// The checkpoints that hold, in order of height.
    pub sound: Vec<Checkpoint>,
    /// Those of this node whose block is not in the chain any more, in order of height: damage may
    /// have cost it.
    pub lost: Vec<Checkpoint>,
}

impl Survey {
    /// Looks through a journal when it is taken into use. Records that cannot be read, and those
    /// that the chain shows to be false, are set aside and told in the log; claims whose block is
    /// in the chain are marked as verified. A block that cannot be read is told in the log.
    ///
    /// # Errors
    /// The journal failed.
    pub fn take(chain: &dyn Chain, journal: &dyn Journal) -> Result<Self, ChainError> {
        for error in journal.set_aside_damaged()? {
            tracing::warn!(
                %error,
                "a checkpoint fails its checks: it was set aside and is not used; if this repeats, \
                 check the disk"
            );
        }
        let (mut sound, mut lost) = (Vec::new(), Vec::new());
        let (kept, _) = journal.checkpoints()?;
        for checkpoint in kept {
            match settle(chain, journal, checkpoint)? {
                Settled::Sound(checkpoint) => sound.push(checkpoint),
                Settled::SetAside => {}
                Settled::NotThere(checkpoint, why) => {
                    tracing::info!(
                        height = %checkpoint.height, kind = %checkpoint.kind, %why,
                        "a checkpoint is kept, but its block is not there"
                    );
                    if checkpoint.verified {
                        lost.push(checkpoint);
                    }
                }
            }
        }
        Ok(Self { sound, lost })
    }

    /// How far the sync is whose chain has come to `head`: by the newest checkpoint that holds, or
    /// where none does, by the lowest whose block was lost. What it says decides over no block.
    pub fn progress(&self, head: Height) -> Option<SyncProgress> {
        let newest_first = self.sound.iter().rev().chain(&self.lost);
        newest_first.into_iter().find_map(|checkpoint| checkpoint.progress_at(head))
    }
}

/// Makes a checkpoint of the block at `height`, durably, if that can be read back whole. `unix` is
/// the time since the Unix epoch.
///
/// # Errors
/// [`KeepError`]; nothing was made then.
pub fn make(
    chain: &dyn Chain,
    journal: &dyn Journal,
    (height, kind): (Height, CheckpointKind),
    unix: Duration,
    progress: Option<SyncProgress>,
) -> Result<Checkpoint, KeepError> {
    if kind == CheckpointKind::Manual {
        room_for(journal, height)?;
    }
    let BlockFacts { height, root, parent, state_root } =
        read_back(chain, height).map_err(KeepError::Unreadable)?;
    let checkpoint = Checkpoint {
        chain: chain.genesis(),
        height,
        root,
        parent,
        state_root,
        kind,
        made_unix_seconds: unix.as_secs(),
        progress,
        peer_book_version: STORED_PEER_VERSION,
        verified: true,
    };
    journal.put_checkpoint(&checkpoint)?;
    Ok(checkpoint)
}

/// What the block of the chain at `height` is.
///
/// # Errors
/// It is not there or not whole.
fn read_back(chain: &dyn Chain, height: Height) -> Result<BlockFacts, ChainError> {
    // So that a height the chain does not have is told as such.
    chain.link_point(height)?;
    if let Some(facts) = look(chain, height)? {
        return Ok(facts);
    }
    // The chain may have been set back meanwhile.
    chain.link_point(height)?;
    let damage = format!("block {height} cannot be read back whole: no checkpoint of it");
    Err(ChainError::Corrupt(damage))
}

fn room_for(journal: &dyn Journal, height: Height) -> Result<(), KeepError> {
    let (kept, _) = journal.checkpoints()?;
    let manual = kept.iter().filter(|kept| kept.kind == CheckpointKind::Manual);
    // One at the same height is replaced.
    let others = manual.filter(|kept| kept.height != height).count();
    if others >= MANUAL_KEPT_MAX {
        return Err(KeepError::TooMany { max: MANUAL_KEPT_MAX });
    }
    Ok(())
}

/// Takes in claims that were brought from elsewhere, as checkpoints made by hand, and returns each
/// with what came of comparing it with the chain. Those that the chain shows to be false are not
/// taken in; those it does not reach yet are kept, unverified. What they say of progress is not
/// this node's, and is dropped.
///
/// # Errors
/// [`KeepError`]; what was taken in before it stays.
pub fn take_in(
    chain: &dyn Chain,
    journal: &dyn Journal,
    claims: Vec<Checkpoint>,
) -> Result<Vec<CheckedCheckpoint>, KeepError> {
    let mut taken = Vec::with_capacity(claims.len());
    for claim in claims {
        let result = check(chain, &claim)?;
        let checkpoint = Checkpoint {
            kind: CheckpointKind::Manual,
            progress: None,
            verified: result == CheckpointCheck::Holds,
            ..claim
        };
        if !result.is_false() {
            room_for(journal, checkpoint.height)?;
            journal.put_checkpoint(&checkpoint)?;
        }
        taken.push(CheckedCheckpoint { checkpoint, result });
    }
    Ok(taken)
}

#[cfg(test)]
#[path = "keeping_tests.rs"]
mod tests;
