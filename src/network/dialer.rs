//! Whom to dial and when. Pure.
//!
//! Three kinds of peers are kept connected: those named with their peer id, whoever is at an
//! address named without one, and those found on the local network, which are bounded in number
//! and forgotten when they are heard of no more.
//!
//! A dial that fails, and a connection that ends soon, make the next pause longer. While our own
//! link is cut nobody is at fault: pauses stay short, so that the link's return is noticed soon.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use libp2p::multiaddr::Protocol;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

use crate::{
    config::PeerSettings,
    types::{Multiaddr, PeerId, Transport},
};

/// How long a dial may stay without an outcome before it counts as failed. Unit: time. Longer
/// than the transports' own limits. Too low: the same host is dialled twice at once. Too high: a
/// lost outcome stops the dialling of that host for long.
const DIAL_LOST: Duration = Duration::from_secs(30);

/// Addresses kept of one peer. Unit: addresses. Too low: a peer with many networks is not reached
/// by all. Too high: memory, and one dial tries them all at once.
const ADDRESSES_MAX: usize = 8;

/// How long a connection must have lasted for the peer to be dialled again at once when it ends.
/// Unit: time. Too low: a peer that lets us in and closes, because it is full or will have nothing
/// to do with us, is dialled all the time. Too high: one that was lost early is missed for longer.
const LASTING: Duration = Duration::from_secs(10);

/// Peers found on the local network that are dialled at one look. Unit: peers. Too low: many
/// neighbours are met slowly. Too high: whoever announces peers that are none makes us dial more.
const FOUND_AT_ONCE_MAX: usize = 4;

/// What is kept connected: a peer, at whichever address, or whoever is at an address that was given
/// without a peer id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Whom {
    Peer(PeerId),
    At(Multiaddr),
}

struct Target {
    addresses: Vec<Multiaddr>,
    /// Those of the addresses that nobody named, and whether they are still heard of.
    found: BTreeMap<Multiaddr, bool>,
    peer: Option<PeerId>,
    next: Duration,
    pause: Duration,
    /// Whether the network knows all the addresses of the connected peer.
    offered: bool,
    connected_since: Option<Duration>,
    /// Its place in the order in which targets came.
    number: u64,
}

impl Target {
    /// Whether a connected peer is to be dialled all the same: the network then finds out which
    /// transport is faster.
    fn is_unoffered(&self) -> bool {
        !self.offered && self.addresses.len() > 1
    }

    /// Whether nobody named it.
    fn is_found(&self) -> bool {
        self.addresses.len() == self.found.len()
    }

    fn add(&mut self, address: Multiaddr) -> bool {
        let new = !self.addresses.contains(&address) && self.addresses.len() < ADDRESSES_MAX;
        if new {
            self.addresses.push(address);
            self.offered = false;
        }
        new
    }

    /// The next dial waits, and the one after it about twice as long. Half of the pause is left to
    /// chance, so that many nodes do not come back to a host all at once.
    fn wait(&mut self, now: Duration, longest: Duration, random: &mut StdRng) {
        let pause = self.pause.min(longest);
        self.next = now + random.random_range(pause / 2..=pause);
        self.pause = (pause * 2).min(longest);
    }

    /// Forgets the addresses that are heard of no more.
    fn forget_expired(&mut self) {
        self.found.retain(|address, heard_of| {
            if !*heard_of {
                self.addresses.retain(|known| known != address);
            }
            *heard_of
        });
    }
}

/// The peers that should stay connected.
pub(super) struct Dialer {
    first: Duration,
    max: Duration,
    cut_max: Duration,
    found_max: usize,
    random: StdRng,
    targets: BTreeMap<Whom, Target>,
    refused: BTreeSet<PeerId>,
    link_cut: bool,
    next_number: u64,
}

impl Dialer {
    pub(super) fn new(settings: &PeerSettings, seed: u64) -> Self {
        Self {
            first: settings.redial_first,
            max: settings.redial_max,
            cut_max: settings.redial_cut_max,
            found_max: settings.discovered_max,
            random: StdRng::seed_from_u64(seed),
            targets: BTreeMap::new(),
            refused: BTreeSet::new(),
            link_cut: false,
            next_number: 0,
        }
    }

    /// Keeps the peer at `address` connected from now on. Addresses with the same peer id are one
    /// peer's; what is more than eight of them is ignored.
    pub(super) fn add(&mut self, address: Multiaddr) {
        let target = self.target(&address);
        // Named at last: it stays.
        target.found.remove(&address);
        target.add(address);
    }

    /// A peer was found at `address`, which ends with its peer id. It is kept connected until
    /// [`Self::expired`]. Where that are too many, the one found first and not connected goes.
    pub(super) fn discovered(&mut self, address: Multiaddr) {
        let whom = whom(&address);
        if !matches!(whom, Whom::Peer(_)) || Transport::of(&address).is_none() {
            return;
        }
        if !self.targets.contains_key(&whom) && !self.make_room() {
            return;
        }
        let target = self.target(&address);
        if target.add(address.clone()) || target.found.contains_key(&address) {
            target.found.insert(address, true);
        }
    }

