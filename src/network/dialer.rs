//! Whom to dial and when. Pure.

use std::{collections::BTreeMap, time::Duration};

use libp2p::multiaddr::Protocol;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

use crate::types::{Multiaddr, PeerId};

/// How long a dial may stay without an outcome before it counts as failed. Unit: time. Longer
/// than the transports' own limits. Too low: the same host is dialled twice at once. Too high: a
/// lost outcome stops the dialling of that host for long.
const DIAL_LOST: Duration = Duration::from_secs(30);

struct Target {
    peer: Option<PeerId>,
    next: Duration,
    pause: Duration,
}

/// The addresses that should stay connected.
pub(super) struct Dialer {
    first: Duration,
    max: Duration,
    random: StdRng,
    targets: BTreeMap<Multiaddr, Target>,
}

impl Dialer {
    pub(super) fn new(first: Duration, max: Duration, seed: u64) -> Self {
        Self { first, max, random: StdRng::seed_from_u64(seed), targets: BTreeMap::new() }
    }

    /// Keeps `address` connected from now on.
    pub(super) fn add(&mut self, address: Multiaddr) {
        let (peer, first) = (peer_of(&address), self.first);
        self.targets.entry(address).or_insert(Target { peer, next: Duration::ZERO, pause: first });
    }

    /// Addresses to dial now: those not connected whose pause is over.
    pub(super) fn due(
        &mut self,
        now: Duration,
        connected: impl Fn(&PeerId) -> bool,
    ) -> Vec<Multiaddr> {
        let mut due = Vec::new();
        for (address, target) in &mut self.targets {
            if target.peer.as_ref().is_some_and(&connected) {
                target.pause = self.first;
                target.next = now + self.first;
            } else if target.next <= now {
                target.next = now + DIAL_LOST;
                due.push(address.clone());
            }
        }
        due
    }

    /// An address that was given without a peer id turned out to be this peer's.
    pub(super) fn connected(&mut self, address: &Multiaddr, peer: PeerId) {
        let bare = without_peer(address);
        for (known, target) in &mut self.targets {
            if peer_of(known).is_none() && without_peer(known) == bare {
                target.peer = Some(peer);
            }
        }
    }

    /// A dial failed: the next one waits, about twice as long as before. Half of the pause is left
    /// to chance, so that many nodes do not come back to a host all at once.
    pub(super) fn failed(&mut self, now: Duration, address: &Multiaddr) {
        if let Some(target) = self.targets.get_mut(address) {
            target.next = now + self.random.random_range(target.pause / 2..=target.pause);
            target.pause = (target.pause * 2).min(self.max);
        }
    }
}

fn peer_of(address: &Multiaddr) -> Option<PeerId> {
    address.iter().find_map(|part| {
        let Protocol::P2p(peer) = part else { return None };
        Some(peer)
    })
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
            assert_eq!(dialer.due(now, |_| false), std::slice::from_ref(&address));
            assert!(dialer.due(now, |_| false).is_empty(), "dialled twice");
            dialer.failed(now, &address);
            let half = SECOND * pause / 2;
            assert!(dialer.due(now + half - Duration::from_millis(1), |_| false).is_empty());
            now += 2 * half;
        }
    }

    #[test]
    fn nodes_that_lost_a_host_at_once_come_back_at_different_times() {
        let returns = |seed| {
            let (_, address, _) = dialer();
            let mut dialer = Dialer::new(SECOND, 4 * SECOND, seed);
            dialer.add(address.clone());
            dialer.due(Duration::ZERO, |_| false);
            dialer.failed(Duration::ZERO, &address);
            dialer.targets[&address].next
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
        dialer.failed(Duration::ZERO, &address);
        let now = 10 * SECOND;
        assert!(dialer.due(now, |other| *other == peer).is_empty());
        assert_eq!(dialer.due(now + SECOND, |_| false), [address]);
    }
}
