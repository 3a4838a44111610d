//! Whom to dial and when. Pure.

use std::{collections::BTreeMap, time::Duration};

use libp2p::multiaddr::Protocol;

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
    targets: BTreeMap<Multiaddr, Target>,
}

impl Dialer {
    pub(super) fn new(first: Duration, max: Duration) -> Self {
        Self { first, max, targets: BTreeMap::new() }
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

    /// A dial failed: the next one waits, twice as long as before.
    pub(super) fn failed(&mut self, now: Duration, address: &Multiaddr) {
        if let Some(target) = self.targets.get_mut(address) {
            target.next = now + target.pause;
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
        let mut dialer = Dialer::new(SECOND, 4 * SECOND);
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
            now += SECOND * pause - Duration::from_millis(1);
            assert!(dialer.due(now, |_| false).is_empty());
            now += Duration::from_millis(1);
        }
    }

    #[test]
    fn address_without_a_peer_id_learns_it_from_the_connection() {
        let mut dialer = Dialer::new(SECOND, 4 * SECOND);
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
