//! Whom to dial and when. Pure.

use std::{collections::BTreeMap, time::Duration};

use libp2p::multiaddr::Protocol;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

use crate::types::{Multiaddr, PeerId};

/// How long a dial may stay without an outcome before it counts as failed. Unit: time. Longer
/// than the transports' own limits. Too low: the same host is dialled twice at once. Too high: a
/// lost outcome stops the dialling of that host for long.
const DIAL_LOST: Duration = Duration::from_secs(30);

/// Addresses kept of one peer. Unit: addresses. Too low: a peer with many networks is not reached
/// by all. Too high: memory, and one dial tries them all at once.
const ADDRESSES_MAX: usize = 8;

/// What is kept connected: a peer, at whichever address, or whoever is at an address that was given
/// without a peer id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Whom {
    Peer(PeerId),
    At(Multiaddr),
}

struct Target {
    addresses: Vec<Multiaddr>,
    peer: Option<PeerId>,
    next: Duration,
    pause: Duration,
    /// Whether the network knows all the addresses of the connected peer.
    offered: bool,
}

impl Target {
    /// Whether a connected peer is to be dialled all the same: the network then finds out which
    /// transport is faster.
    fn is_unoffered(&self) -> bool {
        !self.offered && self.addresses.len() > 1
    }
}

/// The peers that should stay connected.
pub(super) struct Dialer {
    first: Duration,
    max: Duration,
    random: StdRng,
    targets: BTreeMap<Whom, Target>,
}

impl Dialer {
    pub(super) fn new(first: Duration, max: Duration, seed: u64) -> Self {
        Self { first, max, random: StdRng::seed_from_u64(seed), targets: BTreeMap::new() }
    }

    /// Keeps the peer at `address` connected from now on. Addresses with the same peer id are one
    /// peer's; what is more than eight of them is ignored.
    pub(super) fn add(&mut self, address: Multiaddr) {
        let target = self.targets.entry(whom(&address)).or_insert_with(|| Target {
            addresses: Vec::new(),
            peer: peer_of(&address),
            next: Duration::ZERO,
            pause: self.first,
            offered: false,
        });
        if !target.addresses.contains(&address) && target.addresses.len() < ADDRESSES_MAX {
            target.addresses.push(address);
            target.offered = false;
        }
    }

    /// What to dial now, the addresses of one peer together: those not connected whose pause is
    /// over, and those connected of which the network does not know all addresses.
    pub(super) fn due(
        &mut self,
        now: Duration,
        connected: impl Fn(&PeerId) -> bool,
    ) -> Vec<Vec<Multiaddr>> {
        let mut due = Vec::new();
        for target in self.targets.values_mut() {
            if target.peer.as_ref().is_some_and(&connected) {
                target.pause = self.first;
                target.next = now + self.first;
                if !target.is_unoffered() {
                    continue;
                }
            } else if target.next <= now {
                target.next = now + DIAL_LOST;
            } else {
                continue;
            }
            target.offered = true;
            due.push(target.addresses.clone());
        }
        due
    }

    /// An address that was given without a peer id turned out to be this peer's.
    pub(super) fn connected(&mut self, address: &Multiaddr, peer: PeerId) {
        if let Some(target) = self.targets.get_mut(&Whom::At(without_peer(address))) {
            target.peer = Some(peer);
        }
    }

    /// The last connection to a peer is gone, and what the network knew of it.
    pub(super) fn disconnected(&mut self, peer: PeerId) {
        if let Some(target) = self.targets.get_mut(&Whom::Peer(peer)) {
            target.offered = false;
        }
    }

    /// A dial failed: the next one waits, about twice as long as before. Half of the pause is left
    /// to chance, so that many nodes do not come back to a host all at once.
    pub(super) fn failed(&mut self, now: Duration, addresses: &[Multiaddr]) {
        let Some(whom) = addresses.first().map(whom) else { return };
        if let Some(target) = self.targets.get_mut(&whom) {
            target.next = now + self.random.random_range(target.pause / 2..=target.pause);
            target.pause = (target.pause * 2).min(self.max);
        }
    }
}

fn whom(address: &Multiaddr) -> Whom {
    peer_of(address).map_or_else(|| Whom::At(address.clone()), Whom::Peer)
}

fn peer_of(address: &Multiaddr) -> Option<PeerId> {
    let last = address.iter().last();
    if let Some(Protocol::P2p(peer)) = last { Some(peer) } else { None }
}

