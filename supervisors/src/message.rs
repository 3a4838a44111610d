//! What supervisors are told and asked, and how they are addressed.

use std::time::Duration;

use ractor::RpcReplyPort;

use crate::decision::ChildStatus;
use crate::exit::ChildExit;
use crate::handle::{CallError, ChildHandle};
use crate::incarnation::Live;

/// Time for a supervisor to answer a question. Unit: time. Source: its handlers never wait, so an
/// answer takes microseconds; the rest is for a machine that stands still for seconds. Too low: a
/// busy machine looks dead; too high: a dead one is noticed late.
const READ_WITHIN: Duration = Duration::from_secs(10);

/// A message to a supervisor; sent only through handles.
#[derive(Debug)]
pub struct SupervisorMsg(pub(crate) Command);

#[derive(Debug)]
pub(crate) enum Command {
    ChildStarted {
        child: usize,
        live: Live,
    },
    ChildStartFailed {
        child: usize,
        incarnation: u64,
        exit: ChildExit,
    },
    ChildStartCancelled {
        child: usize,
        incarnation: u64,
    },
    ChildEnded {
        child: usize,
        incarnation: u64,
    },
    /// The exit of an ended child should have been heard by now.
    HearingPassed {
        child: usize,
        incarnation: u64,
    },
    /// A sign of life came.
    Answered {
        child: usize,
        incarnation: u64,
    },
    /// None came in time.
    Silent {
        child: usize,
        incarnation: u64,
    },
    DelayPassed {
        child: usize,
    },
    ShutDown,
    ReadChildren {
        reply: RpcReplyPort<Vec<ChildView>>,
    },
}

impl SupervisorMsg {
    /// Stop the children in order and end.
    pub(crate) fn shut_down() -> Self {
        Self(Command::ShutDown)
    }
}

/// One child as its supervisor sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChildView {
    /// The child.
    pub id: &'static str,
    /// The last incarnation that started.
    pub incarnation: u64,
    /// How often it came back up under this incarnation of the supervisor.
    pub restarts: u64,
    /// Where it is.
    pub status: ChildStatus,
}

impl ChildHandle<SupervisorMsg> {
    /// The children of the supervisor, in start order.
    ///
    /// # Errors
    /// [`CallError`] if the supervisor is not up.
    pub async fn children(&self) -> Result<Vec<ChildView>, CallError> {
        self.call(|reply| SupervisorMsg(Command::ReadChildren { reply }), READ_WITHIN).await
    }

    /// Asks the supervisor to stop its children in order and end.
    pub(crate) fn shut_down(&self) {
        // One that is not up needs no asking.
        let _ = self.cast(SupervisorMsg::shut_down());
    }
}
