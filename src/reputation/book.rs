//! The decisions of reputation: who is usable, from what is known of each. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::Evidence;
use crate::{
    ports::RequestError,
    resilience::ProbeAnswer,
    selection::{Standing, ip_of},
    types::{BlockRoot, Multiaddr, PeerId, Transport},
};

/// Score of a peer nobody knows, in thousandths: neutral parts and clean behaviour, weighted.
const SCORE_START: u16 = 575;
/// A delivery closes this part of the distance to 1000.
const SCORE_GAIN: u16 = 8;
/// A failure takes this part of the score.
const SCORE_LOSS: u16 = 4;
/// Bad pieces of replies after which a provable liar is out. One could be a broken memory cell;
/// three are not. Too low: a fluke bans. Too high: more is verified in vain.
const LIES_MAX: u32 = 3;
/// First pause before a peer that did not answer the check is checked again; doubles.
const CHECK_AGAIN_FIRST: Duration = Duration::from_millis(500);
/// Longest such pause.
const CHECK_AGAIN_MAX: Duration = Duration::from_secs(15);
/// Peers remembered while not connected. Unit: peers. Too low: bans are forgotten. Too high:
/// memory that anybody with many identities can fill.
const REMEMBERED_MAX: usize = 1_024;

/// Where a peer stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum PeerState {
    /// Connected; its chain is being checked.
    Checking,
    /// May be asked.
    Usable,
    /// Serves another chain.
    OtherChain {
        /// The genesis its block 1 names.
        genesis: BlockRoot,
    },
    /// Does not speak the protocol.
    Unsupported,
    /// Kept out for provable lies.
    Banned,
    /// Not connected.
    Gone,
}

/// One peer, as shown to people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerStatus {
    /// Who.
    pub peer: String,
    /// Where.
    pub address: String,
    /// What its requests go over; none where the address does not say.
    pub transport: Option<Transport>,
    /// Where it stands.
    #[serde(flatten)]
    pub state: PeerState,
    /// Blocks it delivered that passed verification.
    pub blocks: u64,
    /// Blocks it delivered that did not.
    pub failed_blocks: u64,
    /// Bytes it delivered.
    pub bytes: u64,
    /// Requests it failed.
    pub failures: u64,
    /// Score in thousandths.
    pub score: u16,
}

/// All peers at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PeerView {
    /// Who may be asked, and what is known of each.
    pub usable: BTreeMap<PeerId, Standing>,
    /// How many are still being checked.
    pub checking: usize,
    /// How many are kept out for provable lies.
    pub banned: usize,
    /// One that serves another chain, and that chain's genesis.
    pub other_chain: Option<(PeerId, BlockRoot)>,
    /// Everybody known.
    pub peers: Vec<PeerStatus>,
}

struct Record {
    address: Multiaddr,
    state: PeerState,
    score: u16,
    blocks: u64,
    failed_blocks: u64,
    bytes: u64,
    failures: u64,
    lies: u32,
    banned_until: Duration,
    check_failures: u32,
    check_at: Duration,
    check_open: bool,
}

impl Record {
    fn standing(&self) -> Standing {
        Standing { score: self.score, ip: ip_of(&self.address), ..Standing::default() }
    }
}

/// What follows from an observation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    /// Close the connection.
    Disconnect(PeerId),
}

/// Everything known of peers.
pub(super) struct PeerBook {
    genesis: BlockRoot,
    ban: Duration,
    records: BTreeMap<PeerId, Record>,
}

impl PeerBook {
    pub(super) fn new(genesis: BlockRoot, ban: Duration) -> Self {
        Self { genesis, ban, records: BTreeMap::new() }
    }

