//! Peers on the local network, found by mDNS.
//!
//! Whoever is on that network can announce anything, so what comes of it is bounded: here the
//! announcements that are kept, in [`crate::network`] the peers and the dials.

use std::{
    io,
    task::{Context, Poll},
    time::Duration,
};

use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse, util::unreachable},
    mdns,
    swarm::{
        ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
        THandlerOutEvent, ToSwarm, dummy,
    },
};
use tokio::runtime::{Builder, Runtime};

/// Announced addresses that are kept until they expire. Unit: addresses. Each is compared with
/// every new one. If too low: a large network is taken for a flood. If too high: memory and CPU
/// time that anybody on the local network can take.
const ANNOUNCED_MAX: usize = 1_024;

/// How often we ask who is there. Unit: time. As today's nodes do. If too low: needless packets on
/// the local network. If too high: a peer whose first announcement was lost is found late.
const ASK_EVERY: Duration = Duration::from_secs(300);

/// Looks for peers, where that was asked for and is possible.
pub(super) struct Neighbours {
    at_work: Option<AtWork>,
}

/// libp2p's tasks, one for each interface, do not end with what started them. So they get a runtime
/// of their own, which does.
struct AtWork {
    mdns: mdns::tokio::Behaviour,
    runtime: Option<Runtime>,
}

impl Drop for AtWork {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // An async worker must not wait for the tasks' end, as a plain drop does.
            runtime.shutdown_background();
        }
    }
}

impl AtWork {
    fn start(own: PeerId) -> io::Result<Self> {
        let name = "mdns";
        let runtime =
            Builder::new_multi_thread().worker_threads(1).thread_name(name).enable_all().build()?;
        let config = mdns::Config { query_interval: ASK_EVERY, ..mdns::Config::default() };
        let mdns = {
            let _inside = runtime.enter();
            mdns::tokio::Behaviour::new(config, own)
        };
        match mdns {
            Ok(mdns) => Ok(Self { mdns, runtime: Some(runtime) }),
            Err(error) => {
                runtime.shutdown_background();
                Err(error)
            }
        }
    }
}

impl Neighbours {
    /// Looks for others if `wanted`, and is found by them. Where that cannot be, it is said and
    /// nobody is found.
    pub(super) fn new(wanted: bool, own: PeerId) -> Self {
        if !wanted {
            return Self { at_work: None };
        }
        match AtWork::start(own) {
            Ok(at_work) => Self { at_work: Some(at_work) },
            Err(error) => {
                tracing::warn!(%error, "peers on the local network cannot be found by mDNS");
                Self { at_work: None }
            }
        }
    }
}

impl NetworkBehaviour for Neighbours {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = mdns::Event;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        if let Some(at_work) = &mut self.at_work {
            at_work.mdns.on_swarm_event(event);
        }
    }

    fn on_connection_handler_event(
        &mut self,
        _: PeerId,
        _: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        unreachable(event)
    }

    fn poll(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        loop {
            let Some(AtWork { mdns, runtime: Some(runtime) }) = &mut self.at_work else {
                return Poll::Pending;
            };
            let event = {
                let _inside = runtime.enter();
                mdns.poll(context)
            };
            if mdns.discovered_nodes().len() > ANNOUNCED_MAX {
                tracing::warn!("somebody floods the local network with peers: mDNS is off now");
                self.at_work = None;
                return Poll::Pending;
            }
            match event {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(ToSwarm::GenerateEvent(event)) => {
                    return Poll::Ready(ToSwarm::GenerateEvent(event));
                }
                // Addresses for dials that name none: we make no such dials.
                Poll::Ready(_) => {}
            }
        }
    }
}
