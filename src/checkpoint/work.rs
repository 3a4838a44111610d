//! What the checkpoint store does on a blocking thread, one piece after the other.

use std::io;

use ractor::RpcReplyPort;

use super::{
    CheckedCheckpoint, CheckedJournal, Checkpoint, CheckpointArgs, CheckpointKind, KeepError,
    RunState, SyncProgress,
    keeping::{check_all, follow_back, give_up_above, make, settle_claims, take_in},
    record::{STOP_KEPT_MAX, surplus},
};
use crate::{
    coordinator::{Phase, SyncStatus},
    ports::ChainError,
    reputation::StoredPeer,
    types::{Height, PeerId},
};

type Reply<T> = RpcReplyPort<Result<T, KeepError>>;

/// A piece of work.
pub(super) enum Work {
    Periodic(Height),
    SetBack,
    GiveUp(Height, Reply<()>),
    Stop(Option<Reply<()>>),
    Create(Reply<Checkpoint>),
    List(Reply<Vec<Checkpoint>>),
    Check(Reply<CheckedJournal>),
    TakeIn(Vec<Checkpoint>, Reply<Vec<CheckedCheckpoint>>),
    Remove(Height, Reply<bool>),
    ReadPeers(Reply<Vec<StoredPeer>>),
    StorePeers(Vec<StoredPeer>, Vec<PeerId>, Reply<()>),
}

impl Work {
    /// Whether nobody waits for it any more. What is not done for an answer is always to be done.
    pub(super) fn is_abandoned(&self) -> bool {
        match self {
            Self::Periodic(_) | Self::SetBack | Self::Stop(_) => false,
            Self::GiveUp(_, reply) | Self::StorePeers(_, _, reply) => reply.is_closed(),
            Self::Create(reply) => reply.is_closed(),
            Self::List(reply) => reply.is_closed(),
            Self::Check(reply) => reply.is_closed(),
            Self::TakeIn(_, reply) => reply.is_closed(),
            Self::Remove(_, reply) => reply.is_closed(),
            Self::ReadPeers(reply) => reply.is_closed(),
        }
    }
}

/// How far the sync was when the chain had come to `height`.
fn progress_at(height: Height, status: &SyncStatus) -> SyncProgress {
    let (behind, ahead) =
        (status.current_height.blocks_above(height), height.blocks_above(status.current_height));
    SyncProgress {
        blocks_processed: status.blocks_processed.saturating_add(ahead).saturating_sub(behind),
        blocks_failed: status.blocks_failed,
        target_height: status.target_height,
        target_given: status.target_given,
        run_state: match status.phase {
            Phase::Idle => RunState::Idle,
            Phase::Paused => RunState::Paused,
            Phase::Discovering { .. }
            | Phase::DownloadingBlocks { .. }
            | Phase::CatchingUp { .. }
            | Phase::Synced { .. }
            | Phase::Failed { .. } => RunState::Running,
        },
    }
}

/// Makes a checkpoint with the progress as of now.
fn made_now(
    args: &CheckpointArgs,
    height: Height,
    kind: CheckpointKind,
) -> Result<Checkpoint, KeepError> {
    let progress = progress_at(height, &args.status.borrow());
    make(&*args.chain, &*args.journal, (height, kind), args.clock.unix(), Some(progress))
}

/// Makes a checkpoint that nobody asked for, forgets those of its kind that are too many, and looks
/// at the claims that the chain has come to.
fn keep(
    args: &CheckpointArgs,
    height: Height,
    kind: CheckpointKind,
    kept_max: usize,
) -> Result<Option<Checkpoint>, ChainError> {
    let made = match made_now(args, height, kind) {
        Ok(made) => made,
        // The chain was set back meanwhile: one is made when it comes there again.
        Err(KeepError::Unreadable(ChainError::OutOfRange { .. })) => return Ok(None),
        Err(KeepError::Unreadable(error) | KeepError::Store(error)) => return Err(error),
        // Only those made by hand can be too many.
        Err(KeepError::TooMany { .. }) => return Ok(None),
    };
    let (kept, _) = args.journal.checkpoints()?;
    for height in surplus(&kept, kind, kept_max) {
        args.journal.remove_checkpoint(height, kind)?;
    }
    // As they are now: what was just forgotten must not be written again.
    settle_claims(&*args.chain, &*args.journal)?;
    Ok(Some(made))
}