    /// A peer connected, or is reached at another address now.
    pub(super) fn connected(
        &mut self,
        now: Duration,
        peer: PeerId,
        address: Multiaddr,
    ) -> Option<Action> {
        let record = self.records.entry(peer).or_insert_with(|| Record {
            address: address.clone(),
            state: PeerState::Gone,
            score: SCORE_START,
            blocks: 0,
            failed_blocks: 0,
            bytes: 0,
            failures: 0,
            lies: 0,
            banned_until: Duration::ZERO,
            check_failures: 0,
            check_at: now,
            check_open: false,
        });
        record.address = address;
        if now < record.banned_until {
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

    /// Peers whose chain is to be checked now. Each is returned once, until its check is
    /// answered.
    pub(super) fn due_checks(&mut self, now: Duration) -> Vec<PeerId> {
        let mut due = Vec::new();
        for (peer, record) in &mut self.records {
            if record.state == PeerState::Checking && !record.check_open && record.check_at <= now {
                record.check_open = true;
                due.push(*peer);
            }
        }
        due
    }

    /// The answer to the request for block 1: its parent is the peer's genesis.
    pub(super) fn checked(
        &mut self,
        now: Duration,
        peer: PeerId,
        answer: ProbeAnswer,
    ) -> Option<Action> {
        let genesis = self.genesis;
        let record = self.records.get_mut(&peer)?;
        record.check_open = false;
        if record.state != PeerState::Checking {
            return None;
        }
        match answer {
            ProbeAnswer::Block(block) if block.parent == genesis => {
                record.state = PeerState::Usable;
            }
            ProbeAnswer::Block(block) => return Some(self.other_chain(now, peer, block.parent)),
            // It is at genesis, keeps no history, or closes early: nothing against it.
            ProbeAnswer::Nothing => record.state = PeerState::Usable,
            ProbeAnswer::Fault { parent: Some(parent), .. } if parent != genesis => {
                return Some(self.other_chain(now, peer, parent));
            }
            ProbeAnswer::Fault { fault, .. } if fault.is_provable_lie() => {
                return Some(self.ban(now, peer));
            }
            ProbeAnswer::Failed(RequestError::Unsupported) => {
                record.state = PeerState::Unsupported;
            }
            ProbeAnswer::Fault { .. } | ProbeAnswer::Failed(_) | ProbeAnswer::NoVerdict => {
                let pause = CHECK_AGAIN_FIRST.saturating_mul(1 << record.check_failures.min(16));
                record.check_failures += 1;
                record.check_at = now + pause.min(CHECK_AGAIN_MAX);
            }
        }
        None
    }

    /// Takes in an observation.
    pub(super) fn observe(
        &mut self,
        now: Duration,
        peer: PeerId,
        evidence: &Evidence,
    ) -> Option<Action> {
        let record = self.records.get_mut(&peer)?;
        match evidence {
            Evidence::Delivered { blocks, failed, bytes } => {
                record.failed_blocks += failed;
                record.blocks += blocks;
                record.bytes += bytes;
                if *blocks > 0 {
                    record.score += (1_000 - record.score) / SCORE_GAIN;
                }
            }
            Evidence::Failed(_) => {
                record.failures += 1;
                record.score -= record.score / SCORE_LOSS;
            }
            Evidence::Useless(_) | Evidence::NotLinked => {
                record.score -= record.score / SCORE_LOSS;
            }
            Evidence::Lied(_) => {
                record.score -= record.score / SCORE_LOSS;
                // Replies that were under way when it was banned are not held against it again.
                if record.state == PeerState::Banned {
                    return None;
                }
                record.lies += 1;
                if record.lies >= LIES_MAX {
                    return Some(self.ban(now, peer));
                }
            }
        }
        None
    }

    /// Who may be asked, and what is known of each.
    pub(super) fn usable(&self) -> BTreeMap<PeerId, Standing> {
        self.records
            .iter()
            .filter(|(_, record)| record.state == PeerState::Usable)
            .map(|(peer, record)| (*peer, record.standing()))
            .collect()
    }

    /// Who is kept out for lies.
    pub(super) fn banned(&self) -> BTreeSet<PeerId> {
        let banned = self.records.iter().filter(|(_, record)| record.state == PeerState::Banned);
        banned.map(|(peer, _)| *peer).collect()
    }

    /// Everything, for people and for the coordinator.
    pub(super) fn view(&self) -> PeerView {
        let mut view = PeerView::default();
        for (peer, record) in &self.records {
            match &record.state {
                PeerState::Usable => {
                    view.usable.insert(*peer, record.standing());
                }
                PeerState::Checking => view.checking += 1,
                PeerState::OtherChain { genesis } => view.other_chain = Some((*peer, *genesis)),
                PeerState::Banned => view.banned += 1,
                PeerState::Unsupported | PeerState::Gone => {}
            }
            view.peers.push(PeerStatus {
                peer: peer.to_string(),
                address: record.address.to_string(),
                transport: Transport::of(&record.address),
                state: record.state.clone(),
                blocks: record.blocks,
                failed_blocks: record.failed_blocks,
                bytes: record.bytes,
                failures: record.failures,
                score: record.score,
            });
        }
        view
    }

    fn other_chain(&mut self, now: Duration, peer: PeerId, genesis: BlockRoot) -> Action {
        if let Some(record) = self.records.get_mut(&peer) {
            record.state = PeerState::OtherChain { genesis };
            record.banned_until = now + self.ban;
        }
        Action::Disconnect(peer)
    }

    fn ban(&mut self, now: Duration, peer: PeerId) -> Action {
        if let Some(record) = self.records.get_mut(&peer) {
            record.state = PeerState::Banned;
            record.lies = 0;
            record.banned_until = now + self.ban;
        }
        Action::Disconnect(peer)
    }

    /// Keeps the memory bounded: who is of no use now and delivered least is forgotten first. A
    /// liar is remembered until its ban is over; a peer of another chain only costs a check.
    fn forget(&mut self, now: Duration) {
        while self.records.len() > REMEMBERED_MAX {
            let least = self
                .records
                .iter()
                .filter(|(_, record)| match record.state {
                    PeerState::Gone | PeerState::OtherChain { .. } => true,
                    PeerState::Banned => record.banned_until <= now,
                    PeerState::Checking | PeerState::Usable | PeerState::Unsupported => false,
                })
                .min_by_key(|(peer, record)| (record.blocks, **peer))
                .map(|(peer, _)| *peer);
            let Some(least) = least else { return };
            self.records.remove(&least);
        }
    }
}

#[cfg(test)]
#[path = "book_tests.rs"]
mod tests;
