//! One simulated peer: who it is, how it is reached, how it behaves.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use alys_sync::{
    types::{Height, Multiaddr, PeerId},
    wire::request::BlocksByRangeRequest,
};
use rand::{SeedableRng as _, rngs::StdRng};
use tokio::time::Instant;

use super::{Link, LinkSpeed, Outage, Reply, outage::Dial};
use crate::{
    adversaries::{Ask, Behaviour, Honest},
    fixture::Fixture,
    plan::PeerPlan,
    trace::PeerIndex,
};

/// A peer.
pub struct SimPeer {
    /// Its place in the plan.
    pub index: PeerIndex,
    /// Its identity.
    pub id: PeerId,
    /// Where it is dialled.
    pub address: Multiaddr,
    /// Its link.
    pub link: Link,
    faulty: LinkSpeed,
    healed: LinkSpeed,
    state: Mutex<State>,
}

struct State {
    behaviour: Box<dyn Behaviour>,
    rng: StdRng,
    away_until: Option<Instant>,
    outage: Option<Outage>,
}

/// The identity of the peer at this place: as if its public key were this number.
pub fn peer_id(index: PeerIndex) -> PeerId {
    // An identity multihash (0x00) over 36 bytes: a key of type (0x08) Ed25519 (1), of (0x12) 32.
    let mut bytes = [0_u8; 38];
    bytes[..6].copy_from_slice(&[0x00, 36, 0x08, 0x01, 0x12, 32]);
    bytes[6..14].copy_from_slice(&(index.0 as u64 + 1).to_be_bytes());
    PeerId::from_bytes(&bytes).expect("the bytes are those of an identity multihash")
}

impl SimPeer {
    /// The peer that `plan` describes, reached over links of these speeds.
    pub fn new(index: PeerIndex, plan: &PeerPlan, healed: LinkSpeed) -> Self {
        let id = peer_id(index);
        let address = format!("/ip4/10.0.0.{}/tcp/4001/p2p/{id}", index.0 + 1)
            .parse()
            .expect("an address of well-formed parts");
        let state = State {
            behaviour: plan.role.behaviour(),
            rng: StdRng::seed_from_u64(plan.seed),
            away_until: None,
            outage: None,
        };
        Self {
            index,
            id,
            address,
            link: Link::idle(),
            faulty: plan.speed,
            healed,
            state: Mutex::new(state),
        }
    }

    /// The present speed of its link.
    pub fn speed(&self, healed: bool) -> LinkSpeed {
        if healed { self.healed } else { self.faulty }
    }

    /// Whether it does not accept connections now.
    pub fn is_away(&self) -> bool {
        self.with(|state| state.away_until.is_some_and(|until| Instant::now() < until))
    }

    /// Nothing gets through to it during `outage`.
    pub fn cut_off(&self, outage: Outage) {
        self.with(|state| state.outage = Some(outage));
    }

    /// When that arrives which would arrive at `at` over a connection opened at `opened`.
    pub(super) fn arrival(&self, at: Instant, opened: Instant) -> Instant {
        let outage = self.with(|state| state.outage);
        outage.map_or(at, |outage| outage.arrival(at, opened))
    }

    /// What a dial comes to that began at `begun` and would reach it now.
    pub(super) fn dialled(&self, begun: Instant) -> Dial {
        let now = Instant::now();
        let outage = self.with(|state| state.outage).filter(|outage| outage.covers(now));
        outage.map_or(Dial::Reaches(now), |outage| outage.dial(begun, now))
    }

    /// What it sends in reply, with the network's head at `head`.
    pub fn answer(&self, fixture: &Fixture, head: Height, request: BlocksByRangeRequest) -> Reply {
        self.with(|state| state.behaviour.answer(&Ask { fixture, head, request }, &mut state.rng))
    }

    /// Whether it closes its connection now. Then it stays away for a while.
    pub fn leaves(&self) -> bool {
        self.with(|state| {
            let away: Option<Duration> = state.behaviour.leaves(&mut state.rng);
            state.away_until = away.map(|away| Instant::now() + away).or(state.away_until);
            away.is_some()
        })
    }

    /// Makes it honest and present.
    pub fn heal(&self) {
        self.with(|state| {
            state.behaviour = Box::new(Honest);
            state.away_until = None;
        });
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adversaries::Role;

    #[test]
    fn identities_differ_and_survive_an_address() {
        let ids: Vec<_> = (0..20).map(|index| peer_id(PeerIndex(index))).collect();
        for (at, id) in ids.iter().enumerate() {
            assert_eq!(id.to_string().parse::<PeerId>().unwrap(), *id);
            assert!(!ids[..at].contains(id));
        }
        let plan = PeerPlan {
            role: Role::Honest,
            seed: 1,
            speed: LinkSpeed { delay: Duration::ZERO, bytes_per_second: 1 },
        };
        let peer = SimPeer::new(PeerIndex(3), &plan, plan.speed);
        assert!(peer.address.to_string().ends_with(&peer.id.to_string()));
    }
}
