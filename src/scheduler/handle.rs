//! The stable address of the download scheduler.
//!
//! All notices are level-triggered: a scheduler that was down when one came asks for the present
//! state when it is back.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use supervisors::{CallError, ChildHandle, SendError};

use super::{Front, SchedulerMsg, WindowGauge};
use crate::{
    importer::Refusal,
    selection::Standing,
    types::{Height, PeerId},
};

/// How long a question may take. Unit: time. Nothing in the scheduler waits, so this is far more
/// than it needs. Too low: false alarms on a busy machine. Too high: a hung one is noticed late.
const ANSWER_DEADLINE: Duration = Duration::from_secs(5);

/// Sends to the download scheduler, whichever incarnation lives.
#[derive(Clone)]
pub struct SchedulerHandle {
    child: ChildHandle<SchedulerMsg>,
}

impl SchedulerHandle {
    /// The address behind `child`.
    pub fn new(child: ChildHandle<SchedulerMsg>) -> Self {
        Self { child }
    }

    /// See [`SchedulerMsg::SetWindow`].
    ///
    /// # Errors
    /// [`SendError`] while it is restarting or stopped.
    pub fn set_window(&self, next: Height, last: Height) -> Result<(), SendError> {
        self.child.cast(SchedulerMsg::SetWindow { next, last })
    }

    /// See [`SchedulerMsg::CloseWindow`].
    ///
    /// # Errors
    /// [`SendError`] while it is restarting or stopped.
    pub fn close_window(&self) -> Result<(), SendError> {
        self.child.cast(SchedulerMsg::CloseWindow)
    }

    /// See [`SchedulerMsg::UsablePeers`].
    ///
    /// # Errors
    /// [`SendError`] while it is restarting or stopped.
    pub fn usable_peers(
        &self,
        peers: BTreeMap<PeerId, Standing>,
        banned: BTreeSet<PeerId>,
    ) -> Result<(), SendError> {
        self.child.cast(SchedulerMsg::UsablePeers { peers, banned })
    }

    /// See [`SchedulerMsg::Imported`].
    ///
    /// # Errors
    /// [`SendError`] while it is restarting or stopped.
    pub fn imported(&self, head: Height) -> Result<(), SendError> {
        self.child.cast(SchedulerMsg::Imported { head })
    }

    /// See [`SchedulerMsg::ImportRefused`].
    ///
    /// # Errors
    /// [`SendError`] while it is restarting or stopped.
    pub fn import_refused(&self, refusal: Refusal) -> Result<(), SendError> {
        self.child.cast(SchedulerMsg::ImportRefused { refusal })
    }

    /// See [`SchedulerMsg::SetBack`].
    ///
    /// # Errors
    /// [`SendError`] while it is restarting or stopped.
    pub fn set_back(&self, head: Height) -> Result<(), SendError> {
        self.child.cast(SchedulerMsg::SetBack { head })
    }

    /// See [`SchedulerMsg::ImporterStarted`].
    ///
    /// # Errors
    /// [`SendError`] while it is restarting or stopped.
    pub fn importer_started(&self, head: Height) -> Result<(), SendError> {
        self.child.cast(SchedulerMsg::ImporterStarted { head })
    }

    /// Where the lowest height is that is not imported.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn front(&self) -> Result<Front, CallError> {
        self.child.call(|reply| SchedulerMsg::ReadFront { reply }, ANSWER_DEADLINE).await
    }

    /// The figures of the window.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn gauge(&self) -> Result<WindowGauge, CallError> {
        self.child.call(|reply| SchedulerMsg::ReadGauge { reply }, ANSWER_DEADLINE).await
    }
}