    /// A peer that was found is heard of at `address` no more. That is forgotten, once it is not
    /// connected; unless somebody named it.
    pub(super) fn expired(&mut self, address: &Multiaddr) {
        let whom = whom(address);
        let Some(target) = self.targets.get_mut(&whom) else { return };
        if let Some(heard_of) = target.found.get_mut(address) {
            *heard_of = false;
        }
        if target.connected_since.is_none() {
            self.forget_expired(&whom);
        }
    }

    /// What to dial now, the addresses of one peer together: those not connected whose pause is
    /// over, and those connected of which the network does not know all addresses.
    pub(super) fn due(
        &mut self,
        now: Duration,
        connected: impl Fn(&PeerId) -> bool,
    ) -> Vec<Vec<Multiaddr>> {
        let outcome_within = if self.link_cut { self.cut_max } else { DIAL_LOST };
        let mut due = Vec::new();
        let mut found_left = FOUND_AT_ONCE_MAX;
        for target in self.targets.values_mut() {
            if target.peer.as_ref().is_some_and(&connected) {
                target.connected_since.get_or_insert(now);
                if !target.is_unoffered() {
                    continue;
                }
            } else if target.peer.is_some_and(|peer| self.refused.contains(&peer)) {
                continue;
            } else if target.next <= now {
                if target.is_found() {
                    match found_left.checked_sub(1) {
                        Some(left) => found_left = left,
                        None => continue,
                    }
                }
                target.next = now + outcome_within;
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
    pub(super) fn disconnected(&mut self, now: Duration, peer: PeerId) {
        let longest = self.longest_pause();
        for target in self.targets.values_mut().filter(|target| target.peer == Some(peer)) {
            target.offered = false;
            let since = target.connected_since.take();
            if self.link_cut {
                target.next = now;
                continue;
            }
            if since.is_some_and(|since| now >= since + LASTING) {
                target.pause = self.first;
            }
            target.wait(now, longest, &mut self.random);
        }
        self.forget_expired(&Whom::Peer(peer));
    }

    /// A dial failed: the next one waits. It is no failure that somebody is there who is `refused`:
    /// then it waits until that ends.
    pub(super) fn failed(
        &mut self,
        now: Duration,
        addresses: &[Multiaddr],
        refused: Option<PeerId>,
    ) {
        let Some(whom) = addresses.first().map(whom) else { return };
        let longest = self.longest_pause();
        let Some(target) = self.targets.get_mut(&whom) else { return };
        target.peer = refused.or(target.peer);
        if refused.is_none() {
            target.wait(now, longest, &mut self.random);
        } else {
            target.next = now;
        }
    }

    /// Exactly these are not dialled from now on. Who was among them and is no more is dialled at
    /// once.
    pub(super) fn refuse(&mut self, now: Duration, peers: BTreeSet<PeerId>) {
        for target in self.targets.values_mut() {
            let was = |peers: &BTreeSet<PeerId>| target.peer.is_some_and(|p| peers.contains(&p));
            if was(&self.refused) && !was(&peers) {
                target.pause = self.first;
                target.next = now;
            }
        }
        self.refused = peers;
    }

    /// Our own link is taken for cut, or is no more: everybody who is not connected is dialled now.
    pub(super) fn set_link_cut(&mut self, now: Duration, cut: bool) {
        self.link_cut = cut;
        for target in self.targets.values_mut() {
            target.pause = self.first;
            target.next = now;
        }
    }

    fn target(&mut self, address: &Multiaddr) -> &mut Target {
        self.targets.entry(whom(address)).or_insert_with(|| {
            self.next_number += 1;
            Target {
                addresses: Vec::new(),
                found: BTreeMap::new(),
                peer: peer_of(address),
                next: Duration::ZERO,
                pause: self.first,
                offered: false,
                connected_since: None,
                number: self.next_number,
            }
        })
    }

    /// Makes room for a peer that was found. Whether there is any.
    fn make_room(&mut self) -> bool {
        let found = || self.targets.iter().filter(|(_, target)| target.is_found());
        if found().count() < self.found_max {
            return true;
        }
        let free = found().filter(|(_, target)| target.connected_since.is_none());
        let oldest = free.min_by_key(|(_, target)| target.number).map(|(whom, _)| whom.clone());
        oldest.is_some_and(|oldest| self.targets.remove(&oldest).is_some())
    }

    fn forget_expired(&mut self, whom: &Whom) {
        let Some(target) = self.targets.get_mut(whom) else { return };
        target.forget_expired();
        if target.addresses.is_empty() {
            self.targets.remove(whom);
        }
    }

    fn longest_pause(&self) -> Duration {
        if self.link_cut { self.cut_max } else { self.max }
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
#[path = "dialer_tests.rs"]
mod tests;
