//! How children and supervisors end, and what may follow.
//!
//! Owns the vocabulary of ends: typed errors stay downcastable all the way up, so that the owner
//! of a tree can decide by type and never by text.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The error a child ended with, shared so that reports and escalations can carry it.
///
/// An `Err` returned by the actor keeps its type; a panic arrives as text, without one.
#[derive(Clone)]
pub struct ChildError(Arc<dyn Error + Send + Sync>);

impl ChildError {
    /// The error, if the child returned an `E`.
    pub fn downcast_ref<E: Error + 'static>(&self) -> Option<&E> {
        self.0.downcast_ref::<E>()
    }

    /// The error with its own sources.
    pub fn as_error(&self) -> &(dyn Error + Send + Sync + 'static) {
        &*self.0
    }
}

impl From<Box<dyn Error + Send + Sync>> for ChildError {
    fn from(error: Box<dyn Error + Send + Sync>) -> Self {
        Self(Arc::from(error))
    }
}

impl fmt::Debug for ChildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for ChildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl Error for ChildError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

/// How one incarnation of a child ended, or why it never began.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ChildExit {
    /// It stopped in an orderly way; the only normal exit.
    #[error("stopped")]
    Stopped,
    /// It was killed from outside or past its grace, or went without a word.
    #[error("killed")]
    Killed,
    /// It gave no sign of life for this long, and was killed for it.
    #[error("gave no sign of life for {0:?} and was killed")]
    Hung(Duration),
    /// A handler returned an error or panicked.
    #[error("failed")]
    Failed(#[source] ChildError),
    /// `pre_start` returned an error or panicked, or the factory panicked.
    #[error("failed to start")]
    StartFailed(#[source] ChildError),
    /// `pre_start` did not end in the time allowed, or the incarnation before did not.
    #[error("did not start within {0:?}")]
    StartTimedOut(Duration),
}

impl ChildExit {
    /// Whether a `Transient` child is restarted after this exit: all but `Stopped`.
    pub fn is_abnormal(&self) -> bool {
        !matches!(self, Self::Stopped)
    }

    /// The error the child ended with, if it was an `E`.
    pub fn downcast_ref<E: Error + 'static>(&self) -> Option<&E> {
        match self {
            Self::Failed(error) | Self::StartFailed(error) => error.downcast_ref::<E>(),
            Self::Stopped | Self::Killed | Self::Hung(_) | Self::StartTimedOut(_) => None,
        }
    }
}

/// What the owner of a child wants done about an exit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Directive {
    /// What the restart kind of the child says; the verdict of a child without a hook.
    ByRestartKind,
    /// Restart after the child's backoff, by the strategy of the supervisor.
    Restart,
    /// Restart after exactly this delay, by the strategy of the supervisor.
    RestartAfter(Duration),
    /// Leave the child down; its handle answers `Stopped`, the siblings stay as they are.
    Stop,
    /// Stop every child and end the supervisor with an [`Escalation`].
    Escalate,
}

/// Why a supervisor gave up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EscalationCause {
    /// The restart would have exceeded the budget of the supervisor.
    IntensityExceeded,
    /// The restart would have exceeded the child's own budget.
    ChildIntensityExceeded,
    /// The child's exit hook asked for it.
    Directive,
}

/// A supervisor gave up on a child, stopped all others and ended. This is the error a parent
/// supervisor finds in [`ChildExit::Failed`].
#[derive(Debug, Clone, thiserror::Error)]
#[error("supervisor {supervisor} gave up on child {child} ({cause:?}, {restarts} in the period)")]
pub struct Escalation {
    /// The supervisor that gave up.
    pub supervisor: &'static str,
    /// The child it gave up on.
    pub child: &'static str,
    /// Budget or directive.
    pub cause: EscalationCause,
    /// Restarts in the running period of the budget that was exceeded, the refused one included; 0
    /// for a directive.
    pub restarts: u32,
    /// How the child ended for the last time.
    #[source]
    pub exit: ChildExit,
}

/// How a supervision tree ended.
#[derive(Debug, Clone)]
pub enum SupervisorExit {
    /// It was asked to end, and every child was stopped in order.
    Shutdown,
    /// It gave up; every child was stopped in order.
    Escalated(Escalation),
    /// The supervisor was killed, or an exit hook panicked. The children were killed.
    Lost,
}

/// The first start of a supervisor failed; children that had started were stopped again.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StartError {
    /// Two children of one supervisor have the same id.
    #[error("two children of one supervisor are called {id}")]
    DuplicateChild {
        /// The id given twice.
        id: &'static str,
    },
    /// A child could not be started.
    #[error("child {id} did not start")]
    Child {
        /// The child that failed.
        id: &'static str,
        /// Why.
        #[source]
        exit: ChildExit,
    },
    /// The supervisor itself was killed while it started.
    #[error("the supervisor was killed while it started")]
    Killed,
}

/// A shutdown was not orderly.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShutdownError {
    /// The deadline passed, so what was left was killed; all of it has ended now.
    #[error("shutdown passed its deadline and was forced")]
    Forced,
    /// The deadline passed and these children ignore even a kill: a handler blocks its thread.
    #[error("children still running after a forced shutdown: {children:?}")]
    StillRunning {
        /// Ids of the children that still run.
        children: Vec<&'static str>,
    },
}
