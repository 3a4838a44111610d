//! Serving peers over real sockets: honest ones, and ones whose every byte a test decides.

use std::sync::Arc;

use alys_sync::{
    adapters::libp2p::{
        Libp2pOptions, Libp2pStarter, listen_addresses,
        raw_server::{RawRequest, RawServer},
    },
    ports::{BlockSource, NetworkEvent, NetworkEvents, NetworkStarter as _, PeerNetwork},
    types::{Multiaddr, PeerId},
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
    _running: Running,
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

async fn tcp(mut addresses: mpsc::UnboundedReceiver<Multiaddr>) -> Multiaddr {
    loop {
        let address = timeout(DEADLINE, addresses.recv()).await.unwrap().unwrap();
        if address.to_string().contains("/tcp/") {
            return address;
        }
    }
}

/// A server of today's protocol over `source`.
pub async fn serve(source: Arc<dyn BlockSource>) -> Server {
    let listen = listen_addresses("127.0.0.1".parse().unwrap(), 0);
    let options = Libp2pOptions { listen, ..Libp2pOptions::default() };
    let starter = Libp2pStarter::new(options, Keypair::generate_ed25519());
    let (events, addresses) = mpsc::unbounded_channel();
    let network = starter.start(source, Arc::new(Addresses(events))).await.unwrap();
    let address = tcp(addresses).await;
    Server { peer: starter.peer_id(), address, _running: Running::Honest { _network: network } }
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
    let address = tcp(addresses).await;
    Server { peer: server.peer_id(), address, _running: Running::Raw { _server: server } }
}
