//! Which connections may be. Pure.
//!
//! What can be denied before the handshake is: attempts while too many handshakes are under way,
//! or from an address that has its share. The rest is denied right after it, when the peer is
//! known, before anything else learns of the connection: peers that are refused, a third one over
//! the same way, and what is more than one peer or the node may have.
//!
//! Today's nodes dial a connected peer again every 5 s for ever. Two connections over the same way
//! (transport and direction) are let in, because the first may be dead without our knowing; those
//! after them are closed, which such a node takes for nothing new.

use std::collections::{BTreeMap, BTreeSet};

use libp2p::{
    Multiaddr, PeerId,
    multiaddr::Protocol,
    swarm::{ConnectionDenied, ConnectionId},
};

use crate::types::Transport;

/// Connections to one peer. Unit: connections. Two over each transport, because both ends may dial
/// at the same moment: with one, each end could keep the connection that the other refuses, and
/// none would be left. If too low: transports cannot be compared. If too high: one peer takes the
/// places of many.
pub(super) const CONNECTIONS_PER_PEER_MAX: usize = 4;

/// Connections to one peer over one transport that the same end opened. Unit: connections. If too
/// low: a peer whose connection died unnoticed cannot come back for long. If too high: a node that
/// dials again and again takes more places.
const CONNECTIONS_PER_WAY_MAX: usize = 2;

/// Handshakes under way, for each direction. Unit: handshakes. If too low: peers are turned away in
/// a burst of dials. If too high: more half-open connections a stranger can make us hold (10 s
/// each).
const HANDSHAKES_MAX: usize = 64;

/// How many connections there may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// In all.
    pub(super) total: usize,
    /// From one IPv4 address, or one /64 of IPv6, handshakes under way included. Loopback has no
    /// such limit.
    pub(super) inbound_per_place: usize,
}

impl Limits {
    /// Three quarters of all, and at least one: strangers cannot keep us from dialling.
    fn inbound(self) -> usize {
        self.total.saturating_sub(self.total / 4).max(1)
    }
}

/// Why a connection may not be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Denied {
    #[error("this peer is refused")]
    Refused,
    #[error("over the limit of {HANDSHAKES_MAX} handshakes under way")]
    Handshakes,
    #[error("over the limit of {limit} connections from one address")]
    Place { limit: usize },
    #[error("over the limit of {CONNECTIONS_PER_WAY_MAX} connections to a peer over the same way")]
    SameWay,
    #[error("over the limit of {CONNECTIONS_PER_PEER_MAX} connections to a peer")]
    Peer,
    #[error("over the limit of {limit} inbound connections")]
    Inbound { limit: usize },
    #[error("over the limit of {limit} connections")]
    Total { limit: usize },
}

impl From<Denied> for ConnectionDenied {
    fn from(denied: Denied) -> Self {
        Self::new(denied)
    }
}

/// Whose the connections from an address are taken to be: one machine, or what one owner of IPv6
/// addresses has at the least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    V4([u8; 4]),
    V6([u16; 4]),
}

impl Place {
    /// `None` for loopback, and for what is no IP address.
    fn of(address: &Multiaddr) -> Option<Self> {
        let first = address.iter().next();
        let v4 = match first {
            Some(Protocol::Ip4(ip)) => Some(ip),
            Some(Protocol::Ip6(ip)) => ip.to_ipv4_mapped(),
            _ => None,
        };
        match (v4, first) {
            (Some(ip), _) => (!ip.is_loopback()).then(|| Self::V4(ip.octets())),
            (None, Some(Protocol::Ip6(ip))) if !ip.is_loopback() => {
                let [a, b, c, d, ..] = ip.segments();
                Some(Self::V6([a, b, c, d]))
            }
            (None, _) => None,
        }
    }
}

/// Who opened a connection, over what: the way it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Way {
    transport: Option<Transport>,
    inbound: bool,
}

/// A connection after its handshake.
#[derive(Debug)]
pub(super) struct Newcomer<'a> {
    pub(super) peer: PeerId,
    /// The address of its end.
    pub(super) address: &'a Multiaddr,
    pub(super) inbound: bool,
}

impl Newcomer<'_> {
    fn way(&self) -> Way {
        Way { transport: Transport::of(self.address), inbound: self.inbound }
    }
}

struct Open {
    peer: PeerId,
    way: Way,
    place: Option<Place>,
}

/// The connections there are, and whose there may be none of.
pub(super) struct Admission {
    limits: Limits,
    refused: BTreeSet<PeerId>,
    /// Inbound handshakes under way.
    arriving: BTreeMap<ConnectionId, Option<Place>>,
    /// Outbound handshakes under way.
    dialling: BTreeSet<ConnectionId>,
    open: BTreeMap<ConnectionId, Open>,
}

