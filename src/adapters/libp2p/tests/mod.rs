//! The network over real sockets of 127.0.0.1.

mod connecting;
mod fair_serving;
mod fetching;
mod hostile;
mod refusing;
mod serving;
mod small;
#[cfg(feature = "quic")]
mod transports;
mod window;
mod writing;

use std::{
    net::Ipv4Addr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures::{StreamExt, future::BoxFuture};
use libp2p::{identity::Keypair, multiaddr::Protocol};
use rand::{RngCore, SeedableRng, rngs::StdRng};
use tokio::{sync::mpsc, time::timeout};

use super::{
    Libp2pOptions, Libp2pStarter, listen_addresses,
    raw_server::{RawRequest, RawServer},
};
use crate::{
    ports::{
        BlockSource, ChainError, NetworkError, NetworkEvent, NetworkEvents, NetworkStarter,
        PeerNetwork, RequestError,
    },
    types::{BlockRef, BlockRoot, Height, HeightRange, Multiaddr, PeerId},
};

/// Only there so that a test that waits for what never comes fails instead of hanging.
const HANG: Duration = Duration::from_secs(30);

/// Blocks from a given height on, which remembers what was read.
struct MemorySource {
    oldest: u64,
    blocks: Vec<Bytes>,
    reads: Mutex<Vec<(u64, usize)>>,
}

impl MemorySource {
    fn new(oldest: u64, blocks: Vec<Bytes>) -> Arc<Self> {
        Arc::new(Self { oldest, blocks, reads: Mutex::default() })
    }

    /// `count` different blocks of `bytes` bytes from height 1 on, which do not compress.
    fn filled(count: u8, bytes: usize) -> Arc<Self> {
        let block = |seed: u8| {
            let mut block = vec![0; bytes];
            StdRng::seed_from_u64(seed.into()).fill_bytes(&mut block);
            Bytes::from(block)
        };
        Self::new(1, (0..count).map(block).collect())
    }

    fn head_height(&self) -> u64 {
        self.oldest + self.blocks.len() as u64 - 1
    }
}

impl BlockSource for MemorySource {
    fn head(&self) -> BlockRef {
        BlockRef { height: Height::new(self.head_height()), root: BlockRoot::ZERO }
    }

    fn oldest(&self) -> Height {
        Height::new(self.oldest)
    }

    fn read(
        &self,
        start: Height,
        blocks_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<Bytes>, ChainError> {
        let Some(skipped) = start.checked_sub(self.oldest) else { return Ok(Vec::new()) };
        let mut bytes = 0;
        let mut found = Vec::new();
        let skipped = usize::try_from(skipped.get()).unwrap();
        for block in self.blocks.iter().skip(skipped).take(blocks_max) {
            found.push(block.clone());
            bytes += block.len();
            if bytes >= bytes_max {
                break;
            }
        }
        self.reads.lock().unwrap().push((start.get(), found.len()));
        Ok(found)
    }
}

struct EventSender(mpsc::Sender<NetworkEvent>);

impl NetworkEvents for EventSender {
    fn on_event(&self, event: NetworkEvent) {
        // A test that has seen enough drops its end.
        let _ = self.0.try_send(event);
    }
}

/// The events of one network.
struct Events(mpsc::Receiver<NetworkEvent>);

impl Events {
    fn channel() -> (Arc<dyn NetworkEvents>, Self) {
        let (sender, receiver) = mpsc::channel(1024);
        (Arc::new(EventSender(sender)), Self(receiver))
    }

    /// The first event from now on for which `wanted` gives something.
    async fn find<T>(&mut self, wanted: impl Fn(&NetworkEvent) -> Option<T>) -> T {
        let search = async {
            loop {
                let event = self.0.recv().await.expect("the network has ended");
                if let Some(found) = wanted(&event) {
                    return found;
                }
            }
        };
        timeout(HANG, search).await.expect("the event did not come")
    }

    async fn addresses(&mut self) -> Vec<Multiaddr> {
        let mut addresses = Vec::new();
        for _ in listen_addresses(Ipv4Addr::LOCALHOST.into(), 0) {
            addresses.push(
                self.find(|event| match event {
                    NetworkEvent::Listening { address } => Some(address.clone()),
                    NetworkEvent::Connected { .. }
                    | NetworkEvent::Moved { .. }
                    | NetworkEvent::Disconnected { .. }
                    | NetworkEvent::DialFailed { .. }
                    | NetworkEvent::Discovered { .. }
                    | NetworkEvent::Expired { .. }
                    | NetworkEvent::Misused { .. }
                    | NetworkEvent::Stopped { .. } => None,
                })
                .await,
            );
        }
        addresses
    }

    async fn connected(&mut self, who: PeerId) {
        self.find(|event| {
            matches!(event, NetworkEvent::Connected { peer, .. } if *peer == who).then_some(())
        })
        .await;
    }

    async fn disconnected(&mut self, who: PeerId) {
        self.find(|event| {
            matches!(event, NetworkEvent::Disconnected { peer, .. } if *peer == who).then_some(())
        })
        .await;
    }

    async fn dial_failure(&mut self) -> String {
        self.find(|event| match event {
            NetworkEvent::DialFailed { reason, .. } => Some(reason.clone()),
            NetworkEvent::Listening { .. }
            | NetworkEvent::Connected { .. }
            | NetworkEvent::Moved { .. }
            | NetworkEvent::Disconnected { .. }
            | NetworkEvent::Discovered { .. }
            | NetworkEvent::Expired { .. }
            | NetworkEvent::Misused { .. }
            | NetworkEvent::Stopped { .. } => None,
        })
        .await
    }
}

fn starter(key: Keypair) -> Libp2pStarter {
    let listen = listen_addresses(Ipv4Addr::LOCALHOST.into(), 0);
    Libp2pStarter::new(Libp2pOptions { listen, ..Libp2pOptions::default() }, key)
}

/// A running network on a free port of loopback.
struct Node {
    network: Arc<dyn PeerNetwork>,
    events: Events,
    addresses: Vec<Multiaddr>,
    peer: PeerId,
}

impl Node {
    async fn start(starter: &Libp2pStarter, source: Arc<MemorySource>) -> Self {
        Self::try_start(starter, source).await.unwrap()
    }

    async fn try_start(
        starter: &Libp2pStarter,
        source: Arc<MemorySource>,
    ) -> Result<Self, NetworkError> {
        let (sender, mut events) = Events::channel();
        let network = timeout(HANG, starter.start(source, sender)).await.expect("start hangs")?;
        let addresses = events.addresses().await;
        Ok(Self { network, events, addresses, peer: starter.peer_id() })
    }

    async fn new(source: Arc<MemorySource>) -> Self {
        Self::start(&starter(Keypair::generate_ed25519()), source).await
    }

    async fn empty() -> Self {
        Self::new(MemorySource::filled(1, 1)).await
    }

    async fn connect(&mut self, to: PeerId, address: &Multiaddr) {
        self.network.dial(vec![address.clone()]);
        self.events.connected(to).await;
    }

    async fn fetch(&self, from: PeerId, start: u64, count: u64) -> Fetched {
        fetch(&*self.network, from, start, count).await
    }
}

fn range(start: u64, count: u64) -> HeightRange {
    HeightRange::new(Height::new(start), count).unwrap()
}

/// What came of a request: the blocks, and the error it ended with if it did.
#[derive(Debug, PartialEq, Eq)]
struct Fetched {
    blocks: Vec<Bytes>,
    error: Option<RequestError>,
}

async fn fetch(network: &dyn PeerNetwork, from: PeerId, start: u64, count: u64) -> Fetched {
    let all = async {
        let mut blocks = Vec::new();
        let mut stream = match network.request_range(from, range(start, count)).await {
            Ok(stream) => stream,
            Err(error) => return Fetched { blocks, error: Some(error) },
        };
        while let Some(block) = stream.next().await {
            match block {
                Ok(block) => blocks.push(block),
                Err(error) => {
                    assert!(stream.next().await.is_none(), "an error is the last item");
                    return Fetched { blocks, error: Some(error) };
                }
            }
        }
        Fetched { blocks, error: None }
    };
    timeout(HANG, all).await.expect("the request hangs")
}

fn tcp(addresses: &[Multiaddr]) -> Multiaddr {
    let is_tcp = |address: &&Multiaddr| address.iter().any(|part| matches!(part, Protocol::Tcp(_)));
    addresses.iter().find(is_tcp).unwrap().clone()
}

#[cfg(feature = "quic")]
fn quic(addresses: &[Multiaddr]) -> Multiaddr {
    let is_quic = |address: &&Multiaddr| address.iter().any(|part| part == Protocol::QuicV1);
    addresses.iter().find(is_quic).unwrap().clone()
}

/// A raw server and a node that is connected to it.
async fn raw_pair<F>(script: F) -> (RawServer, Node)
where
    F: Fn(RawRequest) -> BoxFuture<'static, ()> + Send + Sync + 'static,
{
    let (sender, mut events) = Events::channel();
    let server = RawServer::start(Keypair::generate_ed25519(), sender, script).await.unwrap();
    let address = tcp(&events.addresses().await);
    let mut node = Node::empty().await;
    node.connect(server.peer_id(), &address).await;
    (server, node)
}
