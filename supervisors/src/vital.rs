//! Signs of life: what a watched child is sent beside its work.
//!
//! A vital message goes through the mailbox like all others, so that an answer means that the
//! handlers end and the mailbox is worked through, not only that the task exists. One variant of
//! the child's messages carries it, and its handler is one line:
//!
//! ```
//! # use ractor::ActorProcessingErr;
//! # use supervisors::Vital;
//! enum CounterMsg {
//!     Vital(Vital),
//! }
//!
//! impl From<Vital> for CounterMsg {
//!     fn from(vital: Vital) -> Self {
//!         Self::Vital(vital)
//!     }
//! }
//!
//! # async fn handle(message: CounterMsg) -> Result<(), ActorProcessingErr> {
//! match message {
//!     CounterMsg::Vital(vital) => vital.obey().await?,
//! }
//! # Ok(())
//! # }
//! ```

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ractor::{ActorCell, Message};

/// How a child is struck down from inside one of its handlers, for operators and chaos.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strike {
    /// The handler panics.
    Panic,
    /// The handler returns [`StruckDown`].
    Fail,
    /// The handler never ends.
    Hang,
}

/// The error of a child that was told to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("struck down on purpose")]
pub struct StruckDown;

/// What a watched child is to answer, or to suffer.
pub struct Vital(Order);

enum Order {
    Answer(Arc<AtomicBool>),
    Suffer(Strike),
}

impl fmt::Debug for Vital {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Order::Answer(_) => f.write_str("Vital::Answer"),
            Order::Suffer(strike) => f.debug_tuple("Vital").field(strike).finish(),
        }
    }
}

impl Vital {
    /// The supervisor asks whether the child answers.
    pub(crate) fn ask() -> (Self, Question) {
        let answered = Arc::new(AtomicBool::new(false));
        (Self(Order::Answer(Arc::clone(&answered))), Question { answered })
    }

    pub(crate) fn strike(strike: Strike) -> Self {
        Self(Order::Suffer(strike))
    }

    /// Answers at once; or does what it was struck with.
    ///
    /// # Errors
    /// [`StruckDown`], for the handler to return.
    ///
    /// # Panics
    /// When the child is told to.
    pub async fn obey(self) -> Result<(), StruckDown> {
        match self.0 {
            Order::Answer(answered) => {
                answered.store(true, Ordering::Release);
                Ok(())
            }
            Order::Suffer(Strike::Panic) => panic!("{StruckDown}"),
            Order::Suffer(Strike::Fail) => Err(StruckDown),
            Order::Suffer(Strike::Hang) => std::future::pending().await,
        }
    }
}

/// What the supervisor holds of a question. To be looked at: an answer wakes nobody. A task that a
/// child woke just before it blocked its thread would wait for that thread, in tokio; so whoever
/// finds out that a child hangs must not be woken by it.
#[derive(Debug)]
pub(crate) struct Question {
    answered: Arc<AtomicBool>,
}

impl Question {
    pub(crate) fn is_answered(&self) -> bool {
        self.answered.load(Ordering::Acquire)
    }

    /// Whether nobody can answer it any more.
    pub(crate) fn is_dropped(&self) -> bool {
        Arc::strong_count(&self.answered) == 1
    }
}

/// Sends a vital message to an actor whose messages are `M`.
pub(crate) type SendVital = fn(&ActorCell, Vital);

/// See [`SendVital`].
pub(crate) fn send_vital<M: Message + From<Vital>>(actor: &ActorCell, vital: Vital) {
    // One that has ended needs no asking: its end is on its way to the supervisor.
    let _ = actor.send_message(M::from(vital));
}