impl Admission {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            refused: BTreeSet::new(),
            arriving: BTreeMap::new(),
            dialling: BTreeSet::new(),
            open: BTreeMap::new(),
        }
    }

    /// Exactly these are refused from now on. Returns those that were not before.
    pub(super) fn refuse(&mut self, peers: BTreeSet<PeerId>) -> Vec<PeerId> {
        let new = peers.difference(&self.refused).copied().collect();
        self.refused = peers;
        new
    }

    pub(super) fn refuses(&self, peer: &PeerId) -> bool {
        self.refused.contains(peer)
    }

    /// Somebody at `from` wants to shake hands.
    pub(super) fn arrives(&mut self, id: ConnectionId, from: &Multiaddr) -> Result<(), Denied> {
        if self.arriving.len() >= HANDSHAKES_MAX {
            return Err(Denied::Handshakes);
        }
        let place = Place::of(from);
        let limit = self.limits.inbound_per_place;
        if place.is_some() && self.of_place(place) >= limit {
            return Err(Denied::Place { limit });
        }
        self.arriving.insert(id, place);
        Ok(())
    }

    /// We dial `peer`, if it is known who is to answer.
    pub(super) fn dials(&mut self, id: ConnectionId, peer: Option<PeerId>) -> Result<(), Denied> {
        if peer.is_some_and(|peer| self.refuses(&peer)) {
            return Err(Denied::Refused);
        }
        if self.dialling.len() >= HANDSHAKES_MAX {
            return Err(Denied::Handshakes);
        }
        self.dialling.insert(id);
        Ok(())
    }

    /// The handshake has ended: may the connection be?
    pub(super) fn admit(&mut self, id: ConnectionId, who: &Newcomer<'_>) -> Result<(), Denied> {
        self.failed(id);
        if self.refuses(&who.peer) {
            return Err(Denied::Refused);
        }
        let of_peer = || self.open.values().filter(|open| open.peer == who.peer);
        if of_peer().filter(|open| open.way == who.way()).count() >= CONNECTIONS_PER_WAY_MAX {
            return Err(Denied::SameWay);
        }
        if of_peer().count() >= CONNECTIONS_PER_PEER_MAX {
            return Err(Denied::Peer);
        }
        let inbound = self.open.values().filter(|open| open.way.inbound).count();
        if who.inbound && inbound >= self.limits.inbound() {
            return Err(Denied::Inbound { limit: self.limits.inbound() });
        }
        if self.open.len() >= self.limits.total {
            return Err(Denied::Total { limit: self.limits.total });
        }
        Ok(())
    }

    /// A connection that was admitted is up.
    pub(super) fn opened(&mut self, id: ConnectionId, who: &Newcomer<'_>) {
        let place = Place::of(who.address);
        self.open.insert(id, Open { peer: who.peer, way: who.way(), place });
    }

    /// A connection is gone.
    pub(super) fn closed(&mut self, id: ConnectionId) {
        self.open.remove(&id);
    }

    /// A handshake has come to nothing.
    pub(super) fn failed(&mut self, id: ConnectionId) {
        self.arriving.remove(&id);
        self.dialling.remove(&id);
    }

    fn of_place(&self, place: Option<Place>) -> usize {
        let open = self.open.values().filter(|open| open.way.inbound && open.place == place);
        open.count() + self.arriving.values().filter(|other| **other == place).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { total: 16, inbound_per_place: 3 };

    /// An admission that numbers its connections.
    struct Door {
        admission: Admission,
        next: usize,
    }

    impl Door {
        fn new() -> Self {
            Self { admission: Admission::new(LIMITS), next: 0 }
        }

        fn id(&mut self) -> ConnectionId {
            self.next += 1;
            ConnectionId::new_unchecked(self.next)
        }

        /// A connection from first packet to open.
        fn accept(&mut self, peer: PeerId, from: &str) -> Result<ConnectionId, Denied> {
            let (id, address) = (self.id(), from.parse().unwrap());
            self.admission.arrives(id, &address)?;
            let who = Newcomer { peer, address: &address, inbound: true };
            self.admission.admit(id, &who)?;
            self.admission.opened(id, &who);
            Ok(id)
        }

        fn dial(&mut self, peer: PeerId, at: &str) -> Result<ConnectionId, Denied> {
            let (id, address) = (self.id(), at.parse().unwrap());
            self.admission.dials(id, Some(peer))?;
            let who = Newcomer { peer, address: &address, inbound: false };
            self.admission.admit(id, &who)?;
            self.admission.opened(id, &who);
            Ok(id)
        }
    }

    const LOCAL: &str = "/ip4/127.0.0.1/tcp/9";
    const LOCAL_QUIC: &str = "/ip4/127.0.0.1/udp/9/quic-v1";

    #[test]
    fn third_connection_of_a_peer_over_the_same_way_is_denied_until_one_is_gone() {
        let (mut door, peer) = (Door::new(), PeerId::random());
        let first = door.accept(peer, LOCAL).unwrap();
        door.accept(peer, LOCAL).unwrap();
        assert_eq!(door.accept(peer, LOCAL), Err(Denied::SameWay));
        door.dial(peer, LOCAL).unwrap();
        door.accept(peer, LOCAL_QUIC).unwrap();
        assert_eq!(door.accept(peer, LOCAL_QUIC), Err(Denied::Peer));
        door.admission.closed(first);
        door.accept(peer, LOCAL).unwrap();
    }

    #[test]
    fn address_over_its_limit_is_denied_before_the_handshake() {
        let mut door = Door::new();
        let first = door.accept(PeerId::random(), "/ip4/10.0.0.1/tcp/1").unwrap();
        for (from, same) in [
            ("/ip4/10.0.0.1/udp/2/quic-v1", true),
            ("/ip6/::ffff:10.0.0.1/tcp/3", true),
            ("/ip4/10.0.0.2/tcp/4", false),
        ] {
            let id = door.id();
            assert_eq!(door.admission.arrives(id, &from.parse().unwrap()), Ok(()), "{same}");
        }
        let denied = Err(Denied::Place { limit: 3 });
        assert_eq!(door.accept(PeerId::random(), "/ip4/10.0.0.1/tcp/5"), denied);
        door.admission.closed(first);
        let id = door.accept(PeerId::random(), "/ip4/10.0.0.1/tcp/5").unwrap();
        assert_eq!(door.accept(PeerId::random(), "/ip4/10.0.0.1/tcp/6"), denied);
        door.admission.closed(id);
        for _ in 0..10 {
            let (id, from) = (door.id(), "/ip4/10.0.0.1/tcp/7".parse().unwrap());
            assert_eq!(door.admission.arrives(id, &from), Ok(()));
            door.admission.failed(id);
        }
    }

    #[test]
    fn an_owner_of_a_64_is_one_place_and_loopback_is_none() {
        let place = |text: &str| Place::of(&text.parse().unwrap());
        assert_eq!(place("/ip6/2001:db8:0:1::5/tcp/1"), place("/ip6/2001:db8:0:1:9::/tcp/2"));
        assert_ne!(place("/ip6/2001:db8:0:1::5/tcp/1"), place("/ip6/2001:db8:0:2::5/tcp/1"));
        for loopback in [LOCAL, "/ip6/::1/tcp/1", "/ip6/::ffff:127.0.0.9/tcp/1", "/memory/5"] {
            assert_eq!(place(loopback), None, "{loopback}");
        }
        let mut door = Door::new();
        for _ in 0..12 {
            door.accept(PeerId::random(), LOCAL).unwrap();
        }
        assert_eq!(door.accept(PeerId::random(), LOCAL), Err(Denied::Inbound { limit: 12 }));
        for _ in 12..16 {
            door.dial(PeerId::random(), "/ip4/10.0.0.1/tcp/1").unwrap();
        }
        assert_eq!(door.dial(PeerId::random(), LOCAL), Err(Denied::Total { limit: 16 }));
    }

    #[test]
    fn refused_peer_is_neither_dialled_nor_let_in_until_it_is_let_off() {
        let (mut door, peer, other) = (Door::new(), PeerId::random(), PeerId::random());
        assert_eq!(door.admission.refuse([peer].into()), [peer]);
        assert_eq!(door.accept(peer, LOCAL), Err(Denied::Refused));
        assert_eq!(door.dial(peer, LOCAL), Err(Denied::Refused));
        assert_eq!(door.admission.refuse([peer, other].into()), [other]);
        assert!(door.admission.refuse([other].into()).is_empty());
        door.accept(peer, LOCAL).unwrap();
    }

    #[test]
    fn handshakes_under_way_are_bounded_and_none_is_counted_after_its_end() {
        let (mut door, from) = (Door::new(), LOCAL.parse().unwrap());
        for _ in 0..3 {
            let ids: Vec<_> = (0..HANDSHAKES_MAX).map(|_| door.id()).collect();
            for id in &ids {
                assert_eq!(door.admission.arrives(*id, &from), Ok(()));
                assert_eq!(door.admission.dials(*id, None), Ok(()));
            }
            let id = door.id();
            assert_eq!(door.admission.arrives(id, &from), Err(Denied::Handshakes));
            assert_eq!(door.admission.dials(id, None), Err(Denied::Handshakes));
            ids.into_iter().for_each(|id| door.admission.failed(id));
        }
    }
}
