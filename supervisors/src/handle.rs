//! Stable addresses: a handle finds the present incarnation of a child, or says why there is none.
//!
//! Owns the slot that incarnations come and go in, and the gate that lets only one of them be at a
//! time. Does not own the actors. A handle never blocks: sending takes one short read lock.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ractor::rpc::CallResult;
use ractor::{ActorRef, Message, RpcReplyPort};
use tokio::sync::{Mutex, watch};

use crate::vital::{Strike, Vital};

/// A message could not be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The child is down at present, or has not started yet; its supervisor will bring it up.
    #[error("child is restarting")]
    Restarting,
    /// The child is down for good, or its whole tree has ended.
    #[error("child has stopped for good")]
    Stopped,
}

/// A call was not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// As [`SendError::Restarting`]: the message was not sent.
    #[error("child is restarting")]
    Restarting,
    /// As [`SendError::Stopped`]: the message was not sent.
    #[error("child has stopped for good")]
    Stopped,
    /// No answer in time. The message may still be handled.
    #[error("no answer in time")]
    Timeout,
    /// The incarnation ended, or dropped the reply port, before it answered. The message may have
    /// been handled.
    #[error("child ended before it answered")]
    Lost,
}

impl From<SendError> for CallError {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Restarting => Self::Restarting,
            SendError::Stopped => Self::Stopped,
        }
    }
}

/// Who is in the slot; `incarnation` is the last one that started, 0 if none has.
enum Presence<M> {
    Down { incarnation: u64 },
    Up { incarnation: u64, actor: ActorRef<M> },
    Gone { incarnation: u64 },
}

impl<M> Presence<M> {
    fn incarnation(&self) -> u64 {
        match self {
            Self::Down { incarnation }
            | Self::Up { incarnation, .. }
            | Self::Gone { incarnation } => *incarnation,
        }
    }
}

/// The place where the incarnations of one child come and go.
pub(crate) struct Slot<M> {
    id: &'static str,
    presence: watch::Sender<Presence<M>>,
    /// Held from before an incarnation's `pre_start` until it has ended: even a supervisor that
    /// was killed and restarted cannot have two of them at once.
    gate: Arc<Mutex<()>>,
}

impl<M> Slot<M> {
    pub(crate) fn enter(&self, incarnation: u64, actor: ActorRef<M>) {
        self.presence.send_replace(Presence::Up { incarnation, actor });
    }
}

/// A slot without its message type.
pub(crate) trait Address: Send + Sync {
    fn id(&self) -> &'static str;
    fn gate(&self) -> &Arc<Mutex<()>>;
    fn incarnation(&self) -> u64;
    /// The incarnation, if still present, is ending or has ended: senders hear `Restarting`.
    fn leave(&self, incarnation: u64);
    /// No incarnation is to be expected: senders hear `Stopped`.
    fn close(&self);
}

impl<M: Message> Address for Slot<M> {
    fn id(&self) -> &'static str {
        self.id
    }

    fn gate(&self) -> &Arc<Mutex<()>> {
        &self.gate
    }

    fn incarnation(&self) -> u64 {
        self.presence.borrow().incarnation()
    }

    fn leave(&self, leaving: u64) {
        self.presence.send_if_modified(|presence| match presence {
            Presence::Up { incarnation, .. } if *incarnation == leaving => {
                *presence = Presence::Down { incarnation: leaving };
                true
            }
            Presence::Up { .. } | Presence::Down { .. } | Presence::Gone { .. } => false,
        });
    }

    fn close(&self) {
        self.presence.send_modify(|presence| {
            *presence = Presence::Gone { incarnation: presence.incarnation() };
        });
    }
}

/// The stable address of a child. Made before the tree starts, so that siblings can hold each
/// other's handles; valid across restarts; cheap to clone.
///
/// A message sent to an incarnation that dies is lost with its mailbox, as with any actor.
pub struct ChildHandle<M> {
    slot: Arc<Slot<M>>,
}

impl<M> Clone for ChildHandle<M> {
    fn clone(&self) -> Self {
        Self { slot: Arc::clone(&self.slot) }
    }
}

