//! The connections to each peer: which one carries our requests, and which are on their way out.
//!
//! A connection that the peer opened is left to the peer, even if it carries nothing of ours: the
//! peer may ask over it, and measures for itself. If each end closed what the other prefers, they
//! would dial again for ever. Today's nodes do not mind: they dial only when the last is closed.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use libp2p::{Multiaddr, PeerId, request_response::InboundRequestId, swarm::ConnectionId};
use tokio::sync::Semaphore;

use super::{
    behaviour::OPEN_REQUESTS_MAX,
    small_server::RequestRate,
    transport_choice::{OtherTransport, TransportChoice},
};
use crate::types::Transport;

/// How long a connection that we want to close stays for replies to requests of the peer. Ours are
/// always waited for. Unit: time. Too low: the peer's replies are cut, and it asks again. Too high:
/// a peer that always asks keeps two connections open.
const THEIR_REPLIES_MAX: Duration = Duration::from_secs(30);

/// A connection that we want to close has carried no request of the peer for so long when it goes.
/// Unit: time. Source: a request that is on its way when we close is lost, and whoever syncs asks
/// more often than that. Too low: such requests are cut. Too high: two connections are open for
/// longer.
const QUIET: Duration = Duration::from_secs(1);

/// How long one end waits for what the other decides. Unit: time. Longer than a trial and
/// [`THEIR_REPLIES_MAX`] together. Too low: two ends that disagree close each other's connection
/// and have to dial again. Too high: two connections are open for longer.
const YIELD: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LinkState {
    Open,
    /// To be closed when this time has come and the requests on it have ended.
    Leaving {
        from: Duration,
    },
    /// The swarm was told to close it.
    Closing,
}

/// One connection.
pub(super) struct Link {
    transport: Transport,
    address: Multiaddr,
    dialled: bool,
    state: LinkState,
    /// Our open requests, probes not counted.
    ours: usize,
    theirs: BTreeSet<InboundRequestId>,
    /// When the peer last asked over it, or was answered.
    theirs_at: Duration,
}

impl Link {
    pub(super) fn new(address: Multiaddr, dialled: bool) -> Self {
        let theirs_at = Duration::ZERO;
        // Nothing but the two transports connects.
        let transport = Transport::of(&address).unwrap_or(Transport::Tcp);
        let (state, theirs) = (LinkState::Open, BTreeSet::new());
        Self { transport, address, dialled, state, ours: 0, theirs, theirs_at }
    }

    pub(super) fn transport(&self) -> Transport {
        self.transport
    }

    pub(super) fn request_began(&mut self) {
        self.ours += 1;
    }

    pub(super) fn request_ended(&mut self) {
        self.ours = self.ours.saturating_sub(1);
    }

    pub(super) fn reply_began(&mut self, now: Duration, request: InboundRequestId) {
        self.theirs.insert(request);
        self.theirs_at = now;
    }

    pub(super) fn reply_ended(&mut self, now: Duration, request: InboundRequestId) {
        self.theirs.remove(&request);
        self.theirs_at = now;
    }

    fn can_go(&self, now: Duration) -> bool {
        let LinkState::Leaving { from } = self.state else { return false };
        let quiet = self.theirs.is_empty() && now >= self.theirs_at.max(from) + QUIET;
        self.ours == 0 && (quiet || now >= from + THEIR_REPLIES_MAX)
    }
}

/// A connected peer.
pub(super) struct LinkedPeer {
    /// The places for our open requests.
    pub(super) slots: Arc<Semaphore>,
    /// Which transport is used.
    pub(super) choice: TransportChoice,
    /// How often it asks by the small protocols.
    pub(super) small_requests: RequestRate,
    /// Where it can be dialled.
    pub(super) places: BTreeMap<Transport, BTreeSet<Multiaddr>>,
    used: ConnectionId,
    links: BTreeMap<ConnectionId, Link>,
}

impl LinkedPeer {
    /// A peer with its first connection.
    pub(super) fn new(now: Duration, connection: ConnectionId, link: Link) -> Self {
        Self {
            slots: Arc::new(Semaphore::new(OPEN_REQUESTS_MAX)),
            choice: TransportChoice::new(now, link.transport),
            small_requests: RequestRate::default(),
            places: BTreeMap::new(),
            used: connection,
            links: BTreeMap::from([(connection, link)]),
        }
    }

    /// The connection that carries our requests.
    pub(super) fn used(&self) -> ConnectionId {
        self.used
    }

    pub(super) fn add(&mut self, connection: ConnectionId, link: Link) {
        self.links.insert(connection, link);
    }

    pub(super) fn remove(&mut self, connection: ConnectionId) -> Option<Link> {
        self.links.remove(&connection)
    }

    pub(super) fn link(&mut self, connection: ConnectionId) -> Option<&mut Link> {
        self.links.get_mut(&connection)
    }

    /// Whether we opened one over `transport` that is to stay.
    pub(super) fn has_ours(&self, transport: Transport) -> bool {
        let mut links = self.links.values();
        links.any(|link| {
            link.dialled && link.transport == transport && link.state == LinkState::Open
        })
    }

    /// Notes addresses of the peer.
    pub(super) fn reachable_at(&mut self, addresses: impl IntoIterator<Item = Multiaddr>) {
        for address in addresses {
            if let Some(transport) = Transport::of(&address) {
                self.places.entry(transport).or_default().insert(address);
            }
        }
    }

    /// A connection over `transport` that can carry requests; rather one that we opened, as the
    /// peer may close its own, and rather one that is not on its way out.
    pub(super) fn best(&self, transport: Transport) -> Option<ConnectionId> {
        let fit = self
            .links
            .iter()
            .filter(|(_, link)| link.transport == transport && link.state != LinkState::Closing);
        let best = fit.max_by_key(|(_, link)| (link.state == LinkState::Open, link.dialled));
        best.map(|(connection, _)| *connection)
    }

