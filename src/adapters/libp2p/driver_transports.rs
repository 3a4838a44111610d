//! The connections of a peer as the driver handles them: what [`super::transport_choice`] decides
//! is done here, and what it needs to know is told from here.

use std::{
    collections::{VecDeque, btree_map::Entry},
    time::Duration,
};

use libp2p::{
    PeerId,
    core::ConnectedPoint,
    request_response::OutboundRequestId,
    swarm::{ConnectionError, ConnectionId},
};
use tokio::sync::{mpsc, oneshot};

use super::{
    driver::Driver,
    exchange::{Answer, ReplyPart, ReplySink, Request, reply_channel},
    links::{Link, LinkedPeer},
    transport_choice::{ProbeId, Step},
};
use crate::{
    ports::{Direction, DisconnectReason, NetworkEvent, RequestError},
    types::{Height, HeightRange},
    wire::request::{BlocksByRangeRequest, FixedMessage},
};

/// How long the answer to a probe may take. Unit: time. As long as a trial: what comes later
/// changes nothing, and a place among the open requests is held for it.
const PROBE_MAX: Duration = Duration::from_secs(10);

/// Names a request of ours.
pub(super) type RequestKey = (ConnectionId, OutboundRequestId);

/// A request of ours under way.
pub(super) struct OpenRequest {
    peer: PeerId,
    answer: Answer,
    purpose: Purpose,
}

enum Purpose {
    /// Somebody's; told why it could not be sent.
    Call(oneshot::Sender<RequestError>),
    /// A measurement. Nobody reads the reply; once dropped, it is abandoned.
    Probe { id: ProbeId, reply: Option<mpsc::Receiver<ReplyPart>> },
}

impl Driver {
    /// Sends a caller's request over the connection in use.
    pub(super) fn send_call(
        &mut self,
        peer: PeerId,
        request: Request,
        failed: oneshot::Sender<RequestError>,
    ) {
        let answer = request.sink.as_ref().map(|sink| sink.answer.clone()).unwrap_or_default();
        let client = &mut self.swarm.behaviour_mut().client;
        let sent = self.links.get_mut(&peer).and_then(|linked| {
            let connection = linked.used();
            let id = client.send_request(connection, request)?;
            linked.link(connection)?.request_began();
            Some((connection, id))
        });
        match sent {
            Some(key) => {
                let purpose = Purpose::Call(failed);
                self.requests.insert(key, OpenRequest { peer, answer, purpose });
            }
            None => {
                // The caller may have given up: then nobody needs the answer.
                let _ = failed.send(RequestError::NotConnected);
            }
        }
    }

    /// A request of ours has ended, by `error` or with its reply.
    pub(super) fn request_ended(&mut self, key: RequestKey, error: Option<RequestError>) {
        let Some(OpenRequest { peer, answer, purpose }) = self.requests.remove(&key) else {
            return;
        };
        let now = self.now();
        let linked = self.links.get_mut(&peer);
        match purpose {
            Purpose::Call(failed) => {
                if let Some(error) = error {
                    // Nobody listens once the request is on the wire: its reply tells the end.
                    let _ = failed.send(error);
                }
                let Some(linked) = linked else { return };
                let Some(link) = linked.link(key.0) else { return };
                link.request_ended();
                let transport = link.transport();
                match answer.took() {
                    Some(took) => linked.choice.heard(transport, took),
                    None => linked.choice.silent(transport, answer.waited()),
                }
                self.close_left(peer);
            }
            Purpose::Probe { id, .. } => {
                let Some(linked) = linked else { return };
                let steps = match answer.took() {
                    Some(took) => linked.choice.answered(now, id, took),
                    None => linked.choice.unanswered(now, id),
                };
                self.take_steps(peer, steps);
            }
        }
    }

    /// A connection is up.
    pub(super) fn on_connected(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        endpoint: &ConnectedPoint,
    ) {
        let named = self.dials.is_named(connection);
        let dialled_with = self.dials.connected(connection);
        let now = self.now();
        let (address, direction) = match endpoint {
            ConnectedPoint::Dialer { address, .. } => (address.clone(), Direction::Outbound),
            ConnectedPoint::Listener { send_back_addr, .. } => {
                (send_back_addr.clone(), Direction::Inbound)
            }
        };
        let link = Link::new(address.clone(), direction == Direction::Outbound);
        let transport = link.transport();
        if named && self.links.get(&peer).is_some_and(|linked| linked.has_ours(transport)) {
            // Two dials got through, as the first seemed to hang. One that is gone is closed.
            let _ = self.swarm.close_connection(connection);
            return;
        }
        let linked = match self.links.entry(peer) {
            Entry::Vacant(new) => new.insert(LinkedPeer::new(now, connection, link)),
            Entry::Occupied(known) => {
                let linked = known.into_mut();
                linked.add(connection, link);
                linked
            }
        };
        // Where a peer dialled us from is no place to dial.
        linked.reachable_at((direction == Direction::Outbound).then(|| address.clone()));
        linked.reachable_at(dialled_with);
        let steps = linked.choice.connected(now, transport);
        self.events.on_event(NetworkEvent::Connected { peer, address, direction });
        self.take_steps(peer, steps);
    }

