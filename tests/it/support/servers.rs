//! Serving peers over real sockets: honest ones, and ones whose every byte a test decides.

use std::sync::Arc;

use alys_sync::{
    adapters::libp2p::{
        Libp2pOptions, Libp2pStarter, listen_addresses,
        raw_server::{RawRequest, RawServer},
    },
    ports::{BlockSource, NetworkEvent, NetworkEvents, NetworkStarter as _, PeerNetwork},
    types::{Multiaddr, PeerId, Transport},
};
use futures::future::BoxFuture;
use libp2p::identity::Keypair;
use tokio::{sync::mpsc, time::timeout};

use super::DEADLINE;

/// A serving peer. Dropping it closes its connections.
pub struct Server {
    pub peer: PeerId,
    /// Where it can be dialled: over TCP.
    pub address: Multiaddr,
    /// The same over QUIC.
    #[cfg(feature = "quic")]
    pub quic: Multiaddr,
    _running: Running,
}

impl Server {
    fn new(peer: PeerId, addresses: &[Multiaddr], running: Running) -> Self {
        Self {
            peer,
            address: over(Transport::Tcp, addresses),
            #[cfg(feature = "quic")]
            quic: over(Transport::Quic, addresses),
            _running: running,
        }
    }
}

enum Running {
    Honest { _network: Arc<dyn PeerNetwork> },
    Raw { _server: RawServer },
}

struct Addresses(mpsc::UnboundedSender<Multiaddr>);

impl NetworkEvents for Addresses {
    fn on_event(&self, event: NetworkEvent) {
        if let NetworkEvent::Listening { address } = event {
            let _ = self.0.send(address);
        }
    }
}

/// The addresses a server announces: one for each transport.
async fn announced(mut addresses: mpsc::UnboundedReceiver<Multiaddr>) -> Vec<Multiaddr> {
    let mut all = Vec::new();
    for _ in listen_addresses("127.0.0.1".parse().unwrap(), 0) {
        all.push(timeout(DEADLINE, addresses.recv()).await.unwrap().unwrap());
    }
    all
}

fn over(transport: Transport, addresses: &[Multiaddr]) -> Multiaddr {
    let fits = |address: &&Multiaddr| Transport::of(address) == Some(transport);
    addresses.iter().find(fits).unwrap().clone()
}

/// A server of today's protocol over `source`.
pub async fn serve(source: Arc<dyn BlockSource>) -> Server {
    let listen = listen_addresses("127.0.0.1".parse().unwrap(), 0);
    let options = Libp2pOptions { listen, ..Libp2pOptions::default() };
    let starter = Libp2pStarter::new(options, Keypair::generate_ed25519());
    let (events, addresses) = mpsc::unbounded_channel();
    let network = starter.start(source, Arc::new(Addresses(events))).await.unwrap();
    let running = Running::Honest { _network: network };
    Server::new(starter.peer_id(), &announced(addresses).await, running)
}

/// A server that answers each request as `script` does.
pub async fn serve_raw<F>(script: F) -> Server
where
    F: Fn(RawRequest) -> BoxFuture<'static, ()> + Send + Sync + 'static,
{
    let (events, addresses) = mpsc::unbounded_channel();
    let server = RawServer::start(Keypair::generate_ed25519(), Arc::new(Addresses(events)), script)
        .await
        .unwrap();
    let peer = server.peer_id();
    Server::new(peer, &announced(addresses).await, Running::Raw { _server: server })
}
