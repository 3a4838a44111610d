//! The stable address of the importer.

use std::{sync::Arc, time::Duration};

use supervisors::{CallError, ChildHandle, SendError};

use super::{ImporterMsg, SetBackOrder};
use crate::{
    checkpoint::{Checkpoint, RecoverError, SetBack},
    flow::Segment,
    types::{BlockRef, Height},
};

/// How long a question may take. Unit: time. The importer answers between two messages. Too low:
/// false alarms on a busy machine. Too high: a hung importer is noticed late.
const ANSWER_DEADLINE: Duration = Duration::from_secs(5);

/// How long the chain may take to be set back. Unit: time. Source: each block above the checkpoint
/// has its entries in the index removed, 60 us a block without optimization, so ten times what half
/// a million takes. Too low: a long way back is told as unknown though it is done. Too high: a hung
/// disk is noticed late.
pub(crate) const SET_BACK_DEADLINE: Duration = Duration::from_secs(300);

/// Sends to the importer, whichever incarnation lives.
#[derive(Clone)]
pub struct ImporterHandle {
    child: ChildHandle<ImporterMsg>,
}

impl ImporterHandle {
    /// The address behind `child`.
    pub fn new(child: ChildHandle<ImporterMsg>) -> Self {
        Self { child }
    }

    /// Queues a segment. One that is lost is asked for again when the importer is back.
    ///
    /// # Errors
    /// [`SendError`] while it is restarting or stopped.
    pub fn import(&self, segment: Arc<Segment>) -> Result<(), SendError> {
        self.child.cast(ImporterMsg::Import { segment })
    }

    /// The scheduler has started.
    ///
    /// # Errors
    /// [`SendError`]; an importer that starts later announces itself.
    pub fn scheduler_started(&self) -> Result<(), SendError> {
        self.child.cast(ImporterMsg::SchedulerStarted)
    }

    /// The coordinator has started.
    ///
    /// # Errors
    /// [`SendError`]; an importer that starts later announces itself.
    pub fn coordinator_started(&self) -> Result<(), SendError> {
        self.child.cast(ImporterMsg::CoordinatorStarted)
    }

    /// Sets the chain back to the checkpoint at `height`, if one of those `kept` there is true of
    /// it.
    ///
    /// # Errors
    /// [`RecoverError`].
    pub async fn set_back(
        &self,
        height: Height,
        kept: Vec<Checkpoint>,
    ) -> Result<SetBack, RecoverError> {
        // One that restarts does it when it is back.
        self.child
            .running(ANSWER_DEADLINE)
            .await
            .map_err(|error| RecoverError::Unanswered(error.into()))?;
        let order = |reply| SetBackOrder { height, kept, reply };
        let answer = self
            .child
            .call(|reply| ImporterMsg::SetBack { order: order(reply) }, SET_BACK_DEADLINE)
            .await
            .map_err(RecoverError::Unanswered)?;
        Ok(answer?)
    }

    /// The gate opened or closed.
    ///
    /// # Errors
    /// [`SendError`]; an importer that starts later looks at the gate.
    pub fn gate_changed(&self) -> Result<(), SendError> {
        self.child.cast(ImporterMsg::GateChanged)
    }

    /// The present head.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn head(&self) -> Result<BlockRef, CallError> {
        self.child.call(|reply| ImporterMsg::ReadHead { reply }, ANSWER_DEADLINE).await
    }
}
