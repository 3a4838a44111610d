//! What the swarm reports, translated: to the events of the port, to replies of peers' requests,
//! and to the ends of our own.

#[cfg(feature = "mdns")]
use libp2p::mdns;
use libp2p::{
    PeerId,
    request_response::{self, InboundFailure, InboundRequestId, Message, OutboundFailure},
    swarm::{ConnectionId, SwarmEvent},
};

use super::{
    behaviour::NodeBehaviourEvent,
    describe::dial_error_text,
    driver::{Driver, ListenerLost},
    exchange::{InboundRequest, Reply, ReplyWriter, Request},
    small_server::{SmallRequest, too_many},
};
#[cfg(feature = "mdns")]
use crate::ports::NetworkEvent;
use crate::ports::{Misuse, RequestError};

type SmallEvent = request_response::Event<SmallRequest, Vec<u8>>;
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
            SwarmEvent::Behaviour(NodeBehaviourEvent::SmallServer(event)) => self.on_small(event),
            SwarmEvent::Behaviour(NodeBehaviourEvent::Gate(never)) => match never {},
            #[cfg(feature = "mdns")]
            SwarmEvent::Behaviour(NodeBehaviourEvent::Neighbours(event)) => self.on_mdns(event),
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } => {
                self.on_connected(peer_id, connection_id, &endpoint);
            }
            SwarmEvent::ConnectionClosed {
                peer_id, connection_id, num_established, cause, ..
            } => {
                self.on_closed(peer_id, connection_id, (num_established, cause.as_ref()));
            }
            SwarmEvent::OutgoingConnectionError { connection_id, peer_id, error } => {
                let reason = dial_error_text(&error);
                tracing::debug!(peer = ?peer_id, reason, "a dial failed");
                let refused = peer_id.filter(|peer| self.swarm.behaviour().gate.refuses(peer));
                let failed = self.dials.failed(connection_id, (reason, refused));
                self.report(failed);
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

    fn on_client(&mut self, event: RangeEvent) {
        match event {
            RangeEvent::Message {
                message: Message::Response { request_id, .. },
                connection_id,
                ..
            } => self.request_ended((connection_id, request_id), None),
            RangeEvent::OutboundFailure { request_id, error, peer, connection_id } => {
                tracing::trace!(%peer, %error, "a request ended early");
                self.request_ended((connection_id, request_id), Some(request_error(&error)));
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
                connection_id,
                message: Message::Request { request_id, request, channel },
            } => {
                if self.swarm.behaviour().gate.refuses(&peer) {
                    // Asked before its connections were told to close.
                    return;
                }
                let now = self.now();
                let linked = self.links.get_mut(&peer);
                if let Some(link) = linked.and_then(|linked| linked.link(connection_id)) {
                    link.reply_began(now, request_id);
                }
                let (writer, reply) = ReplyWriter::channel();
                let server = &mut self.swarm.behaviour_mut().server;
                if server.send_response(channel, reply).is_ok() {
                    let request = InboundRequest { peer, body: request.body, reply: writer };
                    self.replies.spawn(self.responder.respond(request));
                }
            }
            RangeEvent::InboundFailure { peer, connection_id, request_id, error } => {
                match error {
                    InboundFailure::Timeout
                    | InboundFailure::ConnectionClosed
                    | InboundFailure::UnsupportedProtocols
                    | InboundFailure::ResponseOmission
                    | InboundFailure::Io(_) => {
                        tracing::debug!(%peer, %error, "a reply was not taken to its end");
                    }
                }
                self.reply_ended(peer, connection_id, request_id);
            }
            RangeEvent::ResponseSent { peer, connection_id, request_id } => {
                self.reply_ended(peer, connection_id, request_id);
            }
            // The server sends no requests.
            RangeEvent::Message { message: Message::Response { .. }, .. }
            | RangeEvent::OutboundFailure { .. } => {}
        }
    }

    #[cfg(feature = "mdns")]
    fn on_mdns(&self, event: mdns::Event) {
        match event {
            mdns::Event::Discovered(peers) => peers.into_iter().for_each(|(_, address)| {
                self.events.on_event(NetworkEvent::Discovered { address });
            }),
            mdns::Event::Expired(peers) => peers.into_iter().for_each(|(_, address)| {
                self.events.on_event(NetworkEvent::Expired { address });
            }),
        }
    }

    fn on_small(&mut self, event: SmallEvent) {
        match event {
            SmallEvent::Message {
                peer,
                message: Message::Request { request, channel, .. },
                ..
            } => {
                let now = self.now();
                let (source, linked) = (self.source.as_ref(), self.links.get_mut(&peer));
                let (Some(source), Some(linked)) = (source, linked) else { return };
                if self.swarm.behaviour().gate.refuses(&peer) {
                    return;
                }
                if let SmallRequest::Goodbye(reason) = &request {
                    tracing::debug!(%peer, ?reason, "the peer says goodbye");
                }
                let mut misuse = None;
                if let SmallRequest::Malformed(error) = &request {
                    tracing::debug!(%peer, %error, "refused a malformed request");
                    misuse = Some(Misuse::MalformedRequest);
                }
                let answer = match linked.small_requests.take(now) {
                    Ok(()) => request.answer(&**source),
                    Err(wait) => {
                        misuse = misuse.or(Some(Misuse::TooManyRequests));
                        Some(too_many(wait))
                    }
                };
                if let Some(misuse) = misuse {
                    self.replies.spawn(self.responder.misused(peer, misuse));
                }
                if let Some(answer) = answer {
                    // A stream that is gone needs no answer.
                    let _ = self.swarm.behaviour_mut().small_server.send_response(channel, answer);
                }
            }
            SmallEvent::InboundFailure { peer, error, .. } => {
                tracing::trace!(%peer, %error, "a small request was not answered");
            }
            // The server sends no requests.
            SmallEvent::Message { message: Message::Response { .. }, .. }
            | SmallEvent::OutboundFailure { .. }
            | SmallEvent::ResponseSent { .. } => {}
        }
    }

    fn reply_ended(&mut self, peer: PeerId, connection: ConnectionId, request: InboundRequestId) {
        let now = self.now();
        let linked = self.links.get_mut(&peer);
        if let Some(link) = linked.and_then(|linked| linked.link(connection)) {
            link.reply_ended(now, request);
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
