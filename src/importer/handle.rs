//! The stable address of the importer.

use std::{sync::Arc, time::Duration};

use supervisors::{CallError, ChildHandle, SendError};

use super::ImporterMsg;
use crate::{flow::Segment, types::BlockRef};

/// How long a question may take. Unit: time. The importer answers between two messages. Too low:
/// false alarms on a busy machine. Too high: a hung importer is noticed late.
const ANSWER_DEADLINE: Duration = Duration::from_secs(5);

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