/// Replies with what came of a write, and hands on what the store cannot go on with: the journal
/// shares its database with the index of the chain, so a failure concerns more than who asked.
fn answer<T>(reply: Reply<T>, done: Result<T, KeepError>) -> Result<(), ChainError> {
    let failed = match &done {
        Ok(_) | Err(KeepError::TooMany { .. } | KeepError::Unreadable(_)) => Ok(()),
        Err(KeepError::Store(error)) => Err(same(error)),
    };
    // Who no longer waits for the answer needs none.
    let _ = reply.send(done);
    failed
}

/// The error once more, since one goes to who asked and one to the supervisor.
fn same(error: &ChainError) -> ChainError {
    match error {
        ChainError::NotNext { head, offered } => {
            ChainError::NotNext { head: *head, offered: *offered }
        }
        ChainError::OutOfRange { height, oldest, head } => {
            ChainError::OutOfRange { height: *height, oldest: *oldest, head: *head }
        }
        ChainError::Corrupt(damage) => ChainError::Corrupt(damage.clone()),
        ChainError::Io { action, source } => {
            let same = match source.raw_os_error() {
                Some(code) => io::Error::from_raw_os_error(code),
                None => io::Error::new(source.kind(), source.to_string()),
            };
            ChainError::Io { action: action.clone(), source: same }
        }
        ChainError::Poisoned => ChainError::Poisoned,
    }
}

/// Does one piece of work and returns a checkpoint that is durable, if one is to be told. A reply
/// goes to who asked; `Err` is what the store cannot go on with.
pub(super) fn perform(args: &CheckpointArgs, work: Work) -> Result<Option<Checkpoint>, ChainError> {
    let (chain, journal) = (&*args.chain, &*args.journal);
    match work {
        Work::Periodic(height) => {
            return keep(args, height, CheckpointKind::Periodic, args.settings.kept_max);
        }
        Work::SetBack => return follow_back(chain, journal),
        Work::GiveUp(above, reply) => {
            let done = give_up_above(journal, above);
            answer(reply, done.map_err(KeepError::from))?;
        }
        Work::Stop(reply) => {
            let head = chain.head().height;
            // Of a chain that was not begun there is nothing to keep.
            let made = match head {
                Height::GENESIS => Ok(None),
                _ => keep(args, head, CheckpointKind::Stop, STOP_KEPT_MAX),
            };
            if let Some(reply) = reply {
                let done = made.as_ref().map(drop).map_err(same);
                // Who no longer waits for the answer needs none.
                let _ = reply.send(done.map_err(KeepError::from));
            }
            return made;
        }
        Work::Create(reply) => {
            let made = made_now(args, chain.head().height, CheckpointKind::Manual);
            let shown = made.as_ref().ok().cloned();
            answer(reply, made)?;
            return Ok(shown);
        }
        Work::List(reply) => {
            let listed = journal.checkpoints().map(|(kept, _)| kept);
            let _ = reply.send(listed.map_err(KeepError::from));
        }
        Work::Check(reply) => {
            let checked = check_all(chain, journal);
            let _ = reply.send(checked.map_err(KeepError::from));
        }
        Work::TakeIn(claims, reply) => {
            answer(reply, take_in(chain, journal, claims))?;
        }
        Work::Remove(height, reply) => {
            let removed = journal.remove_checkpoint(height, CheckpointKind::Manual);
            answer(reply, removed.map_err(KeepError::from))?;
        }
        Work::ReadPeers(reply) => {
            let read = journal.peers().map(|(good, bad)| {
                for error in bad {
                    tracing::warn!(%error, "a record of a peer fails its checks and is not used");
                }
                good
            });
            let _ = reply.send(read.map_err(KeepError::from));
        }
        Work::StorePeers(changed, forgotten, reply) => {
            let stored = journal.store_peers(&changed, &forgotten);
            answer(reply, stored.map_err(KeepError::from))?;
        }
    }
    Ok(None)
}
