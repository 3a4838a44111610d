//! The simulated network: connections to the peers of a plan, and requests over them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use alys_sync::{
    ports::{
        BlockSource, Direction, DisconnectReason, NetworkError, NetworkEvent, NetworkEvents,
        NetworkStarter, PeerNetwork, RangeStream, RequestError,
    },
    types::{Height, HeightRange, Multiaddr, PeerId},
    wire::request::{BlocksByRangeRequest, FixedMessage as _},
};
use futures::{FutureExt as _, future::BoxFuture};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep_until},
};

use super::{
    Outage, OutageKind, SimPeer, connection::Connection, incoming::Incoming, outage::Dial,
};
use crate::{
    fixture::Fixture,
    trace::{Event, PeerIndex, Trace},
};

/// Everything outside the node. It outlives the incarnations of its network.
pub struct World {
    fixture: Arc<Fixture>,
    peers: BTreeMap<PeerId, Arc<SimPeer>>,
    /// The height of the last block that the network has made.
    head: AtomicU64,
    /// The network that runs, if one does.
    present: Mutex<Weak<SimNetwork>>,
    healed: AtomicBool,
    next_request: AtomicU64,
    running: watch::Sender<usize>,
    pub(super) open_replies: AtomicUsize,
    pub(super) trace: Trace,
}

impl World {
    /// A world of these peers.
    pub fn new(fixture: Arc<Fixture>, peers: Vec<SimPeer>, trace: Trace) -> Self {
        Self {
            head: AtomicU64::new(fixture.head.height.get()),
            present: Mutex::default(),
            fixture,
            peers: peers.into_iter().map(|peer| (peer.id, Arc::new(peer))).collect(),
            healed: AtomicBool::new(false),
            next_request: AtomicU64::new(0),
            running: watch::Sender::new(0),
            open_replies: AtomicUsize::new(0),
            trace,
        }
    }

    /// Ends all faults: every peer is honest, present and fast from now on.
    pub fn heal(&self) {
        self.healed.store(true, Ordering::Relaxed);
        self.peers.values().for_each(|peer| peer.heal());
        self.trace.record(Event::Healed);
    }

    /// The network has made all blocks up to `head` and none above.
    pub fn set_head(&self, head: Height) {
        self.head.store(head.get(), Ordering::Relaxed);
    }

    /// The first `count` peers are not reached from now on and for `lasts`.
    pub fn cut_off(&self, count: usize, kind: OutageKind, lasts: Duration) {
        let from = Instant::now();
        let outage = Outage { kind, from, to: from + lasts };
        let present = self.present.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
        for peer in self.peers.values().filter(|peer| peer.index.0 < count) {
            peer.cut_off(outage);
            if let (OutageKind::Gone, Some(network)) = (kind, &present) {
                network.close(peer, DisconnectReason::Remote);
            }
        }
    }

    /// The peer whose identity is written like this.
    pub fn index_of(&self, identity: &str) -> Option<PeerIndex> {
        let peer: PeerId = identity.parse().ok()?;
        self.peers.get(&peer).map(|peer| peer.index)
    }

    /// Whether the faults are over.
    pub fn is_healed(&self) -> bool {
        self.healed.load(Ordering::Relaxed)
    }

    /// Replies that the node has not read to the end nor dropped.
    pub fn open_replies(&self) -> usize {
        self.open_replies.load(Ordering::Relaxed)
    }
}

/// Starts networks in a world, one at a time.
pub struct SimStarter {
    world: Arc<World>,
}

impl SimStarter {
    /// A starter for `world`.
    pub fn new(world: Arc<World>) -> Self {
        Self { world }
    }
}

impl NetworkStarter for SimStarter {
    fn start(
        &self,
        _: Arc<dyn BlockSource>,
        events: Arc<dyn NetworkEvents>,
    ) -> BoxFuture<'static, Result<Arc<dyn PeerNetwork>, NetworkError>> {
        let (world, ended) = (Arc::clone(&self.world), self.ended());
        async move {
            ended.await;
            world.running.send_modify(|running| *running += 1);
            let network = Arc::new_cyclic(|this| SimNetwork {
                this: Weak::clone(this),
                world,
                events,
                connections: Mutex::default(),
                refused: Mutex::default(),
                tasks: Mutex::new(JoinSet::new()),
            });
            let present = &network.world.present;
            *present.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(&network);
            Ok(network as Arc<dyn PeerNetwork>)
        }
        .boxed()
    }

    fn ended(&self) -> BoxFuture<'static, ()> {
        let mut running = self.world.running.subscribe();
        let world = Arc::clone(&self.world);
        async move {
            // The sender lives in the world, which this future holds.
            let _ = running.wait_for(|running| *running == 0).await;
            drop(world);
        }
        .boxed()
    }
}

/// One incarnation of the network. Dropping it closes all its connections.
struct SimNetwork {
    this: Weak<Self>,
    world: Arc<World>,
    events: Arc<dyn NetworkEvents>,
    connections: Mutex<BTreeMap<PeerId, Connection>>,
    refused: Mutex<BTreeSet<PeerId>>,
    tasks: Mutex<JoinSet<()>>,
}

impl Drop for SimNetwork {
    fn drop(&mut self) {
        self.world.running.send_modify(|running| *running -= 1);
    }
}

