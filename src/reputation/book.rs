//! The decisions of reputation: who is usable and who is kept out, from what is known of each.
//! Pure. All times are since the Unix epoch, and never go back while the node runs.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    Evidence, PeerState, PeerStatus, PeerView, ReputationSettings,
    attempts::Attempts,
    ban::{Ban, BanReason, Offences},
    consequences::{consequence, performance},
    evidence::EvidenceKind,
    record::{Record, StoredPeer},
    score::{Mass, Part},
    view::BanStatus,
};
use crate::{
    ports::RequestError,
    resilience::ProbeAnswer,
    selection::{Standing, ip_of},
    types::{BlockRoot, Height, Multiaddr, PeerId, Transport},
};

/// Bad pieces of replies after which a provable liar is out. One could be a broken memory cell;
/// three are not. Too low: a fluke bans. Too high: more is verified in vain.
const LIES_MAX: u32 = 3;
/// The same for a peer under probation.
const LIES_ON_PROBATION_MAX: u32 = 1;
/// Verified blocks after which a probation ends. Unit: blocks. Too low: a liar buys itself free
/// with one good reply. Too high: an honest newcomer at a liar's address is one fluke from a ban.
const PROBATION_BLOCKS: u64 = 1_024;
/// Behaviour under which one more misuse of our server puts a peer out. Unit: thousandths. Source:
/// more than four misuses that are not forgotten. Too low: a flood lasts longer. Too high: one bug
/// of an honest node is enough.
const BEHAVIOUR_MIN: u16 = 200;
/// Misuses that one report counts for at most. Too low: a flood lasts longer, as there is one
/// report a second. Too high: one burst is enough to put a peer out.
const MISUSES_COUNTED_MAX: u32 = 4;
/// First pause before a peer that did not answer the check is checked again; doubles.
const CHECK_AGAIN_FIRST: Duration = Duration::from_millis(500);
/// Longest such pause.
const CHECK_AGAIN_MAX: Duration = Duration::from_secs(15);
/// Peers remembered while not connected. Unit: peers. Too low: bans are forgotten. Too high:
/// memory that anybody with many identities can fill.
const REMEMBERED_MAX: usize = 1_024;

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

    /// Takes in what was stored before the start, under what was seen since; who must go.
    pub(super) fn restore(&mut self, now: Duration, stored: Vec<StoredPeer>) -> Vec<Action> {
        let mut actions = Vec::new();
        for stored in stored {
            let Some((peer, mut record)) = stored.restore(now, &self.settings) else {
                tracing::warn!("a stored peer has impossible figures and is not used");
                continue;
            };
            let banned = record.is_banned(now);
            if let Some(present) = self.records.remove(&peer) {
                record.address = present.address;
                record.state = if banned { PeerState::Banned } else { present.state };
                record.check_at = present.check_at;
                record.check_open = present.check_open;
                actions.extend(banned.then_some(Action::Disconnect(peer)));
            }
            self.records.insert(peer, record);
        }
        self.forget(now);
        actions
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
                return Some(self.ban(now, peer, BanReason::Lies));
            }
            ProbeAnswer::Failed(RequestError::Unsupported) => {
                record.state = PeerState::Unsupported;
            }
            ProbeAnswer::Fault { .. } | ProbeAnswer::Failed(_) | ProbeAnswer::NoVerdict => {
                let pause = CHECK_AGAIN_FIRST.saturating_mul(1 << record.check_failures.min(16));
                record.check_failures = record.check_failures.saturating_add(1);
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
        let kind = evidence.kind();
        match evidence {
            Evidence::Delivered { blocks, failed, bytes } => {
                record.blocks += blocks;
                record.failed_blocks += failed;
                record.bytes += bytes;
                record.probation = record.probation.saturating_sub(*blocks);
            }
            Evidence::Replied(reply) => {
                record.measure(reply);
                if let Some(seen) = performance(reply) {
                    record.score.add(now, self.settings.half_life, Part::Performance, seen);
                }
            }
            Evidence::Failed(_) => {
                record.failures += u64::from(kind != EvidenceKind::NoFault);
            }
            Evidence::NotLinked { block } => self.attempts.remember(peer, *block, kind),
            Evidence::Useless(fault) => {
                if let Some(block) = fault.fault.unlinked() {
                    self.attempts.remember(peer, block, kind);
                }
            }
            Evidence::Lied(_) => {}
            Evidence::Misused { times, .. } => {
                return self.count(now, peer, kind, (*times).min(MISUSES_COUNTED_MAX));
            }
        }
        self.count(now, peer, kind, 1)
    }

    /// Adds what follows from evidence of this kind, so many times over.
    fn count(
        &mut self,
        now: Duration,
        peer: PeerId,
        kind: EvidenceKind,
        times: u32,
    ) -> Option<Action> {
        let record = self.records.get_mut(&peer)?;
        let follows = consequence(kind);
        if kind == EvidenceKind::NoFault {
            // Says nothing either way.
            return None;
        }
        if follows.may_be_our_link {
            record.trouble(now);
        } else if kind != EvidenceKind::Delivered {
            // What is verified now may have come before the trouble.
            record.end_of_trouble();
        }
        for (part, mass) in follows.adds {
            let times = f64::from(times);
            let mass = Mass { good: mass.good * times, bad: mass.bad * times };
            record.score.add(now, self.settings.half_life, *part, mass);
        }
        tracing::trace!(%peer, ?kind, why = follows.why, score = ?record.score, "counted");
        record.changed = true;
        // What was under way when it was banned is not held against it again.
        if record.is_banned(now) {
            return None;
        }
        let out = match kind {
            EvidenceKind::Lied => {
                record.lies += 1;
                let most = if record.probation > 0 { LIES_ON_PROBATION_MAX } else { LIES_MAX };
                (record.lies >= most).then_some(BanReason::Lies)
            }
            EvidenceKind::MalformedRequest | EvidenceKind::TooManyRequests => {
                let behaviour = record.score.permille(Part::Behaviour);
                (behaviour < BEHAVIOUR_MIN).then_some(BanReason::Misuse)
            }
            EvidenceKind::Delivered
            | EvidenceKind::Completed
            | EvidenceKind::ClosedEarly
            | EvidenceKind::Empty
            | EvidenceKind::Silent
            | EvidenceKind::Cut
            | EvidenceKind::Refused
            | EvidenceKind::ProtocolBroken
            | EvidenceKind::Useless
            | EvidenceKind::NotLinked
            | EvidenceKind::Forked
            | EvidenceKind::NoFault => None,
        };
        out.map(|reason| self.ban(now, peer, reason))
    }

    /// The heights that questions are open of.
    pub(super) fn unsettled(&self) -> Vec<Height> {
        self.attempts.heights()
    }

    /// The block at `height` was imported, and this is its root: who sent it for this height when
    /// it did not fit is acquitted, who sent another serves a fork.
    pub(super) fn settle(&mut self, now: Duration, height: Height, root: BlockRoot) {
        let settled = self.attempts.settle(height, root);
        for (peer, kind, times) in settled.acquitted {
            for (part, mass) in consequence(kind).adds {
                if let Some(record) = self.records.get_mut(&peer) {
                    let taken = Mass { good: 0.0, bad: mass.bad * f64::from(times) };
                    record.score.take(now, self.settings.half_life, *part, taken);
                    record.changed = true;
                }
            }
        }
        for peer in settled.convicted {
            // A fork alone puts nobody out.
            let _ = self.count(now, peer, EvidenceKind::Forked, 1);
        }
    }

    /// Our own link was at fault since `since`: takes back what that did to anybody. How many.
    pub(super) fn take_back(&mut self, now: Duration, since: Duration) -> usize {
        let mut count = 0;
        for record in self.records.values_mut() {
            count += usize::from(record.take_back(since));
            record.check_at = record.check_at.min(now);
        }
        count
    }

    /// Ends the bans whose time has come.
    pub(super) fn expire(&mut self, now: Duration) {
        for record in self.records.values_mut() {
            if record.ban.is_some() && !record.is_banned(now) {
                record.ban = None;
                record.lies = 0;
                record.changed = true;
                record.put_on_probation(now, PROBATION_BLOCKS, &self.settings);
                if record.state == PeerState::Banned {
                    record.state = PeerState::Gone;
                }
            }
        }
    }

    /// Keeps `peer` out, known or not; how that shows.
    pub(super) fn ban_by_hand(
        &mut self,
        now: Duration,
        peer: PeerId,
        length: Option<Duration>,
    ) -> Action {
        self.records.entry(peer).or_insert_with(|| Record::new(now, Multiaddr::empty()));
        let action = self.ban(now, peer, BanReason::Operator);
        if let (Some(length), Some(record)) = (length, self.records.get_mut(&peer)) {
            let until = now.saturating_add(length);
            record.ban = Some(Ban { until, reason: BanReason::Operator });
        }
        self.forget(now);
        action
    }

    /// Ends the ban of `peer` and forgets its offences; whether there was one.
    pub(super) fn lift(&mut self, now: Duration, peer: PeerId) -> bool {
        let banned = self.records.get_mut(&peer).filter(|record| record.is_banned(now));
        let Some(record) = banned else { return false };
        record.ban = None;
        record.lies = 0;
        record.offences = Offences::default();
        record.probation = 0;
        record.changed = true;
        if record.state == PeerState::Banned {
            record.state = PeerState::Gone;
        }
        true
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

    /// Who is kept out, so that what they sent is not worth verifying.
    pub(super) fn banned(&self, now: Duration) -> BTreeSet<PeerId> {
        let banned = self.records.iter().filter(|(_, record)| record.is_banned(now));
        banned.map(|(peer, _)| *peer).collect()
    }

    /// Who is not worth a connection: the banned, and those of another chain for a while.
    pub(super) fn refused(&self, now: Duration) -> BTreeSet<PeerId> {
        let refused = self
            .records
            .iter()
            .filter(|(_, record)| record.is_banned(now) || now < record.elsewhere_until);
        refused.map(|(peer, _)| *peer).collect()
    }

    /// What is to be stored, each change once: who changed, and who was forgotten.
    pub(super) fn take_changes(&mut self) -> (Vec<StoredPeer>, Vec<PeerId>) {
        let changed = self.records.iter_mut().filter(|(_, record)| record.changed);
        let stored = changed.map(|(peer, record)| {
            record.changed = false;
            record.stored(*peer)
        });
        (stored.collect(), std::mem::take(&mut self.forgotten))
    }

    /// Records of these were not stored: they are still to be.
    pub(super) fn not_stored(&mut self, peers: &[PeerId]) {
        for peer in peers {
            if let Some(record) = self.records.get_mut(peer) {
                record.changed = true;
            }
        }
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
        Duration::try_from_secs_f64(self.records.get(peer)?.latency?).ok()
    }

    /// The ban of `peer`, for people.
    pub(super) fn ban_of(&self, peer: PeerId) -> Option<BanStatus> {
        self.records.get(&peer).and_then(ban_status)
    }

    /// Everything, for people and for the coordinator.
    pub(super) fn view(&self) -> PeerView {
        let mut view = PeerView::default();
        for (peer, record) in &self.records {
            match &record.state {
                PeerState::Usable => {
                    view.usable.insert(*peer, record.standing(self.settings.weights));
                }
                PeerState::Checking => view.checking += 1,
                PeerState::OtherChain { genesis } => view.other_chain = Some((*peer, *genesis)),
                PeerState::Banned => view.banned += 1,
                PeerState::Unsupported | PeerState::Gone => {}
            }
            view.peers.push(self.status(*peer, record));
        }
        view
    }

    fn status(&self, peer: PeerId, record: &Record) -> PeerStatus {
        PeerStatus {
            peer: peer.to_string(),
            address: record.address.to_string(),
            transport: Transport::of(&record.address),
            state: record.state.clone(),
            blocks: record.blocks,
            failed_blocks: record.failed_blocks,
            bytes: record.bytes,
            failures: record.failures,
            score: record.score.overall(self.settings.weights),
            trust: record.score.permille(Part::Trust),
            reliability: record.score.permille(Part::Reliability),
            performance: record.score.permille(Part::Performance),
            behaviour: record.score.permille(Part::Behaviour),
            latency_seconds: record.latency,
            bytes_per_second: record.rate,
            probation: record.probation > 0,
            ban: ban_status(record),
        }
    }

    fn other_chain(&mut self, now: Duration, peer: PeerId, genesis: BlockRoot) -> Action {
        if let Some(record) = self.records.get_mut(&peer) {
            record.state = PeerState::OtherChain { genesis };
            record.elsewhere_until = now + self.settings.ban;
        }
        Action::Disconnect(peer)
    }

    fn ban(&mut self, now: Duration, peer: PeerId, reason: BanReason) -> Action {
        if let Some(record) = self.records.get_mut(&peer) {
            record.state = PeerState::Banned;
            record.lies = 0;
            record.ban = Some(record.offences.ban(now, reason, &self.settings));
            record.end_of_trouble();
            record.changed = true;
        }
        Action::Disconnect(peer)
    }

    /// Whether somebody at this address is kept out. Old nodes take a new identity at each start,
    /// but many honest ones can share an address too, all of a machine's its loopback.
    fn is_banned_address(&self, now: Duration, address: &Multiaddr) -> bool {
        let Some(ip) = ip_of(address).filter(|ip| !ip.is_loopback()) else { return false };
        let mut banned = self.records.values().filter(|record| record.is_banned(now));
        banned.any(|record| ip_of(&record.address) == Some(ip))
    }

    /// Keeps the memory bounded. First goes who is of no use now and delivered least, and then, if
    /// there are none of those, who will be let in again soonest.
    fn forget(&mut self, now: Duration) {
        while self.records.len() > REMEMBERED_MAX {
            let forgettable = self.records.iter().filter(|(_, record)| {
                matches!(
                    record.state,
                    PeerState::Gone | PeerState::OtherChain { .. } | PeerState::Banned
                )
            });
            let least = forgettable
                .min_by_key(|(peer, record)| {
                    let banned_until = record.ban.map_or(Duration::ZERO, |ban| ban.until);
                    (record.is_banned(now), banned_until.max(now), record.blocks, **peer)
                })
                .map(|(peer, _)| *peer);
            let Some(least) = least else { return };
            self.records.remove(&least);
            self.forgotten.push(least);
        }
    }
}

fn ban_status(record: &Record) -> Option<BanStatus> {
    let ban = record.ban?;
    Some(BanStatus {
        reason: ban.reason,
        until_unix_seconds: ban.until.as_secs(),
        offences: record.offences.count(),
    })
}

#[cfg(test)]
#[path = "book_tests.rs"]
mod tests;