impl<M: Message> fmt::Debug for ChildHandle<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChildHandle")
            .field("id", &self.id())
            .field("incarnation", &self.incarnation())
            .field("running", &self.is_running())
            .finish()
    }
}

impl<M: Message> ChildHandle<M> {
    /// A handle for the child `id`, which has not started. The id is unique among siblings; it is
    /// no ractor name, so any number of trees may use it in one process.
    pub fn new(id: &'static str) -> Self {
        let (presence, _) = watch::channel(Presence::Down { incarnation: 0 });
        Self { slot: Arc::new(Slot { id, presence, gate: Arc::default() }) }
    }

    pub(crate) fn slot(&self) -> &Arc<Slot<M>> {
        &self.slot
    }

    /// The id of the child.
    pub fn id(&self) -> &'static str {
        self.slot.id
    }

    /// The number of the last incarnation that started, 0 if none has. A failed try to start uses
    /// up a number.
    pub fn incarnation(&self) -> u64 {
        self.slot.incarnation()
    }

    /// Whether an incarnation is up.
    pub fn is_running(&self) -> bool {
        matches!(*self.slot.presence.borrow(), Presence::Up { .. })
    }

    /// Sends a message without waiting.
    ///
    /// # Errors
    /// [`SendError`] if there is no incarnation to send it to; the message is dropped.
    pub fn cast(&self, message: M) -> Result<(), SendError> {
        // An actor that refuses is ending: its supervisor has not heard yet.
        self.present()?.cast(message).map_err(|_| SendError::Restarting)
    }

    /// Sends the message built around a reply port and waits for the answer.
    ///
    /// Cancel-safe in that nothing is left behind here; the child may still handle the message.
    ///
    /// # Errors
    /// [`CallError`]; only `Timeout` and `Lost` can mean that the message was handled.
    pub async fn call<T, F>(&self, build: F, timeout: Duration) -> Result<T, CallError>
    where
        T: Send + 'static,
        F: FnOnce(RpcReplyPort<T>) -> M,
    {
        let actor = self.present()?;
        match actor.call(build, Some(timeout)).await {
            Ok(CallResult::Success(answer)) => Ok(answer),
            Ok(CallResult::Timeout) => Err(CallError::Timeout),
            Ok(CallResult::SenderError) => Err(CallError::Lost),
            Err(_) => Err(CallError::Restarting),
        }
    }

    /// Waits until an incarnation is up, and returns its number. Cancel-safe.
    ///
    /// # Errors
    /// `Stopped` if the child is down for good, `Restarting` if none came up `within` this time.
    pub async fn running(&self, within: Duration) -> Result<u64, SendError> {
        let mut presence = self.slot.presence.subscribe();
        let settled = presence.wait_for(|presence| !matches!(presence, Presence::Down { .. }));
        match tokio::time::timeout(within, settled).await {
            Ok(Ok(presence)) => match &*presence {
                Presence::Up { incarnation, .. } => Ok(*incarnation),
                Presence::Down { .. } => Err(SendError::Restarting),
                Presence::Gone { .. } => Err(SendError::Stopped),
            },
            // The sender lives in the slot this handle holds, so the channel cannot close.
            Ok(Err(_)) | Err(_) => Err(SendError::Restarting),
        }
    }

    /// Kills the present incarnation, for operators and chaos; whether there was one. It ends at
    /// its next await point without `post_stop`, and is restarted unless it is temporary.
    pub fn kill(&self) -> bool {
        self.present().inspect(|actor| actor.kill()).is_ok()
    }

    /// Strikes the present incarnation down from inside a handler, once it has handled what was
    /// sent before; for operators and chaos. Whether there was one.
    pub fn strike(&self, strike: Strike) -> bool
    where
        M: From<Vital>,
    {
        self.cast(M::from(Vital::strike(strike))).is_ok()
    }

    fn present(&self) -> Result<ActorRef<M>, SendError> {
        match &*self.slot.presence.borrow() {
            Presence::Up { actor, .. } => Ok(actor.clone()),
            Presence::Down { .. } => Err(SendError::Restarting),
            Presence::Gone { .. } => Err(SendError::Stopped),
        }
    }
}