impl SimNetwork {
    fn connections(&self) -> MutexGuard<'_, BTreeMap<PeerId, Connection>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `act` after `delays` times the delay of the peer's link, while the network lives.
    fn after(&self, peer: &Arc<SimPeer>, delays: u32, act: impl FnOnce(&Self) + Send + 'static) {
        let wait = peer.speed(self.world.is_healed()).delay * delays;
        self.at(Instant::now() + wait, act);
    }

    /// Runs `act` at `when`, while the network lives.
    fn at(&self, when: Instant, act: impl FnOnce(&Self) + Send + 'static) {
        let this = Weak::clone(&self.this);
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(async move {
            sleep_until(when).await;
            if let Some(network) = this.upgrade() {
                act(&network);
            }
        });
    }

    fn refuses(&self, peer: PeerId) -> bool {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).contains(&peer)
    }

    /// A dial that began at `begun` would reach the peer now.
    fn reach(&self, peer: &Arc<SimPeer>, begun: Instant, addresses: Vec<Multiaddr>) {
        match peer.dialled(begun) {
            Dial::Reaches(when) if when <= Instant::now() => self.connect(peer, addresses),
            Dial::Reaches(when) => {
                let peer = Arc::clone(peer);
                self.at(when, move |network| network.reach(&peer, begun, addresses));
            }
            Dial::Fails(when) => {
                let failed = |network: &Self| network.dial_failed(addresses, None, "no way there");
                self.at(when, failed);
            }
        }
    }

    fn dial_failed(&self, addresses: Vec<Multiaddr>, refused: Option<PeerId>, reason: &str) {
        let reason = reason.to_owned();
        self.events.on_event(NetworkEvent::DialFailed { addresses, refused, reason });
    }

    fn connect(&self, peer: &SimPeer, addresses: Vec<Multiaddr>) {
        if peer.is_away() {
            self.dial_failed(addresses, None, "nobody there");
            return;
        }
        if self.refuses(peer.id) {
            self.dial_failed(addresses, Some(peer.id), "this peer is refused");
            return;
        }
        if self.connections().contains_key(&peer.id) {
            return;
        }
        self.connections().insert(peer.id, Connection::open());
        self.world.trace.record(Event::Connected { peer: peer.index });
        let (address, direction) = (peer.address.clone(), Direction::Outbound);
        let peer = peer.id;
        self.events.on_event(NetworkEvent::Connected { peer, address, direction });
    }

    fn close(&self, peer: &SimPeer, reason: DisconnectReason) {
        if self.connections().remove(&peer.id).is_none() {
            return;
        }
        self.world.trace.record(match reason {
            DisconnectReason::Remote => Event::Left { peer: peer.index },
            DisconnectReason::Local => Event::DroppedByNode { peer: peer.index },
        });
        self.events.on_event(NetworkEvent::Disconnected { peer: peer.id, reason });
    }

    fn request(&self, peer: PeerId, range: HeightRange) -> Result<RangeStream, RequestError> {
        let end = self.connections().get(&peer).map(Connection::end);
        let end = end.ok_or(RequestError::NotConnected)?;
        let peer = self.world.peers.get(&peer).ok_or(RequestError::NotConnected)?;
        let request = self.world.next_request.fetch_add(1, Ordering::Relaxed);
        self.world.trace.record(Event::Asked { peer: peer.index, request, range });
        let asked = BlocksByRangeRequest { start: range.start(), count: range.count() };
        // What the peer hears is what was on the wire.
        let heard = BlocksByRangeRequest::decode_request(&asked.encode_request())
            .map_err(|_| RequestError::Cut)?;
        let head = Height::new(self.world.head.load(Ordering::Relaxed));
        let reply = peer.answer(&self.world.fixture, head, heard);
        if peer.leaves() {
            let leaver = Arc::clone(peer);
            self.after(peer, 1, move |network| network.close(&leaver, DisconnectReason::Remote));
        }
        let (world, peer) = (Arc::clone(&self.world), Arc::clone(peer));
        let incoming = Incoming::new(world, peer, (request, range.count()), reply, end);
        Ok(incoming.into_stream())
    }
}

impl PeerNetwork for SimNetwork {
    fn request_range(
        &self,
        peer: PeerId,
        range: HeightRange,
    ) -> BoxFuture<'static, Result<RangeStream, RequestError>> {
        let sent = self.request(peer, range);
        async move { sent }.boxed()
    }

    fn dial(&self, addresses: Vec<Multiaddr>) {
        let mut peers = self.world.peers.values();
        let known = peers.find(|peer| addresses.contains(&peer.address)).cloned();
        match known {
            Some(peer) => {
                let (dialled, begun) = (Arc::clone(&peer), Instant::now());
                self.after(&peer, 2, move |network| network.reach(&dialled, begun, addresses));
            }
            None => self.dial_failed(addresses, None, "no such peer"),
        }
    }

    fn disconnect(&self, peer: PeerId) {
        if let Some(peer) = self.world.peers.get(&peer) {
            self.close(peer, DisconnectReason::Local);
        }
    }

    fn refuse(&self, peers: BTreeSet<PeerId>) {
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = peers.clone();
        peers.into_iter().for_each(|peer| self.disconnect(peer));
    }
}