    /// Sends requests over this connection from now on; its address if that is news.
    pub(super) fn use_link(&mut self, connection: ConnectionId) -> Option<Multiaddr> {
        let link = self.links.get_mut(&connection)?;
        link.state = LinkState::Open;
        let moved = self.used != connection;
        self.used = connection;
        moved.then(|| link.address.clone())
    }

    /// Closes what we opened over `transport`, once the requests on it have ended. Where the peer
    /// opened the one in use and may itself prefer the other, one end has to wait for what the
    /// other does, or both would close the last connection of the other: the one that `yields`.
    pub(super) fn leave(&mut self, now: Duration, transport: Transport, yields: bool) {
        let opened_by_peer = self.links.get(&self.used).is_some_and(|link| !link.dialled);
        let from = if yields && opened_by_peer { now + YIELD } else { now };
        for (connection, link) in &mut self.links {
            let ours = link.dialled && *connection != self.used && link.transport == transport;
            if ours && link.state == LinkState::Open {
                link.state = LinkState::Leaving { from };
            }
        }
    }

    /// The connections to close now. Each is returned once.
    pub(super) fn take_closable(&mut self, now: Duration) -> Vec<ConnectionId> {
        let mut to_close = Vec::new();
        for (connection, link) in &mut self.links {
            if link.can_go(now) {
                link.state = LinkState::Closing;
                to_close.push(*connection);
            }
        }
        to_close
    }

    /// What there is of the transport that is not used.
    pub(super) fn other_transport(&self) -> OtherTransport {
        let other = self.choice.used().other();
        match (self.best(other), self.places.contains_key(&other)) {
            (Some(_), _) => OtherTransport::Connected,
            (None, true) => OtherTransport::Known,
            (None, false) => OtherTransport::Unknown,
        }
    }
}

/// All connected peers.
pub(super) type Links = BTreeMap<PeerId, LinkedPeer>;

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(9);

    fn id(number: usize) -> ConnectionId {
        ConnectionId::new_unchecked(number)
    }

    fn link(transport: Transport, dialled: bool) -> Link {
        let address = match transport {
            Transport::Tcp => "/ip4/10.0.0.1/tcp/1",
            Transport::Quic => "/ip4/10.0.0.1/udp/1/quic-v1",
        };
        Link::new(address.parse().unwrap(), dialled)
    }

    /// Connected over TCP as 1, then over QUIC as 2, and moved there.
    fn moved(tcp_dialled: bool, quic_dialled: bool) -> LinkedPeer {
        let mut peer = LinkedPeer::new(NOW, id(1), link(Transport::Tcp, tcp_dialled));
        peer.add(id(2), link(Transport::Quic, quic_dialled));
        assert_eq!(peer.best(Transport::Quic), Some(id(2)));
        let address = peer.use_link(id(2)).unwrap();
        assert_eq!(Transport::of(&address), Some(Transport::Quic));
        assert_eq!(peer.use_link(id(2)), None);
        peer
    }

    #[test]
    fn connection_that_is_left_closes_when_its_requests_have_ended() {
        let mut peer = moved(true, true);
        for _ in 0..2 {
            peer.link(id(1)).unwrap().request_began();
        }
        peer.leave(NOW, Transport::Tcp, true);
        peer.link(id(1)).unwrap().request_ended();
        assert!(peer.take_closable(NOW + YIELD + THEIR_REPLIES_MAX).is_empty());
        peer.link(id(1)).unwrap().request_ended();
        assert_eq!(peer.take_closable(NOW + QUIET), [id(1)]);
        assert!(peer.take_closable(NOW + QUIET).is_empty());
        assert_eq!(peer.best(Transport::Tcp), None, "it is as good as gone");
    }

    #[test]
    fn connection_that_the_peer_still_asks_over_stays_until_it_has_been_quiet() {
        let mut peer = moved(true, true);
        peer.leave(NOW, Transport::Tcp, false);
        let mut now = NOW;
        for _ in 0..20 {
            now += QUIET / 2;
            // It asks, and is answered at once. The swarm alone makes names of requests.
            peer.link(id(1)).unwrap().theirs_at = now;
            assert!(peer.take_closable(now + QUIET / 2).is_empty());
        }
        assert_eq!(peer.take_closable(now + QUIET), [id(1)]);
    }

    #[test]
    fn connection_of_the_peer_is_left_to_the_peer() {
        let mut peer = moved(false, true);
        peer.leave(NOW, Transport::Tcp, false);
        assert!(peer.take_closable(NOW + YIELD + THEIR_REPLIES_MAX).is_empty());
    }

    #[test]
    fn of_two_ends_that_prefer_each_others_connection_one_waits() {
        for (yields, closes_at) in [(false, NOW), (true, NOW + YIELD)] {
            let mut peer = moved(true, false);
            peer.leave(NOW, Transport::Tcp, yields);
            let before = closes_at + QUIET - Duration::from_millis(1);
            assert!(peer.take_closable(before).is_empty());
            assert_eq!(peer.take_closable(closes_at + QUIET), [id(1)]);
        }
    }

    #[test]
    fn connection_on_its_way_out_is_taken_back_when_the_other_is_gone() {
        let mut peer = moved(true, true);
        peer.link(id(1)).unwrap().request_began();
        peer.leave(NOW, Transport::Tcp, false);
        peer.remove(id(2));
        assert_eq!(peer.best(Transport::Tcp), Some(id(1)));
        assert!(peer.use_link(id(1)).is_some());
        peer.link(id(1)).unwrap().request_ended();
        assert!(peer.take_closable(NOW + QUIET).is_empty());
    }
}