fn without_peer(address: &Multiaddr) -> Multiaddr {
    address.iter().filter(|part| !matches!(part, Protocol::P2p(_))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn dialer() -> (Dialer, Multiaddr, PeerId) {
        let peer = PeerId::random();
        let address: Multiaddr = format!("/ip4/127.0.0.1/tcp/1/p2p/{peer}").parse().unwrap();
        let mut dialer = Dialer::new(SECOND, 4 * SECOND, 1);
        dialer.add(address.clone());
        (dialer, address, peer)
    }

    #[test]
    fn dials_at_once_and_waits_longer_after_each_failure() {
        let (mut dialer, address, _) = dialer();
        let mut now = Duration::ZERO;
        for pause in [1, 2, 4, 4] {
            assert_eq!(dialer.due(now, |_| false), [[address.clone()]]);
            assert!(dialer.due(now, |_| false).is_empty(), "dialled twice");
            dialer.failed(now, std::slice::from_ref(&address));
            let half = SECOND * pause / 2;
            assert!(dialer.due(now + half - Duration::from_millis(1), |_| false).is_empty());
            now += 2 * half;
        }
    }

    #[test]
    fn nodes_that_lost_a_host_at_once_come_back_at_different_times() {
        let returns = |seed| {
            let (_, address, peer) = dialer();
            let mut dialer = Dialer::new(SECOND, 4 * SECOND, seed);
            dialer.add(address.clone());
            dialer.due(Duration::ZERO, |_| false);
            dialer.failed(Duration::ZERO, &[address]);
            dialer.targets[&Whom::Peer(peer)].next
        };
        assert_eq!(returns(1), returns(1));
        assert_ne!(returns(1), returns(2));
    }

    #[test]
    fn address_without_a_peer_id_learns_it_from_the_connection() {
        let mut dialer = Dialer::new(SECOND, 4 * SECOND, 1);
        dialer.add("/ip4/127.0.0.1/tcp/1".parse().unwrap());
        let peer = PeerId::random();
        let reached = format!("/ip4/127.0.0.1/tcp/1/p2p/{peer}").parse().unwrap();
        dialer.connected(&reached, peer);
        assert!(dialer.due(SECOND, |other| *other == peer).is_empty());
    }

    #[test]
    fn connected_peer_is_not_dialled_and_soon_after_it_left_it_is() {
        let (mut dialer, address, peer) = dialer();
        dialer.failed(Duration::ZERO, std::slice::from_ref(&address));
        let now = 10 * SECOND;
        assert!(dialer.due(now, |other| *other == peer).is_empty());
        assert_eq!(dialer.due(now + SECOND, |_| false), [[address]]);
    }

    #[test]
    fn addresses_of_one_peer_are_dialled_together_and_fail_together() {
        let (mut dialer, tcp, peer) = dialer();
        let quic: Multiaddr = format!("/ip4/127.0.0.1/udp/1/quic-v1/p2p/{peer}").parse().unwrap();
        let other: Multiaddr = "/ip4/127.0.0.1/tcp/2".parse().unwrap();
        for address in [&quic, &other, &tcp] {
            dialer.add(address.clone());
        }
        let both = vec![tcp, quic];
        assert_eq!(dialer.due(Duration::ZERO, |_| false), [both.clone(), vec![other]]);
        dialer.failed(Duration::ZERO, &both);
        assert_eq!(dialer.due(SECOND, |_| false), [both]);
    }

    #[test]
    fn another_address_of_a_connected_peer_is_dialled_once_for_each_time_it_connects() {
        let (mut dialer, tcp, peer) = dialer();
        dialer.due(Duration::ZERO, |_| false);
        let quic: Multiaddr = format!("/ip4/127.0.0.1/udp/1/quic-v1/p2p/{peer}").parse().unwrap();
        dialer.add(quic.clone());
        let both = vec![tcp, quic];
        for _ in 0..2 {
            assert_eq!(dialer.due(SECOND, |_| true), std::slice::from_ref(&both));
            assert!(dialer.due(SECOND, |_| true).is_empty());
            dialer.disconnected(peer);
        }
    }

    #[test]
    fn addresses_kept_of_a_peer_are_bounded() {
        let (mut dialer, _, peer) = dialer();
        for port in 1..100 {
            dialer.add(format!("/ip4/127.0.0.1/tcp/{port}/p2p/{peer}").parse().unwrap());
        }
        assert_eq!(dialer.due(Duration::ZERO, |_| false)[0].len(), ADDRESSES_MAX);
    }
}
