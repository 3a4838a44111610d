//! The queue of replies, with those who wait for it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

use super::queue::{FairQueue, Ticket};
use crate::types::PeerId;

/// Resolves to how many bytes may be read, when it is the reply's turn.
pub(super) type Granted = oneshot::Receiver<u64>;

/// The turns of all replies.
pub(super) struct Turns {
    shared: Mutex<Shared>,
}

struct Shared {
    queue: FairQueue,
    waiting: BTreeMap<Ticket, oneshot::Sender<u64>>,
}

impl Shared {
    fn wait(&mut self, ticket: Ticket) -> Granted {
        let (grant, granted) = oneshot::channel();
        self.waiting.insert(ticket, grant);
        granted
    }

    fn give_turns(&mut self) {
        while let Some(turn) = self.queue.next() {
            if let Some(grant) = self.waiting.remove(&turn.ticket) {
                // Who no longer waits is about to leave, and gives the turn back with that.
                let _ = grant.send(turn.bytes_max);
            }
        }
    }
}

impl Turns {
    /// `turns_max` pieces are read at once, each of about `piece_bytes` bytes.
    pub(super) fn new(turns_max: usize, piece_bytes: u64) -> Self {
        let queue = FairQueue::new(turns_max, piece_bytes);
        Self { shared: Mutex::new(Shared { queue, waiting: BTreeMap::new() }) }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        // Nothing panics while the lock is held; a poisoned queue is still a correct one.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place in the queue for another reply to `peer`; `None` if it has too many.
    pub(super) fn join(self: &Arc<Self>, peer: PeerId) -> Option<(OpenReply, Granted)> {
        let mut shared = self.lock();
        let ticket = shared.queue.join(peer)?;
        let granted = shared.wait(ticket);
        shared.give_turns();
        Some((OpenReply { turns: Arc::clone(self), ticket }, granted))
    }
}

/// A reply in the queue. Dropping it ends it, however far it had come.
pub(super) struct OpenReply {
    turns: Arc<Turns>,
    ticket: Ticket,
}

impl OpenReply {
    /// Its turn is over and has brought `bytes`, which it holds until [`Self::again`].
    pub(super) fn has_read(&self, bytes: usize) {
        let mut shared = self.turns.lock();
        shared.queue.has_read(self.ticket, u64::try_from(bytes).unwrap_or(u64::MAX));
        shared.give_turns();
    }

    /// Its stream takes nothing; it holds `bytes` from now on.
    pub(super) fn park(&self, bytes: usize) {
        let mut shared = self.turns.lock();
        shared.queue.park(self.ticket, u64::try_from(bytes).unwrap_or(u64::MAX));
        shared.give_turns();
    }

    /// Its stream has taken everything; it wants another turn.
    pub(super) fn again(&self) -> Granted {
        let mut shared = self.turns.lock();
        let granted = shared.wait(self.ticket);
        shared.queue.again(self.ticket);
        shared.give_turns();
        granted
    }
}

impl Drop for OpenReply {
    fn drop(&mut self) {
        let mut shared = self.turns.lock();
        shared.waiting.remove(&self.ticket);
        shared.queue.leave(self.ticket);
        shared.give_turns();
    }
}
