//! The task that owns the swarm: commands in, events and requests of peers out.
//!
//! It decides nothing about sync. It never waits for a caller, a peer or a disk: replies run in
//! tasks of their own, which end with it. It ends when the network it belongs to is dropped, or
//! reports [`NetworkEvent::Stopped`] when it cannot go on.

use std::{collections::BTreeMap, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::{FutureExt, StreamExt, future::BoxFuture};
use libp2p::{Swarm, core::transport::ListenerId, multiaddr::Multiaddr};
use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, timeout},
};

use super::{
    behaviour::NodeBehaviour,
    dials::Dials,
    driver_transports::{OpenRequest, RequestKey},
    exchange::{Answer, InboundRequest, ReplySink, Request},
    links::Links,
    network::{Command, Inbox, RangeCall},
};
use crate::{
    ports::{BlockSource, Misuse, NetworkError, NetworkEvent, NetworkEvents, RequestError},
    types::PeerId,
};

/// How long the listeners may take to come up. They bind at once; only the machine can be slow.
const LISTEN_WAIT_MAX: Duration = Duration::from_secs(10);

/// How long connections may take to close when the network ends. If too low: peers learn of it
/// by a timeout. If too high: a restart waits longer.
pub(super) const GOODBYE_MAX: Duration = Duration::from_secs(1);

/// How often it is looked whether a transport is to be measured or a connection to be closed. Unit:
/// time. Too low: idle work. Too high: what is due is late.
const TICK: Duration = Duration::from_millis(250);

/// Decides what a request of a peer is answered with.
pub(super) trait Responder: Send + Sync + 'static {
    /// Answers one request; runs as a task until it resolves or the network ends.
    fn respond(&self, request: InboundRequest) -> BoxFuture<'static, ()>;

    /// Takes note of a misuse that was seen by somebody else; runs as a task likewise.
    fn misused(&self, peer: PeerId, misuse: Misuse) -> BoxFuture<'static, ()>;
}

struct Listener {
    id: ListenerId,
    address: Multiaddr,
    up: bool,
}

/// Why the task ended by itself.
#[derive(Debug, thiserror::Error)]
#[error("the listener on {address} closed: {reason}")]
pub(super) struct ListenerLost {
    pub(super) address: Multiaddr,
    pub(super) reason: String,
}

/// The swarm with what is under way in it.
pub(super) struct Driver {
    pub(super) swarm: Swarm<NodeBehaviour>,
    pub(super) events: Arc<dyn NetworkEvents>,
    pub(super) responder: Arc<dyn Responder>,
    /// What the small protocols tell of; `None` leaves them unanswered, as today's nodes do.
    pub(super) source: Option<Arc<dyn BlockSource>>,
    /// Replies to peers. At most the served streams of all connections.
    pub(super) replies: JoinSet<()>,
    /// Connected peers.
    pub(super) links: Links,
    /// Dials under way.
    pub(super) dials: Dials,
    /// Requests of ours under way.
    pub(super) requests: BTreeMap<RequestKey, OpenRequest>,
    began: Instant,
    listeners: Vec<Listener>,
    inbox: Inbox,
}

impl Driver {
    pub(super) fn new(
        swarm: Swarm<NodeBehaviour>,
        events: Arc<dyn NetworkEvents>,
        (responder, source): (Arc<dyn Responder>, Option<Arc<dyn BlockSource>>),
        inbox: Inbox,
    ) -> Self {
        Self {
            swarm,
            events,
            responder,
            source,
            replies: JoinSet::new(),
            links: Links::new(),
            dials: Dials::default(),
            requests: BTreeMap::new(),
            began: Instant::now(),
            listeners: Vec::new(),
            inbox,
        }
    }

    /// Listens on `addresses`; resolves when every one of them is up.
    pub(super) async fn listen(&mut self, addresses: &[Multiaddr]) -> Result<(), NetworkError> {
        for address in addresses {
            let id = self.swarm.listen_on(address.clone()).map_err(|error| {
                NetworkError::Listen { address: address.clone(), reason: error.to_string() }
            })?;
            self.listeners.push(Listener { id, address: address.clone(), up: false });
        }
        let all_up = async {
            while self.listeners.iter().any(|listener| !listener.up) {
                let event = self.swarm.select_next_some().await;
                self.on_swarm_event(event)?;
            }
            Ok(())
        };
        let result = timeout(LISTEN_WAIT_MAX, all_up).await;
        match result {
            Ok(Ok(())) => Ok(()),
            Ok(Err(ListenerLost { address, reason })) => {
                Err(NetworkError::Listen { address, reason })
            }
            Err(_) => {
                let late = self.listeners.iter().find(|listener| !listener.up);
                let address = late.map_or_else(Multiaddr::empty, |late| late.address.clone());
                let reason = format!("not ready after {LISTEN_WAIT_MAX:?}");
                Err(NetworkError::Listen { address, reason })
            }
        }
    }

