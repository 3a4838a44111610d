//! The decisions of the download scheduler: which range from whom, and what may be released.
//!
//! Events come in with the time they happened, effects go out. No clock, no entropy, no I/O; the
//! same events give the same effects.
//!
//! Invariants, checked after every event in tests (`check`):
//! - **one state**: every height of the window is wanted, in flight, being verified, held or
//!   released, exactly one of them;
//! - **order**: segments are released in order of height, each height once until an import
//!   refuses it;
//! - **pipeline**: no peer has more requests than its limit;
//! - **race**: at most two requests are open for a height, and then for the front only; the first
//!   piece of either ends the other.

mod gauge;
#[cfg(test)]
mod invariants;
mod race;
mod vocabulary;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

pub use gauge::{Front, WindowGauge};
use race::{Rival, rest_after};
pub use vocabulary::{DownloadEffect, DownloadEvent, Held};

use super::{
    HeightSet,
    policy::{
        ArrivedPiece, Assignment, DownloadPolicy, DownloadView, EndedReply, PeerWork, ReplyEnd,
        Unanswered,
    },
};
use crate::{
    flow::RequestId,
    types::{Height, HeightRange, PeerId},
};

/// The downloads as the policy sees them. A macro, because the policy itself is borrowed beside it.
macro_rules! view {
    ($core:expr, $available:expr) => {
        DownloadView {
            wanted: &$core.wanted,
            peers: &$core.peers,
            next_import: $core.next_import,
            front: $core.next_release,
            last: $core.last.unwrap_or(Height::GENESIS),
            held: $core.held.last_key_value().map(|(_, segment)| segment.range().last()),
            bytes_per_block: $core.bytes_per_block.max(1),
            available: $available,
        }
    };
}
use view;

struct Flight {
    peer: PeerId,
    asked: HeightRange,
    /// What has not arrived; `None` when all did.
    missing: Option<HeightRange>,
    /// When it was sent, or when the latest piece of it arrived.
    since: Duration,
    /// How long a block of the latest piece took, from the second piece on.
    pace: Option<Duration>,
    /// The other request for the same blocks.
    rival: Option<Rival>,
}

impl Flight {
    fn got(&self) -> u64 {
        self.asked.count() - self.missing.map_or(0, HeightRange::count)
    }

    fn next(&self) -> Height {
        self.missing.map_or(self.asked.last(), HeightRange::start)
    }
}

/// Blocks that are counted by permits before any size was measured. Unit: bytes a block. The
/// size of a block with a few transactions. Too low: the first requests overdraw the budget. Too
/// high: a small budget allows few first requests.
const BYTES_PER_BLOCK_FIRST: u64 = 2_048;
/// Blocks a request reserves beyond those it asks for: one in the decoder, one in the channel.
const RESERVE_BLOCKS: u64 = 2;
/// Weight of a new sample in the measured block size, as 1/n.
const SIZE_SAMPLE_WEIGHT: u64 = 8;

/// The scheduler's state. See the module.
pub struct DownloadCore<S> {
    policy: Box<dyn DownloadPolicy>,
    /// Most requests open at one peer.
    requests_per_peer_max: usize,
    peers: BTreeMap<PeerId, PeerWork>,
    /// Highest height wanted; `None` while closed.
    last: Option<Height>,
    /// Everything below is imported.
    next_import: Height,
    /// Everything below was released.
    next_release: Height,
    /// Everything below entered the window.
    horizon: Height,
    wanted: HeightSet,
    flights: BTreeMap<RequestId, Flight>,
    /// Whom each request went to, until nothing more will be heard of it.
    requests: BTreeMap<RequestId, PeerId>,
    verifying: BTreeMap<Height, (HeightRange, RequestId)>,
    held: BTreeMap<Height, S>,
    released: BTreeMap<Height, S>,
    /// Whose blocks did not continue the chain as it is.
    did_not_link: BTreeSet<PeerId>,
    next_request: u64,
    bytes_per_block: u64,
    hedges_sent: u64,
    hedges_won: u64,
    used_bytes: u64,
}

impl<S: Held> DownloadCore<S> {
    /// A core that needs nothing and knows nobody. It leaves its choices to `policy`, but never
    /// has more than `requests_per_peer_max` requests open at a peer.
    pub fn new(policy: Box<dyn DownloadPolicy>, requests_per_peer_max: usize) -> Self {
        Self {
            policy,
            requests_per_peer_max,
            peers: BTreeMap::new(),
            last: None,
            next_import: Height::GENESIS,
            next_release: Height::GENESIS,
            horizon: Height::GENESIS,
            wanted: HeightSet::default(),
            flights: BTreeMap::new(),
            requests: BTreeMap::new(),
            verifying: BTreeMap::new(),
            held: BTreeMap::new(),
            released: BTreeMap::new(),
            did_not_link: BTreeSet::new(),
            next_request: 0,
            bytes_per_block: BYTES_PER_BLOCK_FIRST,
            hedges_sent: 0,
            hedges_won: 0,
            used_bytes: 0,
        }
    }

