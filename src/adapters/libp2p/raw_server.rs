//! A server whose every byte is decided by the caller; for tests and experiments.
//!
//! It speaks the real transports and negotiates the real protocol, then leaves each request to a
//! function: that one can answer with one block, with nothing, with half a chunk, with garbage,
//! or never. What the function writes goes out as it is; when it drops the request, the stream is
//! closed. Nothing of the rules for real servers applies here, save the limits of connections.

use std::{net::Ipv4Addr, sync::Arc};

use futures::future::{BoxFuture, ready};
use libp2p::identity::Keypair;

use super::{
    Libp2pOptions, Libp2pStarter,
    driver::Responder,
    exchange::{InboundRequest, ReplyWriter},
    listen_addresses,
};
use crate::{
    ports::{Misuse, NetworkError, NetworkEvents, PeerNetwork},
    types::PeerId,
};

/// A request to a raw server.
pub type RawRequest = InboundRequest;

/// The way to answer one.
pub type RawReply = ReplyWriter;

/// A running raw server on loopback. Dropping it closes its connections.
pub struct RawServer {
    network: Arc<dyn PeerNetwork>,
    peer: PeerId,
}

struct Script<F>(F);

impl<F> Responder for Script<F>
where
    F: Fn(RawRequest) -> BoxFuture<'static, ()> + Send + Sync + 'static,
{
    fn respond(&self, request: InboundRequest) -> BoxFuture<'static, ()> {
        (self.0)(request)
    }

    fn misused(&self, _: PeerId, _: Misuse) -> BoxFuture<'static, ()> {
        Box::pin(ready(()))
    }
}

impl RawServer {
    /// Listens on a free port of 127.0.0.1, all transports, and answers every request as `script`
    /// does. `events` learns the addresses, as with a real network.
    ///
    /// # Errors
    /// As [`crate::ports::NetworkStarter::start`].
    pub async fn start<F>(
        key: Keypair,
        events: Arc<dyn NetworkEvents>,
        script: F,
    ) -> Result<Self, NetworkError>
    where
        F: Fn(RawRequest) -> BoxFuture<'static, ()> + Send + Sync + 'static,
    {
        let listen = listen_addresses(Ipv4Addr::LOCALHOST.into(), 0);
        let starter = Libp2pStarter::new(Libp2pOptions { listen, ..Libp2pOptions::default() }, key);
        let network = starter.start_with(Arc::new(Script(script)), None, events).await?;
        Ok(Self { network, peer: starter.peer_id() })
    }

    /// Its peer id.
    pub fn peer_id(&self) -> PeerId {
        self.peer
    }

    /// Its own way to dial, ask and disconnect.
    pub fn network(&self) -> &dyn PeerNetwork {
        &*self.network
    }
}