    /// Runs until the network is dropped. Resolves when all sockets have been let go of, save
    /// what the operating system keeps for a moment.
    pub(super) async fn run(mut self) {
        let events = Arc::clone(&self.events);
        let ended = AssertUnwindSafe(self.serve()).catch_unwind().await;
        let reason = match ended {
            Ok(Ok(())) => {
                self.say_goodbye().await;
                return;
            }
            Ok(Err(lost)) => lost.to_string(),
            Err(_) => "the network task panicked".to_owned(),
        };
        drop(self);
        events.on_event(NetworkEvent::Stopped { reason });
    }

    /// Time since the network began.
    pub(super) fn now(&self) -> Duration {
        self.began.elapsed()
    }

    async fn serve(&mut self) -> Result<(), ListenerLost> {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                command = self.inbox.next() => match command {
                    Some(command) => self.on_command(command),
                    None => return Ok(()),
                },
                event = self.swarm.select_next_some() => self.on_swarm_event(event)?,
                _ = ticks.tick() => self.on_tick(),
                Some(reply) = self.replies.join_next() => {
                    if let Err(error) = reply {
                        tracing::error!(%error, "answering a peer panicked");
                    }
                }
            }
        }
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Request(call) => self.request(call),
            Command::Dial(addresses) => self.dial(addresses),
            Command::Close(peer) => {
                // Not connected means that the end has been reported already, or will be never.
                let _ = self.swarm.disconnect_peer_id(peer);
            }
            Command::Refuse(peers) => {
                for peer in self.swarm.behaviour_mut().gate.refuse(peers) {
                    // As above.
                    let _ = self.swarm.disconnect_peer_id(peer);
                }
            }
        }
    }

    fn request(&mut self, call: RangeCall) {
        let RangeCall { peer, body, blocks_max, sent, parts, failed } = call;
        let slot = match self.links.get(&peer) {
            Some(linked) => Arc::clone(&linked.slots).try_acquire_owned(),
            None => {
                // The caller may have given up: then nobody needs the answer.
                let _ = failed.send(RequestError::NotConnected);
                return;
            }
        };
        let Ok(slot) = slot else {
            let _ = failed.send(RequestError::TooManyStreams);
            return;
        };
        let answer = Answer::default();
        let sink = ReplySink { blocks_max, sent, parts, slot, answer };
        self.send_call(peer, Request { body, sink: Some(sink) }, failed);
    }

    /// Notes that a listener has got an address.
    pub(super) fn listener_up(&mut self, id: ListenerId, address: Multiaddr) {
        for listener in self.listeners.iter_mut().filter(|listener| listener.id == id) {
            listener.up = true;
        }
        let own = *self.swarm.local_peer_id();
        let address = address.with_p2p(own).unwrap_or_else(|address| address);
        self.events.on_event(NetworkEvent::Listening { address });
    }

    /// The end of a listener that should have lived as long as the network.
    pub(super) fn listener_lost(&self, id: ListenerId, reason: String) -> Option<ListenerLost> {
        let listener = self.listeners.iter().find(|listener| listener.id == id)?;
        Some(ListenerLost { address: listener.address.clone(), reason })
    }

    /// Closes all sockets in order, so that peers know at once and the port is free for the next.
    async fn say_goodbye(mut self) {
        self.replies.abort_all();
        for listener in &self.listeners {
            self.swarm.remove_listener(listener.id);
        }
        let peers: Vec<PeerId> = self.swarm.connected_peers().copied().collect();
        for peer in peers {
            // It was connected a moment ago; if no longer, all the better.
            let _ = self.swarm.disconnect_peer_id(peer);
        }
        let closed = async {
            while self.swarm.connected_peers().next().is_some() {
                self.swarm.select_next_some().await;
            }
        };
        if timeout(GOODBYE_MAX, closed).await.is_err() {
            tracing::debug!("some connections did not close in time");
        }
    }
}