    /// The lowest height that is not imported: memory is granted to it even when the budget is
    /// spent. What waits for import needs no such favour, its import frees memory.
    pub fn front(&self) -> Height {
        self.next_import
    }

    /// Takes in what happened. Call [`DownloadCore::plan`] after it.
    pub fn apply(&mut self, now: Duration, event: DownloadEvent<S>) -> Vec<DownloadEffect<S>> {
        let mut effects = Vec::new();
        match event {
            DownloadEvent::WindowSet { next, last } => self.set_window(next, last, &mut effects),
            DownloadEvent::WindowClosed => self.reset(Height::GENESIS, None, &mut effects),
            DownloadEvent::PeerUsable { peer, standing } => {
                if !self.peers.contains_key(&peer) {
                    self.policy.joined(now, peer);
                }
                self.peers.entry(peer).or_default().standing = standing;
            }
            DownloadEvent::PeerUnusable { peer } => self.drop_peer(now, peer, &mut effects),
            DownloadEvent::PeerBanned { peer } => self.ban_peer(peer, &mut effects),
            DownloadEvent::Arrived { request, range, bytes } => {
                self.arrived(now, request, (range, bytes), &mut effects);
            }
            DownloadEvent::Verified { request, range, segments } => {
                self.verified(request, range, segments);
            }
            DownloadEvent::Ended { request, end } => self.ended(now, request, end),
            DownloadEvent::Settled { request } => {
                self.ended(now, request, ReplyEnd::Failed);
                self.settle(request);
            }
            DownloadEvent::Imported { head } => self.imported(head),
            DownloadEvent::ImportRefused { at } => self.refused(now, at),
            DownloadEvent::ImporterStarted { head } => {
                self.importer_started(now, head, &mut effects);
            }
            DownloadEvent::SetBack { head } => self.set_back(now, head, &mut effects),
        }
        self.release(&mut effects);
        self.widen();
        effects
    }

    /// Hands out work, at most `available` bytes of it beyond the front.
    pub fn plan(&mut self, now: Duration, mut available: u64) -> Vec<DownloadEffect<S>> {
        let mut effects = Vec::new();
        while let Some(request) = self.policy.expired(now) {
            self.ended(now, request, ReplyEnd::Failed);
            effects.push(DownloadEffect::Stop { request });
        }
        while let Some(assignment) = self.ask_policy(now, available) {
            let range = assignment.range;
            let bytes = reserved(range, self.bytes_per_block);
            let affordable = bytes <= available || range.contains(self.next_import);
            if !affordable || !self.may_ask(assignment.peer) || !self.wanted.contains(range) {
                break;
            }
            available = available.saturating_sub(bytes);
            self.wanted.remove(range);
            let (_, fetch) = self.send(now, assignment, None);
            effects.push(fetch);
        }
        self.hedge(now, available, &mut effects);
        effects
    }

    fn ask_policy(&mut self, now: Duration, available: u64) -> Option<Assignment> {
        if self.wanted.is_empty() {
            return None;
        }
        let view = view!(self, available);
        self.policy.assign(now, &view)
    }

    fn may_ask(&self, peer: PeerId) -> bool {
        self.peers.get(&peer).is_some_and(|work| work.requests < self.requests_per_peer_max)
    }

    fn send(
        &mut self,
        now: Duration,
        assignment: Assignment,
        rival: Option<Rival>,
    ) -> (RequestId, DownloadEffect<S>) {
        let Assignment { peer, range, block_deadline } = assignment;
        let request = RequestId(self.next_request);
        self.next_request += 1;
        let work = self.peers.entry(peer).or_default();
        work.requests += 1;
        work.blocks += range.count();
        self.policy.sent(now, request, &assignment, rival.is_some());
        let flight =
            Flight { peer, asked: range, missing: Some(range), since: now, pace: None, rival };
        self.flights.insert(request, flight);
        self.requests.insert(request, peer);
        let bytes = reserved(range, self.bytes_per_block);
        (request, DownloadEffect::Fetch { request, peer, range, bytes, block_deadline })
    }

