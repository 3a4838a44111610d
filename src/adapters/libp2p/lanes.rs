//! Our requests over the connection we name.
//!
//! `request_response` knows peers, not connections: with two of them to a peer it takes turns. So
//! each connection of a peer gets a *lane*, a `request_response` of its own that sees no other
//! connection of that peer.

use std::{
    collections::BTreeMap,
    task::{Context, Poll},
};

use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    request_response::{self, OutboundRequestId},
    swarm::{
        ConnectionClosed, ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler,
        THandlerInEvent, THandlerOutEvent, ToSwarm,
    },
};

use super::{codec::RangeCodec, exchange::Request};

type Requests = request_response::Behaviour<RangeCodec>;

/// One connection more to a peer than there are lanes.
#[derive(Debug, thiserror::Error)]
#[error("no lane is left for another connection to the peer")]
struct NoLane;

/// The client's side of the protocol.
pub(super) struct Lanes {
    lanes: Vec<Requests>,
    /// By connection: whose, and the number of its lane.
    taken: BTreeMap<ConnectionId, (PeerId, usize)>,
}

impl Lanes {
    /// `lanes`: as many as one peer may have connections.
    pub(super) fn new(lanes: Vec<Requests>) -> Self {
        Self { lanes, taken: BTreeMap::new() }
    }

    /// Sends a request over a connection; `None` when it is gone.
    pub(super) fn send_request(
        &mut self,
        connection: ConnectionId,
        request: Request,
    ) -> Option<OutboundRequestId> {
        let (peer, lane) = self.taken.get(&connection)?;
        let lane = self.lanes.get_mut(*lane)?;
        // Asked of a peer it does not see, it would dial.
        lane.is_connected(peer).then(|| lane.send_request(peer, request))
    }

    fn lane_of(&mut self, connection: ConnectionId) -> Option<&mut Requests> {
        let (_, lane) = self.taken.get(&connection)?;
        self.lanes.get_mut(*lane)
    }

    fn take_lane(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
    ) -> Result<&mut Requests, ConnectionDenied> {
        let taken: Vec<usize> =
            self.taken.values().filter(|(who, _)| *who == peer).map(|(_, lane)| *lane).collect();
        let free = self.lanes.iter_mut().enumerate().find(|(lane, _)| !taken.contains(lane));
        let (lane, requests) = free.ok_or_else(|| ConnectionDenied::new(NoLane))?;
        self.taken.insert(connection, (peer, lane));
        Ok(requests)
    }
}

impl NetworkBehaviour for Lanes {
    type ConnectionHandler = THandler<Requests>;
    type ToSwarm = <Requests as NetworkBehaviour>::ToSwarm;

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        let lane = self.take_lane(connection, peer)?;
        lane.handle_established_inbound_connection(connection, peer, local, remote)
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        role: Endpoint,
        port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        let lane = self.take_lane(connection, peer)?;
        lane.handle_established_outbound_connection(connection, peer, address, role, port)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        // The rest is about dialling, which a lane never does.
        if let FromSwarm::AddressChange(change) = event
            && let Some(lane) = self.lane_of(change.connection_id)
        {
            lane.on_swarm_event(event);
        }
        if let FromSwarm::ConnectionClosed(closed) = event {
            if let Some(lane) = self.lane_of(closed.connection_id) {
                // It was the only one of this peer that the lane knew.
                let closed = ConnectionClosed { remaining_established: 0, ..closed };
                lane.on_swarm_event(FromSwarm::ConnectionClosed(closed));
            }
            self.taken.remove(&closed.connection_id);
        }
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        if let Some(lane) = self.lane_of(connection) {
            lane.on_connection_handler_event(peer, connection, event);
        }
    }

    fn poll(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        for lane in &mut self.lanes {
            if let Poll::Ready(event) = lane.poll(context) {
                return Poll::Ready(event);
            }
        }
        Poll::Pending
    }
}
