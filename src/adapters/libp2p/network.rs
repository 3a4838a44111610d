//! The running network as the port wants it: a handle whose last owner ends it.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use futures::future::BoxFuture;
use tokio::sync::{Notify, mpsc, oneshot};

use super::exchange::{ReplyPart, range_stream, reply_channel};
use crate::{
    ports::{NetworkEvent, NetworkEvents, PeerNetwork, RangeStream, RequestError},
    types::{HeightRange, Multiaddr, PeerId},
    wire::request::{BlocksByRangeRequest, FixedMessage},
};

/// Commands that wait for the swarm's task. If too low: callers wait for each other in a burst.
/// If too high: memory only; the task takes them in microseconds.
const COMMANDS_WAITING_MAX: usize = 256;

/// What the swarm's task is asked to do.
pub(super) enum Command {
    Request(RangeCall),
    Dial(Vec<Multiaddr>),
    Close(PeerId),
    Refuse(BTreeSet<PeerId>),
}

/// A request of ours before it has a place among the peer's open ones.
pub(super) struct RangeCall {
    pub(super) peer: PeerId,
    pub(super) body: Vec<u8>,
    pub(super) blocks_max: u64,
    pub(super) sent: oneshot::Sender<()>,
    pub(super) parts: mpsc::Sender<ReplyPart>,
    /// Told why, if `sent` is dropped.
    pub(super) failed: oneshot::Sender<RequestError>,
}

/// Whom to part with. Beside the channel, because that must never be lost in a burst.
#[derive(Default)]
struct Partings {
    waiting: Mutex<Waiting>,
    added: Notify,
}

#[derive(Default)]
struct Waiting {
    /// A set, so that it stays bounded by the peers there are.
    close: BTreeSet<PeerId>,
    /// What was said last: it replaces what was said before.
    refuse: Option<BTreeSet<PeerId>>,
}

impl Waiting {
    fn pop(&mut self) -> Option<Command> {
        let refuse = self.refuse.take().map(Command::Refuse);
        refuse.or_else(|| self.close.pop_first().map(Command::Close))
    }
}

impl Partings {
    fn add(&self, add: impl FnOnce(&mut Waiting)) {
        add(&mut self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        self.added.notify_one();
    }

    async fn next(&self) -> Command {
        loop {
            let next = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).pop();
            match next {
                Some(command) => return command,
                None => self.added.notified().await,
            }
        }
    }
}

/// The task's end of the handle.
pub(super) struct Inbox {
    commands: mpsc::Receiver<Command>,
    partings: Arc<Partings>,
}

impl Inbox {
    /// The next command; `None` when the handle is gone. Nothing is lost when it is not awaited
    /// to its end.
    pub(super) async fn next(&mut self) -> Option<Command> {
        tokio::select! {
            // First whom to part with: a dial that was asked for afterwards is to know of it.
            biased;
            parting = self.partings.next() => Some(parting),
            command = self.commands.recv() => command,
        }
    }
}

/// A running libp2p network. Dropping it closes all connections and sockets.
pub(super) struct Libp2pNetwork {
    commands: mpsc::Sender<Command>,
    partings: Arc<Partings>,
    events: Arc<dyn NetworkEvents>,
}

impl Libp2pNetwork {
    /// The handle, and what the swarm's task needs of it.
    pub(super) fn channel(events: Arc<dyn NetworkEvents>) -> (Self, Inbox) {
        let (commands, receiver) = mpsc::channel(COMMANDS_WAITING_MAX);
        let partings = Arc::new(Partings::default());
        let inbox = Inbox { commands: receiver, partings: Arc::clone(&partings) };
        (Self { commands, partings, events }, inbox)
    }
}

impl PeerNetwork for Libp2pNetwork {
    fn request_range(
        &self,
        peer: PeerId,
        range: HeightRange,
    ) -> BoxFuture<'static, Result<RangeStream, RequestError>> {
        let commands = self.commands.clone();
        Box::pin(async move {
            let request = BlocksByRangeRequest { start: range.start(), count: range.count() };
            let (parts, reply) = reply_channel();
            let (sent, on_wire) = oneshot::channel();
            let (failed, failure) = oneshot::channel();
            let blocks_max = range.count();
            let body = request.encode_request();
            let call = RangeCall { peer, body, blocks_max, sent, parts, failed };
            let queued = commands.send(Command::Request(call)).await;
            // Held no longer: it would keep a network alive that everybody else has dropped.
            drop(commands);
            queued.map_err(|_| RequestError::Restarting)?;
            match on_wire.await {
                Ok(()) => Ok(range_stream(reply)),
                Err(_) => Err(failure.await.unwrap_or(RequestError::Restarting)),
            }
        })
    }

    fn dial(&self, addresses: Vec<Multiaddr>) {
        if let Err(error) = self.commands.try_send(Command::Dial(addresses.clone())) {
            let reason = match error {
                mpsc::error::TrySendError::Full(_) => "too many commands are waiting",
                mpsc::error::TrySendError::Closed(_) => "the network has ended",
            };
            let (reason, refused) = (reason.to_owned(), None);
            self.events.on_event(NetworkEvent::DialFailed { addresses, refused, reason });
        }
    }

    fn disconnect(&self, peer: PeerId) {
        self.partings.add(|waiting| waiting.close.extend([peer]));
    }

    fn refuse(&self, peers: BTreeSet<PeerId>) {
        self.partings.add(|waiting| waiting.refuse = Some(peers));
    }
}