    /// The permit for a planned request was not granted after all: its heights are wanted again.
    pub fn not_sent(&mut self, now: Duration, request: RequestId) {
        self.ended(now, request, ReplyEnd::NotSent);
        self.settle(request);
    }

    fn set_window(&mut self, next: Height, last: Height, effects: &mut Vec<DownloadEffect<S>>) {
        if self.last.is_none() || next > self.next_release {
            // Fresh, or the chain grew by other means.
            self.reset(next, Some(last), effects);
            return;
        }
        // A lower `next` is old news: who sends it has not heard of the latest import.
        self.imported(next.checked_sub(1).unwrap_or(Height::GENESIS));
        self.last = Some(last.max(self.horizon.checked_sub(1).unwrap_or(last)));
    }

    fn reset(&mut self, next: Height, last: Option<Height>, effects: &mut Vec<DownloadEffect<S>>) {
        let open: Vec<_> = self.requests.keys().copied().collect();
        for request in open {
            self.cancel(request, effects);
        }
        self.wanted.clear();
        self.verifying.clear();
        self.held.clear();
        self.released.clear();
        self.last = last;
        self.next_import = next;
        self.next_release = next;
        self.horizon = next;
    }

    fn cancel(&mut self, request: RequestId, effects: &mut Vec<DownloadEffect<S>>) {
        self.ended(Duration::ZERO, request, ReplyEnd::Cancelled);
        self.settle(request);
        effects.push(DownloadEffect::Cancel { request });
    }

    fn drop_peer(&mut self, now: Duration, peer: PeerId, effects: &mut Vec<DownloadEffect<S>>) {
        let open = self.flights.iter().filter(|(_, flight)| flight.peer == peer);
        let open: Vec<_> = open.map(|(request, _)| *request).collect();
        for request in open {
            self.stop(now, request, effects);
        }
        self.forget(peer);
    }

    /// Receives no more of `request`; what has arrived is still verified.
    fn stop(&mut self, now: Duration, request: RequestId, effects: &mut Vec<DownloadEffect<S>>) {
        self.ended(now, request, ReplyEnd::Cancelled);
        effects.push(DownloadEffect::Stop { request });
    }

    /// Unlike a peer that has only gone, one that lied gets none of its blocks verified: they cost
    /// far more to refuse than to send.
    fn ban_peer(&mut self, peer: PeerId, effects: &mut Vec<DownloadEffect<S>>) {
        let open = self.requests.iter().filter(|(_, of)| **of == peer);
        let open: Vec<_> = open.map(|(request, _)| *request).collect();
        for request in open {
            self.cancel(request, effects);
        }
        self.forget(peer);
    }

    fn forget(&mut self, peer: PeerId) {
        self.did_not_link.remove(&peer);
        if self.peers.remove(&peer).is_some() {
            self.policy.left(peer);
        }
    }

    fn arrived(
        &mut self,
        now: Duration,
        request: RequestId,
        (range, bytes): (HeightRange, u64),
        effects: &mut Vec<DownloadEffect<S>>,
    ) {
        let missing = self.flights.get(&request).and_then(|flight| flight.missing);
        let fits = |m: HeightRange| range.start() == m.start() && range.count() <= m.count();
        let Some(missing) = missing.filter(|missing| fits(*missing)) else { return };
        self.end_race(now, request, effects);
        let Some(flight) = self.flights.get_mut(&request) else { return };
        let (peer, blocks) = (flight.peer, range.count());
        let waited = now.saturating_sub(flight.since);
        if flight.got() > 0 {
            flight.pace = Some(waited / u32::try_from(blocks).unwrap_or(u32::MAX));
        }
        flight.since = now;
        flight.missing = missing.split_at(blocks).1;
        let got = flight.got();
        self.used_bytes = self.used_bytes.saturating_add(bytes);
        if let Some(work) = self.peers.get_mut(&peer) {
            work.blocks -= blocks;
        }
        self.policy.arrived(now, &ArrivedPiece { request, peer, blocks, bytes, got, waited });
        let sample = bytes / range.count();
        self.bytes_per_block =
            (self.bytes_per_block * (SIZE_SAMPLE_WEIGHT - 1) + sample) / SIZE_SAMPLE_WEIGHT;
        self.verifying.insert(range.start(), (range, request));
    }

    fn verified(&mut self, request: RequestId, range: HeightRange, segments: Vec<S>) {
        if self.verifying.get(&range.start()) != Some(&(range, request)) {
            // Given up meanwhile: the heights are somewhere else by now.
            return;
        }
        self.verifying.remove(&range.start());
        let mut from = range.start();
        for segment in segments {
            let covered = segment.range();
            if covered.start() < from || covered.last() > range.last() {
                continue;
            }
            if let Some(gap) = covered.start().checked_sub(1) {
                self.want(from, gap);
            }
            from = covered.last().saturating_add(1);
            self.held.insert(covered.start(), segment);
        }
        self.want(from, range.last());
    }