    /// A connection is gone; `left` others to the peer are not.
    pub(super) fn on_closed(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        (left, cause): (u32, Option<&ConnectionError>),
    ) {
        if left == 0 {
            self.links.remove(&peer);
            let reason = match cause {
                Some(ConnectionError::IO(_)) => DisconnectReason::Remote,
                None | Some(ConnectionError::KeepAliveTimeout) => DisconnectReason::Local,
            };
            self.events.on_event(NetworkEvent::Disconnected { peer, reason });
            return;
        }
        let now = self.now();
        let Some(linked) = self.links.get_mut(&peer) else { return };
        let Some(link) = linked.remove(connection) else { return };
        let transport = link.transport();
        match (linked.best(transport), linked.best(transport.other())) {
            (Some(same), _) => {
                if linked.used() == connection {
                    self.use_link(peer, same);
                }
            }
            (None, Some(_)) => {
                let steps = linked.choice.closed(now, transport);
                self.take_steps(peer, steps);
            }
            // What is left is being closed, too.
            (None, None) => {}
        }
    }

    /// Time passed.
    pub(super) fn on_tick(&mut self) {
        let now = self.now();
        for request in self.requests.values_mut() {
            if request.answer.waited() >= PROBE_MAX
                && let Purpose::Probe { reply, .. } = &mut request.purpose
            {
                drop(reply.take());
            }
        }
        let peers: Vec<PeerId> = self.links.keys().copied().collect();
        for peer in peers {
            let Some(linked) = self.links.get_mut(&peer) else { continue };
            let other = linked.other_transport();
            let steps = linked.choice.tick(now, other);
            self.take_steps(peer, steps);
        }
    }

    /// Closes what was to be left and carries nothing any more.
    pub(super) fn close_left(&mut self, peer: PeerId) {
        let now = self.now();
        let to_close = self.links.get_mut(&peer).map(|linked| linked.take_closable(now));
        for connection in to_close.unwrap_or_default() {
            // One that is gone already is closed.
            let _ = self.swarm.close_connection(connection);
        }
    }

    fn take_steps(&mut self, peer: PeerId, steps: Vec<Step>) {
        let mut steps = VecDeque::from(steps);
        let yields = *self.swarm.local_peer_id() < peer;
        while let Some(step) = steps.pop_front() {
            match step {
                Step::Dial(transport) => self.dial_over(peer, transport),
                Step::Probe(transport, id) => {
                    let now = self.now();
                    let Some(linked) = self.links.get_mut(&peer) else { return };
                    let connection = linked.best(transport);
                    if connection.is_none_or(|connection| !self.probe(peer, connection, id))
                        && let Some(linked) = self.links.get_mut(&peer)
                    {
                        steps.extend(linked.choice.unanswered(now, id));
                    }
                }
                Step::Use(transport) => {
                    let linked = self.links.get(&peer);
                    if let Some(connection) = linked.and_then(|linked| linked.best(transport)) {
                        self.use_link(peer, connection);
                    }
                }
                Step::Close(transport) => {
                    let now = self.now();
                    if let Some(linked) = self.links.get_mut(&peer) {
                        linked.leave(now, transport, yields);
                    }
                }
            }
        }
        self.close_left(peer);
    }

    fn use_link(&mut self, peer: PeerId, connection: ConnectionId) {
        let moved = self.links.get_mut(&peer).and_then(|linked| linked.use_link(connection));
        if let Some(address) = moved {
            self.events.on_event(NetworkEvent::Moved { peer, address });
        }
    }

    /// Asks for block 1, which everybody has and which is small. Whether it was sent.
    fn probe(&mut self, peer: PeerId, connection: ConnectionId, id: ProbeId) -> bool {
        let slots = self.links.get(&peer).map(|linked| linked.slots.clone());
        let Some(slot) = slots.and_then(|slots| slots.try_acquire_owned().ok()) else {
            return false;
        };
        let range = HeightRange::single(Height::new(1));
        let body = BlocksByRangeRequest { start: range.start(), count: range.count() };
        let (parts, reply) = reply_channel();
        let (sent, _) = oneshot::channel();
        let answer = Answer::default();
        let blocks_max = range.count();
        let sink = ReplySink { blocks_max, sent, parts, slot, answer: answer.clone() };
        let request = Request { body: body.encode_request(), sink: Some(sink) };
        let client = &mut self.swarm.behaviour_mut().client;
        let Some(request) = client.send_request(connection, request) else { return false };
        let purpose = Purpose::Probe { id, reply: Some(reply) };
        self.requests.insert((connection, request), OpenRequest { peer, answer, purpose });
        true
    }
}
