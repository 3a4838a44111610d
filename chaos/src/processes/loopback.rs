//! A network on loopback without a node around it.

use std::{error::Error, net::Ipv4Addr, process, sync::Arc};

use alys_sync::{
    adapters::libp2p::{Keypair, Libp2pOptions, Libp2pStarter},
    ports::{BlockSource, NetworkEvent, NetworkEvents, NetworkStarter as _, PeerNetwork},
    types::Multiaddr,
};
use tokio::sync::mpsc;

/// Where all processes listen: a free port. One transport, so that no time goes into comparing two.
pub(crate) fn any_port() -> Vec<Multiaddr> {
    let address = format!("/ip4/{}/tcp/0", Ipv4Addr::LOCALHOST);
    vec![address.parse().expect("an address of well-formed parts")]
}

/// Where a process listens that another is to follow at the same port. Meanwhile the system gives
/// free ports of the usual address to others; all of 127/8 is ours on Linux alone.
pub(crate) fn port_of_its_own() -> Vec<Multiaddr> {
    if !cfg!(target_os = "linux") {
        return any_port();
    }
    let [_, b, c, d] = process::id().to_be_bytes();
    // The usual one is 127.0.0.1, and a process may have the number 1.
    let address = format!("/ip4/{}/tcp/0", Ipv4Addr::new(127, b | 0x80, c, d));
    vec![address.parse().expect("an address of well-formed parts")]
}

/// The network ended, or never listened.
#[derive(Debug, thiserror::Error)]
#[error("the network has ended")]
pub(crate) struct Ended;

struct Report(mpsc::UnboundedSender<NetworkEvent>);

impl NetworkEvents for Report {
    fn on_event(&self, event: NetworkEvent) {
        // Nobody listens any more: the process is about to end.
        let _ = self.0.send(event);
    }
}

/// A network with its events. Dropping it ends it.
pub(crate) struct Loopback {
    network: Arc<dyn PeerNetwork>,
    /// Unbounded, as it is read all the time, and holds a few events for each dial.
    events: mpsc::UnboundedReceiver<NetworkEvent>,
}

impl Loopback {
    /// Listens, and serves `source` under a new identity.
    pub(crate) async fn start(source: Arc<dyn BlockSource>) -> Result<Self, Box<dyn Error>> {
        Self::start_as(source, Keypair::generate_ed25519()).await
    }

    /// The same under the identity of `key`.
    pub(crate) async fn start_as(
        source: Arc<dyn BlockSource>,
        key: Keypair,
    ) -> Result<Self, Box<dyn Error>> {
        Self::start_at(source, key, any_port()).await
    }

    /// The same at these addresses.
    pub(crate) async fn start_at(
        source: Arc<dyn BlockSource>,
        key: Keypair,
        listen: Vec<Multiaddr>,
    ) -> Result<Self, Box<dyn Error>> {
        let options = Libp2pOptions { listen, ..Libp2pOptions::default() };
        let (report, events) = mpsc::unbounded_channel();
        let network = Libp2pStarter::new(options, key).start(source, Arc::new(Report(report)));
        Ok(Self { network: network.await?, events })
    }

    /// The network itself.
    pub(crate) fn network(&self) -> &Arc<dyn PeerNetwork> {
        &self.network
    }

    /// What happens next. Cancel-safe.
    pub(crate) async fn event(&mut self) -> Result<NetworkEvent, Ended> {
        match self.events.recv().await {
            None | Some(NetworkEvent::Stopped { .. }) => Err(Ended),
            Some(event) => Ok(event),
        }
    }

    /// Where it listens.
    pub(crate) async fn listening(&mut self) -> Result<Multiaddr, Ended> {
        loop {
            if let NetworkEvent::Listening { address } = self.event().await? {
                return Ok(address);
            }
        }
    }
}
