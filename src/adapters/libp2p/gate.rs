//! The first of the node's behaviours: it lets connections be or denies them, as
//! [`super::admission`] decides, before any other behaviour learns of them.

use std::{
    collections::BTreeSet,
    convert::Infallible,
    task::{Context, Poll},
};

use libp2p::{
    Multiaddr, PeerId,
    core::{ConnectedPoint, Endpoint, transport::PortUse, util::unreachable},
    swarm::{
        ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
        THandlerOutEvent, ToSwarm, dummy,
    },
};

use super::admission::{Admission, Limits, Newcomer};

/// The gate.
pub(super) struct Gate {
    admission: Admission,
}

impl Gate {
    pub(super) fn new(limits: Limits) -> Self {
        Self { admission: Admission::new(limits) }
    }

    /// Exactly these are refused from now on. Returns those that were not before: their
    /// connections are the caller's to close.
    pub(super) fn refuse(&mut self, peers: BTreeSet<PeerId>) -> Vec<PeerId> {
        self.admission.refuse(peers)
    }

    /// Whether `peer` is refused.
    pub(super) fn refuses(&self, peer: &PeerId) -> bool {
        self.admission.refuses(peer)
    }

    fn admit(
        &mut self,
        id: ConnectionId,
        newcomer: &Newcomer<'_>,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.admission.admit(id, newcomer)?;
        Ok(dummy::ConnectionHandler)
    }
}

impl NetworkBehaviour for Gate {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        id: ConnectionId,
        _: &Multiaddr,
        from: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        Ok(self.admission.arrives(id, from)?)
    }

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        address: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.admit(id, &Newcomer { peer, address, inbound: true })
    }

    fn handle_pending_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: Option<PeerId>,
        _: &[Multiaddr],
        _: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        self.admission.dials(id, peer)?;
        Ok(Vec::new())
    }

    fn handle_established_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.admit(id, &Newcomer { peer, address, inbound: false })
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        if let FromSwarm::ConnectionEstablished(new) = event {
            let (address, inbound) = match new.endpoint {
                ConnectedPoint::Dialer { address, .. } => (address, false),
                ConnectedPoint::Listener { send_back_addr, .. } => (send_back_addr, true),
            };
            self.admission
                .opened(new.connection_id, &Newcomer { peer: new.peer_id, address, inbound });
        }
        if let FromSwarm::ConnectionClosed(closed) = event {
            self.admission.closed(closed.connection_id);
        }
        if let FromSwarm::DialFailure(failure) = event {
            self.admission.failed(failure.connection_id);
        }
        if let FromSwarm::ListenFailure(failure) = event {
            self.admission.failed(failure.connection_id);
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

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}
