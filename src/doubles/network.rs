//! A network whose replies are a function of the test.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use futures::{FutureExt as _, StreamExt as _, future::BoxFuture, stream};

use super::blocks;
use crate::{
    ports::{
        BlockSource, Direction, NetworkError, NetworkEvent, NetworkEvents, NetworkStarter,
        PeerNetwork, RangeStream, RequestError,
    },
    types::{HeightRange, Multiaddr, PeerId},
};

type Answer = BoxFuture<'static, Result<RangeStream, RequestError>>;

/// The same peer for the same seed.
pub(crate) fn peer(seed: u8) -> PeerId {
    let keys = libp2p::identity::Keypair::ed25519_from_bytes([seed; 32]).unwrap();
    keys.public().to_peer_id()
}

/// A reply of these items that then closes cleanly.
pub(crate) fn stream_of(
    items: impl IntoIterator<Item = Result<Bytes, RequestError>, IntoIter: Send + 'static>,
) -> RangeStream {
    stream::iter(items).boxed()
}

/// What a network is told to do, beside asking for blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Told {
    Dial(Vec<Multiaddr>),
    Disconnect(PeerId),
    Refuse(BTreeSet<PeerId>),
}

/// The double.
pub(crate) struct NetworkDouble {
    answer: Box<dyn Fn(PeerId, HeightRange) -> Answer + Send + Sync>,
    asked: Mutex<Vec<(PeerId, HeightRange)>>,
    told: Mutex<Vec<Told>>,
}

impl NetworkDouble {
    /// A network where every request is answered by `answer`.
    pub(crate) fn new<F>(answer: F) -> Arc<Self>
    where
        F: Fn(PeerId, HeightRange) -> Result<RangeStream, RequestError> + Send + Sync + 'static,
    {
        Self::later(move |peer, range| futures::future::ready(answer(peer, range)).boxed())
    }

    /// A network where a request is sent when the future of `answer` resolves.
    pub(crate) fn later<F>(answer: F) -> Arc<Self>
    where
        F: Fn(PeerId, HeightRange) -> Answer + Send + Sync + 'static,
    {
        Arc::new(Self { answer: Box::new(answer), asked: Mutex::default(), told: Mutex::default() })
    }

    /// A network of honest peers.
    pub(crate) fn honest() -> Arc<Self> {
        Self::new(|_, range| {
            let held = range.heights().filter(|height| (1..=100).contains(&height.get()));
            let reply: Vec<_> = held.map(|height| Ok(blocks().raw(height.get()))).collect();
            Ok(stream_of(reply))
        })
    }

    /// What was asked of whom, in order.
    pub(crate) fn asked(&self) -> Vec<(PeerId, HeightRange)> {
        self.asked.lock().unwrap().clone()
    }

    /// What it was told to do, in order, since this was asked last.
    pub(crate) fn take_told(&self) -> Vec<Told> {
        std::mem::take(&mut *self.told.lock().unwrap())
    }

    fn told(&self, told: Told) {
        self.told.lock().unwrap().push(told);
    }
}

impl PeerNetwork for NetworkDouble {
    fn request_range(&self, peer: PeerId, range: HeightRange) -> Answer {
        self.asked.lock().unwrap().push((peer, range));
        (self.answer)(peer, range)
    }

    fn dial(&self, addresses: Vec<Multiaddr>) {
        self.told(Told::Dial(addresses));
    }

    fn disconnect(&self, peer: PeerId) {
        self.told(Told::Disconnect(peer));
    }

    fn refuse(&self, peers: BTreeSet<PeerId>) {
        self.told(Told::Refuse(peers));
    }
}

/// Starts the same network each time, connected to `peers` at once.
pub(crate) struct StarterDouble {
    pub(crate) network: Arc<NetworkDouble>,
    pub(crate) peers: Vec<PeerId>,
}

impl NetworkStarter for StarterDouble {
    fn start(
        &self,
        _: Arc<dyn BlockSource>,
        events: Arc<dyn NetworkEvents>,
    ) -> BoxFuture<'static, Result<Arc<dyn PeerNetwork>, NetworkError>> {
        for &peer in &self.peers {
            let (address, direction) = (Multiaddr::empty(), Direction::Inbound);
            events.on_event(NetworkEvent::Connected { peer, address, direction });
        }
        let network: Arc<dyn PeerNetwork> = self.network.clone();
        futures::future::ready(Ok(network)).boxed()
    }

    fn ended(&self) -> BoxFuture<'static, ()> {
        futures::future::ready(()).boxed()
    }
}
