//! The decisions of reputation: who is usable and who is kept out, from what is known of each.
//! Pure. All times are since the Unix epoch, and never go back while the node runs.

mod bans;
mod checks;
mod evidence;
mod memory;
mod showing;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{PeerState, ReputationSettings, attempts::Attempts, record::Record};
use crate::{
    selection::Standing,
    types::{BlockRoot, Multiaddr, PeerId},
};

/// Verified blocks after which a probation ends. Unit: blocks. Too low: a liar buys itself free
/// with one good reply. Too high: an honest newcomer at a liar's address is one fluke from a ban.
const PROBATION_BLOCKS: u64 = 1_024;

/// What follows from an observation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    /// Close the connection.
    Disconnect(PeerId),
}

/// Everything known of peers.
pub(super) struct PeerBook {
    genesis: BlockRoot,
    settings: ReputationSettings,
    records: BTreeMap<PeerId, Record>,
    attempts: Attempts,
    forgotten: Vec<PeerId>,
}

impl PeerBook {
    pub(super) fn new(genesis: BlockRoot, settings: ReputationSettings) -> Self {
        Self {
            genesis,
            settings,
            records: BTreeMap::new(),
            attempts: Attempts::default(),
            forgotten: Vec::new(),
        }
    }

    /// A peer connected, or is reached at another address now.
    pub(super) fn connected(
        &mut self,
        now: Duration,
        peer: PeerId,
        address: Multiaddr,
    ) -> Option<Action> {
        let suspect = !self.records.contains_key(&peer) && self.is_banned_address(now, &address);
        let record = self.records.entry(peer).or_insert_with(|| Record::new(now, address.clone()));
        record.address = address;
        if suspect {
            record.put_on_probation(now, PROBATION_BLOCKS, &self.settings);
        }
        if record.is_banned(now) || now < record.elsewhere_until {
            // A liar or a peer of another chain, and shown as what it is until it is checked anew.
            return Some(Action::Disconnect(peer));
        }
        if matches!(
            record.state,
            PeerState::Gone | PeerState::Banned | PeerState::OtherChain { .. }
        ) {
            record.state = PeerState::Checking;
            record.check_failures = 0;
            record.check_at = now;
            record.check_open = false;
        }
        None
    }

    /// The last connection to a peer is gone.
    pub(super) fn disconnected(&mut self, now: Duration, peer: PeerId) {
        if let Some(record) = self.records.get_mut(&peer)
            && matches!(
                record.state,
                PeerState::Checking | PeerState::Usable | PeerState::Unsupported
            )
        {
            record.state = PeerState::Gone;
        }
        self.forget(now);
    }

    /// Exactly `connected` are connected.
    pub(super) fn reset(
        &mut self,
        now: Duration,
        connected: Vec<(PeerId, Multiaddr)>,
    ) -> Vec<Action> {
        let gone: Vec<_> = self
            .records
            .keys()
            .filter(|peer| !connected.iter().any(|(other, _)| other == *peer))
            .copied()
            .collect();
        gone.into_iter().for_each(|peer| self.disconnected(now, peer));
        connected
            .into_iter()
            .filter_map(|(peer, address)| self.connected(now, peer, address))
            .collect()
    }

    /// Who may be asked, and what is known of each.
    pub(super) fn usable(&self) -> BTreeMap<PeerId, Standing> {
        let weights = self.settings.weights;
        self.records
            .iter()
            .filter(|(_, record)| record.state == PeerState::Usable)
            .map(|(peer, record)| (*peer, record.standing(weights)))
            .collect()
    }

    /// Who is connected and worth it.
    pub(super) fn connected_peers(&self) -> BTreeSet<PeerId> {
        let connected = self.records.iter().filter(|(_, record)| {
            matches!(record.state, PeerState::Checking | PeerState::Usable | PeerState::Unsupported)
        });
        connected.map(|(peer, _)| *peer).collect()
    }

    /// How long `peer` usually takes to answer, where that was measured.
    pub(super) fn usual_wait(&self, peer: &PeerId) -> Option<Duration> {
        Duration::try_from_secs_f64(self.records.get(peer)?.figures.latency?).ok()
    }
}

#[cfg(test)]
mod tests;
