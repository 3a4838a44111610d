//! What the swarm reports, translated: to the events of the port, to replies of peers' requests,
//! and to the ends of our own.

use std::sync::Arc;

use libp2p::{
    PeerId,
    core::ConnectedPoint,
    request_response::{self, InboundFailure, Message, OutboundFailure},
    swarm::{ConnectionError, ConnectionId, SwarmEvent},
};
use tokio::sync::Semaphore;

use super::{
    behaviour::{NodeBehaviourEvent, OPEN_REQUESTS_MAX},
    describe::dial_error_text,
    driver::{Driver, ListenerLost},
    exchange::{InboundRequest, Reply, ReplyWriter, Request},
};
use crate::ports::{Direction, DisconnectReason, NetworkEvent, RequestError};

type RangeEvent = request_response::Event<Request, Reply>;

impl Driver {
    /// Takes note of one event.
    ///
    /// # Errors
    /// [`ListenerLost`]: the network must end.
    pub(super) fn on_swarm_event(
        &mut self,
        event: SwarmEvent<NodeBehaviourEvent>,
    ) -> Result<(), ListenerLost> {
        match event {
            SwarmEvent::Behaviour(NodeBehaviourEvent::Client(event)) => self.on_client(event),
            SwarmEvent::Behaviour(NodeBehaviourEvent::Server(event)) => self.on_server(event),
            SwarmEvent::Behaviour(NodeBehaviourEvent::Limits(never)) => match never {},
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } => {
                self.on_connected(peer_id, connection_id, &endpoint);
            }
            SwarmEvent::ConnectionClosed { peer_id, num_established, cause, .. } => {
                if num_established == 0 {
                    self.on_disconnected(peer_id, cause.as_ref());
                }
            }
            SwarmEvent::OutgoingConnectionError { connection_id, error, .. } => {
                if let Some(address) = self.dials.remove(&connection_id) {
                    let reason = dial_error_text(&error);
                    self.events.on_event(NetworkEvent::DialFailed { address, reason });
                }
            }
            SwarmEvent::NewListenAddr { listener_id, address } => {
                self.listener_up(listener_id, address);
            }
            SwarmEvent::ListenerClosed { listener_id, reason, .. } => {
                let reason = reason.err().map_or_else(|| "no reason".to_owned(), |e| e.to_string());
                if let Some(lost) = self.listener_lost(listener_id, reason) {
                    return Err(lost);
                }
            }
            SwarmEvent::ListenerError { error, .. } => {
                tracing::warn!(%error, "a listener reported an error");
            }
            SwarmEvent::IncomingConnectionError { send_back_addr, error, .. } => {
                tracing::debug!(from = %send_back_addr, %error, "refused a connection");
            }
            SwarmEvent::IncomingConnection { .. }
            | SwarmEvent::ExpiredListenAddr { .. }
            | SwarmEvent::Dialing { .. }
            | SwarmEvent::NewExternalAddrCandidate { .. }
            | SwarmEvent::ExternalAddrConfirmed { .. }
            | SwarmEvent::ExternalAddrExpired { .. }
            | SwarmEvent::NewExternalAddrOfPeer { .. }
            | _ => {}
        }
        Ok(())
    }

    fn on_connected(&mut self, peer: PeerId, id: ConnectionId, endpoint: &ConnectedPoint) {
        self.dials.remove(&id);
        if self.slots.contains_key(&peer) {
            return;
        }
        self.slots.insert(peer, Arc::new(Semaphore::new(OPEN_REQUESTS_MAX)));
        let (address, direction) = match endpoint {
            ConnectedPoint::Dialer { address, .. } => (address, Direction::Outbound),
            ConnectedPoint::Listener { send_back_addr, .. } => (send_back_addr, Direction::Inbound),
        };
        let address = address.clone();
        self.events.on_event(NetworkEvent::Connected { peer, address, direction });
    }

    fn on_disconnected(&mut self, peer: PeerId, cause: Option<&ConnectionError>) {
        self.slots.remove(&peer);
        let reason = match cause {
            Some(ConnectionError::IO(_)) => DisconnectReason::Remote,
            None | Some(ConnectionError::KeepAliveTimeout) => DisconnectReason::Local,
        };
        self.events.on_event(NetworkEvent::Disconnected { peer, reason });
    }

    fn on_client(&mut self, event: RangeEvent) {
        match event {
            RangeEvent::Message { message: Message::Response { request_id, .. }, .. } => {
                self.requests.remove(&request_id);
            }
            RangeEvent::OutboundFailure { request_id, error, peer, .. } => {
                tracing::trace!(%peer, %error, "a request ended early");
                if let Some(failed) = self.requests.remove(&request_id) {
                    // Nobody listens once the request is on the wire: its reply tells the end.
                    let _ = failed.send(request_error(&error));
                }
            }
            // The client takes no requests.
            RangeEvent::Message { message: Message::Request { .. }, .. }
            | RangeEvent::InboundFailure { .. }
            | RangeEvent::ResponseSent { .. } => {}
        }
    }

    fn on_server(&mut self, event: RangeEvent) {
        match event {
            RangeEvent::Message {
                peer,
                message: Message::Request { request, channel, .. },
                ..
            } => {
                let (writer, reply) = ReplyWriter::channel();
                let server = &mut self.swarm.behaviour_mut().server;
                if server.send_response(channel, reply).is_ok() {
                    let request = InboundRequest { peer, body: request.body, reply: writer };
                    self.replies.spawn(self.responder.respond(request));
                }
            }
            RangeEvent::InboundFailure { peer, error, .. } => match error {
                InboundFailure::Timeout
                | InboundFailure::ConnectionClosed
                | InboundFailure::UnsupportedProtocols
                | InboundFailure::ResponseOmission
                | InboundFailure::Io(_) => {
                    tracing::debug!(%peer, %error, "a reply was not taken to its end");
                }
            },
            // The server sends no requests.
            RangeEvent::Message { message: Message::Response { .. }, .. }
            | RangeEvent::OutboundFailure { .. }
            | RangeEvent::ResponseSent { .. } => {}
        }
    }
}

fn request_error(failure: &OutboundFailure) -> RequestError {
    match failure {
        OutboundFailure::DialFailure => RequestError::NotConnected,
        OutboundFailure::UnsupportedProtocols => RequestError::Unsupported,
        OutboundFailure::Timeout | OutboundFailure::ConnectionClosed | OutboundFailure::Io(_) => {
            RequestError::Cut
        }
    }
}
