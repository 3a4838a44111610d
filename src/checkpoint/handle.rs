//! The stable address of the checkpoint store.

use std::time::Duration;

use supervisors::{CallError, ChildHandle, SendError};
use tokio::time::{Instant, sleep};

use super::{CheckedCheckpoint, CheckedJournal, Checkpoint, CheckpointMsg, KeepError};
use crate::{
    reputation::StoredPeer,
    types::{Height, PeerId},
};

/// How long a question may take. Unit: time. Disk syncs take milliseconds, a second on a bad day.
/// Too low: false alarms on a slow disk. Too high: a hung disk is noticed late.
const ANSWER_DEADLINE: Duration = Duration::from_secs(10);

/// Between two questions to a store that ends. Unit: time. Too low: processor time. Too high:
/// whoever stops a sync waits for longer.
const AGAIN_AFTER: Duration = Duration::from_millis(10);

/// Why the checkpoint store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// It could not be done.
    #[error(transparent)]
    Keep(KeepError),
    /// No answer came.
    #[error("the checkpoint store did not answer")]
    Unanswered(#[source] CallError),
}

/// Sends to the checkpoint store, whichever incarnation lives.
#[derive(Clone)]
pub struct CheckpointHandle {
    child: ChildHandle<CheckpointMsg>,
}

impl CheckpointHandle {
    /// The address behind `child`.
    pub fn new(child: ChildHandle<CheckpointMsg>) -> Self {
        Self { child }
    }

    /// See [`CheckpointMsg::HeadMoved`].
    ///
    /// # Errors
    /// [`SendError`]; the next move of the head makes up for it.
    pub fn head_moved(&self, head: Height) -> Result<(), SendError> {
        self.child.cast(CheckpointMsg::HeadMoved { head })
    }

    /// See [`CheckpointMsg::SetBack`].
    ///
    /// # Errors
    /// [`SendError`]; the next move of the head makes up for it.
    pub fn set_back(&self, head: Height) -> Result<(), SendError> {
        self.child.cast(CheckpointMsg::SetBack { head })
    }

    /// Gives up the checkpoints above `height`, durably when it returns: the chain is about to be
    /// set back to there. Those whose blocks come again hold again.
    ///
    /// # Errors
    /// [`CheckpointError`].
    pub async fn give_up_above(&self, height: Height) -> Result<(), CheckpointError> {
        self.ask(|reply| CheckpointMsg::GiveUpAbove { height, reply }).await
    }

    /// Makes a checkpoint of the head, since the sync was stopped; it is durable when this returns.
    /// A store that ends meanwhile is asked again when it is back.
    ///
    /// # Errors
    /// [`CheckpointError`], after half a minute at most; the store makes one at its own end, too.
    pub async fn sync_stopped(&self) -> Result<(), CheckpointError> {
        let ends = Instant::now() + ANSWER_DEADLINE;
        loop {
            let done = self.ask(|reply| CheckpointMsg::SyncStopped { reply }).await;
            match done {
                Err(CheckpointError::Unanswered(CallError::Lost | CallError::Restarting))
                    if Instant::now() < ends =>
                {
                    // That it has ended may not have been noticed yet.
                    sleep(AGAIN_AFTER).await;
                }
                done => return done,
            }
        }
    }

    /// Makes a checkpoint of the head.
    ///
    /// # Errors
    /// [`CheckpointError`].
    pub async fn create(&self) -> Result<Checkpoint, CheckpointError> {
        self.ask(|reply| CheckpointMsg::Create { reply }).await
    }

    /// All checkpoints, in order of height.
    ///
    /// # Errors
    /// [`CheckpointError`].
    pub async fn list(&self) -> Result<Vec<Checkpoint>, CheckpointError> {
        self.ask(|reply| CheckpointMsg::List { reply }).await
    }

    /// All checkpoints, each compared with the chain.
    ///
    /// # Errors
    /// [`CheckpointError`].
    pub async fn check(&self) -> Result<CheckedJournal, CheckpointError> {
        self.ask(|reply| CheckpointMsg::Check { reply }).await
    }

    /// Takes in claims, see [`super::take_in`].
    ///
    /// # Errors
    /// [`CheckpointError`].
    pub async fn take_in(
        &self,
        claims: Vec<Checkpoint>,
    ) -> Result<Vec<CheckedCheckpoint>, CheckpointError> {
        self.ask(|reply| CheckpointMsg::TakeIn { claims, reply }).await
    }

    /// Forgets a checkpoint that was made by hand, and says whether there was one.
    ///
    /// # Errors
    /// [`CheckpointError`].
    pub async fn remove(&self, height: Height) -> Result<bool, CheckpointError> {
        self.ask(|reply| CheckpointMsg::Remove { height, reply }).await
    }

    /// What is stored of peers, in no particular order. Records that fail their checks are
    /// skipped.
    ///
    /// # Errors
    /// [`CheckpointError`].
    pub async fn peers(&self) -> Result<Vec<StoredPeer>, CheckpointError> {
        self.ask(|reply| CheckpointMsg::ReadPeers { reply }).await
    }

    /// Stores records of peers and forgets those of others, durably when it returns.
    ///
    /// # Errors
    /// [`CheckpointError`].
    pub async fn store_peers(
        &self,
        changed: Vec<StoredPeer>,
        forgotten: Vec<PeerId>,
    ) -> Result<(), CheckpointError> {
        self.ask(|reply| CheckpointMsg::StorePeers { changed, forgotten, reply }).await
    }

    async fn ask<T: Send + 'static>(
        &self,
        message: impl FnOnce(ractor::RpcReplyPort<Result<T, KeepError>>) -> CheckpointMsg,
    ) -> Result<T, CheckpointError> {
        // Siblings start after the checkpoint store, or are started again while it is: wait.
        self.child
            .running(ANSWER_DEADLINE)
            .await
            .map_err(|error| CheckpointError::Unanswered(error.into()))?;
        self.child
            .call(message, ANSWER_DEADLINE)
            .await
            .map_err(CheckpointError::Unanswered)?
            .map_err(CheckpointError::Keep)
    }
}