    fn want(&mut self, first: Height, last: Height) {
        if let Some(range) = HeightRange::inclusive(first, last) {
            self.wanted.insert(range);
        }
    }

    fn ended(&mut self, now: Duration, request: RequestId, end: ReplyEnd) {
        let Some(flight) = self.flights.remove(&request) else { return };
        let rival = match flight.rival {
            Some(Rival::First(rival) | Rival::Second(rival)) => self.flights.get_mut(&rival),
            None => None,
        };
        let rival = rival.and_then(|rival| {
            rival.rival = None;
            rival.missing
        });
        if let Some(range) = flight.missing.and_then(|missing| rest_after(missing, rival)) {
            self.wanted.insert(range);
        }
        let (peer, asked, got) = (flight.peer, flight.asked.count(), flight.got());
        if let Some(work) = self.peers.get_mut(&peer) {
            work.requests -= 1;
            work.blocks -= asked - got;
        }
        let reply = EndedReply { request, peer, asked, got, next: flight.next(), end };
        self.policy.ended(now, &reply);
    }

    fn imported(&mut self, head: Height) {
        let next = head.saturating_add(1);
        if self.last.is_none() || next <= self.next_import {
            return;
        }
        self.next_import = next.min(self.next_release);
        self.released.retain(|_, segment| segment.range().last() > head);
    }

    fn importer_started(
        &mut self,
        now: Duration,
        head: Height,
        effects: &mut Vec<DownloadEffect<S>>,
    ) {
        if head.saturating_add(1) < self.next_import {
            // The chain is shorter than it was. What was released does not continue it: released
            // again, it would come back as a gap, for ever.
            self.set_back(now, head, effects);
            return;
        }
        self.imported(head);
        effects.extend(self.released.values().cloned().map(DownloadEffect::Release));
    }

    /// Begins anew above `head`, up to the end of the window as it was. A late verdict or reply is
    /// of a request that is no more.
    fn set_back(&mut self, now: Duration, head: Height, effects: &mut Vec<DownloadEffect<S>>) {
        if self.last.is_some() {
            self.reset(head.saturating_add(1), self.last, effects);
        }
        // What did not continue the chain as it was may do so now: the policy meets them anew.
        for peer in std::mem::take(&mut self.did_not_link) {
            self.policy.left(peer);
            self.policy.joined(now, peer);
        }
    }

    fn refused(&mut self, now: Duration, at: Height) {
        if at < self.next_import || at >= self.next_release {
            return;
        }
        for (start, segment) in std::mem::take(&mut self.released) {
            let last = segment.range().last();
            if start > at {
                self.held.insert(start, segment);
            } else if last >= at {
                self.want(at, last);
                self.policy.did_not_link(now, segment.peer());
                if self.peers.contains_key(&segment.peer()) {
                    self.did_not_link.insert(segment.peer());
                }
            }
        }
        self.next_import = at;
        self.next_release = at;
    }

    /// What `request` still has being verified will not be heard of any more.
    fn settle(&mut self, request: RequestId) {
        self.requests.remove(&request);
        let lost: Vec<_> = self
            .verifying
            .values()
            .filter(|(_, by)| *by == request)
            .map(|(range, _)| *range)
            .collect();
        for range in lost {
            self.verifying.remove(&range.start());
            self.wanted.insert(range);
        }
    }

    fn release(&mut self, effects: &mut Vec<DownloadEffect<S>>) {
        while let Some(segment) = self.held.remove(&self.next_release) {
            self.next_release = segment.range().last().saturating_add(1);
            self.released.insert(segment.range().start(), segment.clone());
            effects.push(DownloadEffect::Release(segment));
        }
    }

    fn widen(&mut self) {
        let Some(last) = self.last else { return };
        let Some(window) = HeightRange::new(self.next_import, self.policy.window_blocks().max(1))
        else {
            return;
        };
        let edge = window.last().min(last);
        if let Some(fresh) = HeightRange::inclusive(self.horizon, edge) {
            self.wanted.insert(fresh);
            self.horizon = edge.saturating_add(1);
        }
    }
}

/// Bytes that a request for `range` reserves.
fn reserved(range: HeightRange, bytes_per_block: u64) -> u64 {
    (range.count() + RESERVE_BLOCKS).saturating_mul(bytes_per_block)
}

#[cfg(test)]
#[path = "core_tests.rs"]
mod tests;
