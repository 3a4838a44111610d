//! The stable address of the coordinator.
//!
//! Notices are level-triggered: a coordinator that was down when one came asks for the present
//! state when it is back.

use std::time::Duration;

use supervisors::{CallError, ChildHandle, SendError};

use super::{Command, CoordinatorMsg, Refused, SyncStatus};
use crate::{
    checkpoint::CheckpointError,
    importer::Refusal,
    reputation::PeerView,
    resources::Shortage,
    types::{BlockRef, Height},
};

/// How long a question may take. Unit: time. The coordinator never waits, so this is far more than
/// it needs. Too low: false alarms on a busy machine. Too high: a hung one is noticed late.
const ANSWER_DEADLINE: Duration = Duration::from_secs(5);

/// Sends to the coordinator, whichever incarnation lives.
#[derive(Clone)]
pub struct CoordinatorHandle {
    child: ChildHandle<CoordinatorMsg>,
}

/// Why a command was not done.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// It makes no sense now.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The coordinator did not answer.
    #[error("the coordinator did not answer")]
    Unanswered(#[source] CallError),
    /// The sync has stopped, but it left no checkpoint.
    #[error(
        "the sync has stopped, but no checkpoint of it was made; the next is made when the \
             node stops"
    )]
    NoCheckpoint(#[source] CheckpointError),
}

impl CoordinatorHandle {
    /// The address behind `child`.
    pub fn new(child: ChildHandle<CoordinatorMsg>) -> Self {
        Self { child }
    }

    /// Does `command`.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn command(&self, command: Command) -> Result<(), CommandError> {
        let answer = self
            .child
            .call(|reply| CoordinatorMsg::Command { command, reply }, ANSWER_DEADLINE)
            .await
            .map_err(CommandError::Unanswered)?;
        Ok(answer?)
    }

    /// The status as of now.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn status(&self) -> Result<SyncStatus, CallError> {
        self.child.call(|reply| CoordinatorMsg::ReadStatus { reply }, ANSWER_DEADLINE).await
    }

    /// See [`CoordinatorMsg::HeadRead`].
    ///
    /// # Errors
    /// [`SendError`] while it is restarting or stopped.
    pub fn head_read(&self, head: BlockRef) -> Result<(), SendError> {
        self.child.cast(CoordinatorMsg::HeadRead { head })
    }

    /// See [`CoordinatorMsg::SettingBack`].
    ///
    /// # Errors
    /// [`SendError`] while it is restarting or stopped.
    pub fn setting_back(&self) -> Result<(), SendError> {
        self.child.cast(CoordinatorMsg::SettingBack)
    }

    /// See [`CoordinatorMsg::SetBack`].
    ///
    /// # Errors
    /// [`SendError`]; a coordinator that starts asks for the head.
    pub fn set_back(&self, head: BlockRef) -> Result<(), SendError> {
        self.child.cast(CoordinatorMsg::SetBack { head })
    }

    /// See [`CoordinatorMsg::Imported`].
    ///
    /// # Errors
    /// [`SendError`] while it is restarting or stopped.
    pub fn imported(&self, head: BlockRef, blocks: u64, bytes: u64) -> Result<(), SendError> {
        self.child.cast(CoordinatorMsg::Imported { head, blocks, bytes })
    }

    /// See [`CoordinatorMsg::ImportRefused`].
    ///
    /// # Errors
    /// [`SendError`] while it is restarting or stopped.
    pub fn import_refused(&self, refusal: Refusal) -> Result<(), SendError> {
        self.child.cast(CoordinatorMsg::ImportRefused { refusal })
    }

    /// See [`CoordinatorMsg::PeersChanged`].
    ///
    /// # Errors
    /// [`SendError`] while it is restarting or stopped.
    pub fn peers_changed(&self, view: PeerView) -> Result<(), SendError> {
        self.child.cast(CoordinatorMsg::PeersChanged { view })
    }

    /// See [`CoordinatorMsg::ShortOf`].
    ///
    /// # Errors
    /// [`SendError`] while it is restarting or stopped.
    pub fn short_of(&self, shortages: Vec<Shortage>) -> Result<(), SendError> {
        self.child.cast(CoordinatorMsg::ShortOf { shortages })
    }

    /// See [`CoordinatorMsg::SchedulerStarted`].
    ///
    /// # Errors
    /// [`SendError`] while it is restarting or stopped.
    pub fn scheduler_started(&self) -> Result<(), SendError> {
        self.child.cast(CoordinatorMsg::SchedulerStarted)
    }

    /// See [`CoordinatorMsg::CheckpointMade`].
    ///
    /// # Errors
    /// [`SendError`] while it is restarting or stopped.
    pub fn checkpoint_made(&self, height: Height) -> Result<(), SendError> {
        self.child.cast(CoordinatorMsg::CheckpointMade { height })
    }
}
