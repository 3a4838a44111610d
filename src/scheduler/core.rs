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

use std::{collections::BTreeMap, time::Duration};

pub use gauge::{Front, WindowGauge};
use race::{Rival, rest_after};

use super::{
    hedge::Hedging,
    height_set::HeightSet,
    peer_load::{PeerLoad, ReplyEnd, choose},
    settings::Settings,
};
use crate::{
    flow::RequestId,
    types::{Height, HeightRange, PeerId},
};

/// Verified blocks as the core sees them: nothing but heights.
pub(crate) trait Held: Clone {
    fn range(&self) -> HeightRange;
    fn peer(&self) -> PeerId;
}

/// What happened.
#[derive(Debug)]
pub(crate) enum Event<S> {
    /// Blocks up to `last` are needed; everything below `next` is imported.
    WindowSet { next: Height, last: Height },
    /// No more blocks are needed.
    WindowClosed,
    /// A peer may be asked, or its score changed.
    PeerUsable { peer: PeerId, score: u16 },
    /// A peer must not be asked any more. What it delivered may be good.
    PeerUnusable { peer: PeerId },
    /// A peer lied: what it delivered is not worth verifying.
    PeerBanned { peer: PeerId },
    /// The blocks of `range` arrived in reply to `request` and are being verified.
    Arrived { request: RequestId, range: HeightRange, bytes: u64 },
    /// Of `range`, `segments` passed verification; the rest did not.
    Verified { request: RequestId, range: HeightRange, segments: Vec<S> },
    /// The reply to `request` is over; blocks of it may still be being verified.
    Ended { request: RequestId, end: ReplyEnd },
    /// Nothing more will be heard of `request`.
    Settled { request: RequestId },
    /// The chain's head is now at `head`.
    Imported { head: Height },
    /// The released block at `at` does not continue the chain; all below it are imported.
    ImportRefused { at: Height },
    /// The importer lost what was released to it; its head is at `head`.
    ImporterStarted { head: Height },
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Effect<S> {
    /// Ask `peer` for `range`. Answered by [`Event::Ended`].
    Fetch { request: RequestId, peer: PeerId, range: HeightRange, bytes: u64 },
    /// Give up a request, and what of it is being verified.
    Cancel { request: RequestId },
    /// Receive no more of a request. What of it is being verified goes on.
    Stop { request: RequestId },
    /// Import this next.
    Release(S),
}

struct Flight {
    peer: PeerId,
    asked: HeightRange,
    /// What has not arrived; `None` when all did.
    missing: Option<HeightRange>,
    /// When it was sent, or when the latest piece of it arrived.
    since: Duration,
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
pub(crate) struct Core<S> {
    settings: Settings,
    peers: BTreeMap<PeerId, PeerLoad>,
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
    next_request: u64,
    bytes_per_block: u64,
    hedging: Hedging,
}

impl<S: Held> Core<S> {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            settings,
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
            next_request: 0,
            bytes_per_block: BYTES_PER_BLOCK_FIRST,
            hedging: Hedging::default(),
        }
    }

    /// The lowest height that is not imported: memory is granted to it even when the budget is
    /// spent. What waits for import needs no such favour, its import frees memory.
    pub(crate) fn front(&self) -> Height {
        self.next_import
    }

    /// Takes in what happened. Call [`Core::plan`] after it.
    pub(crate) fn apply(&mut self, now: Duration, event: Event<S>) -> Vec<Effect<S>> {
        let mut effects = Vec::new();
        match event {
            Event::WindowSet { next, last } => self.set_window(next, last, &mut effects),
            Event::WindowClosed => self.reset(Height::GENESIS, None, &mut effects),
            Event::PeerUsable { peer, score } => {
                let settings = &self.settings;
                let load = self.peers.entry(peer).or_insert_with(|| PeerLoad::new(score, settings));
                load.score = score;
            }
            Event::PeerUnusable { peer } => self.drop_peer(now, peer, &mut effects),
            Event::PeerBanned { peer } => self.ban_peer(peer, &mut effects),
            Event::Arrived { request, range, bytes } => {
                self.arrived(now, request, (range, bytes), &mut effects);
            }
            Event::Verified { request, range, segments } => {
                self.verified(request, range, segments);
            }
            Event::Ended { request, end } => self.ended(now, request, end),
            Event::Settled { request } => {
                self.ended(now, request, ReplyEnd::Failed);
                self.settle(request);
            }
            Event::Imported { head } => self.imported(head),
            Event::ImportRefused { at } => self.refused(now, at),
            Event::ImporterStarted { head } => self.importer_started(head, &mut effects),
        }
        self.release(&mut effects);
        self.widen();
        effects
    }

    /// Hands out work, at most `available` bytes of it beyond the front.
    pub(crate) fn plan(&mut self, now: Duration, mut available: u64) -> Vec<Effect<S>> {
        let mut effects = Vec::new();
        let mut from = Height::GENESIS;
        while let Some(range) = self.wanted.first_from(from) {
            let start = range.start();
            let Some(peer) =
                choose(self.peers.iter(), start, now, self.bytes_per_block, &self.settings)
            else {
                break;
            };
            let Some(load) = self.peers.get_mut(&peer) else { break };
            let (Some(range), _) = range.split_at(load.request_size(self.bytes_per_block)) else {
                break;
            };
            let bytes = reserved(range, self.bytes_per_block);
            if bytes > available && start > self.next_import {
                break;
            }
            available = available.saturating_sub(bytes);
            self.wanted.remove(range);
            let (_, fetch) = self.send(now, peer, range, None);
            effects.push(fetch);
            from = range.last().saturating_add(1);
        }
        effects.extend(self.hedge(now));
        effects
    }

    fn send(
        &mut self,
        now: Duration,
        peer: PeerId,
        range: HeightRange,
        rival: Option<Rival>,
    ) -> (RequestId, Effect<S>) {
        let request = RequestId(self.next_request);
        self.next_request += 1;
        if let Some(load) = self.peers.get_mut(&peer) {
            load.sent(request, range.count(), now);
        }
        let flight = Flight { peer, asked: range, missing: Some(range), since: now, rival };
        self.flights.insert(request, flight);
        self.requests.insert(request, peer);
        let bytes = reserved(range, self.bytes_per_block);
        (request, Effect::Fetch { request, peer, range, bytes })
    }

    /// The permit for a planned request was not granted after all: its heights are wanted again.
    pub(crate) fn not_sent(&mut self, now: Duration, request: RequestId) {
        self.ended(now, request, ReplyEnd::NotSent);
        self.settle(request);
    }

    fn set_window(&mut self, next: Height, last: Height, effects: &mut Vec<Effect<S>>) {
        if self.last.is_none() || next > self.next_release {
            // Fresh, or the chain grew by other means.
            self.reset(next, Some(last), effects);
            return;
        }
        // A lower `next` is old news: who sends it has not heard of the latest import.
        self.imported(next.checked_sub(1).unwrap_or(Height::GENESIS));
        self.last = Some(last.max(self.horizon.checked_sub(1).unwrap_or(last)));
    }

    fn reset(&mut self, next: Height, last: Option<Height>, effects: &mut Vec<Effect<S>>) {
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

    fn cancel(&mut self, request: RequestId, effects: &mut Vec<Effect<S>>) {
        self.ended(Duration::ZERO, request, ReplyEnd::Cancelled);
        self.settle(request);
        effects.push(Effect::Cancel { request });
    }

    fn drop_peer(&mut self, now: Duration, peer: PeerId, effects: &mut Vec<Effect<S>>) {
        let open = self.peers.get(&peer).map(|load| load.in_flight.clone()).unwrap_or_default();
        for request in open {
            self.stop(now, request, effects);
        }
        self.peers.remove(&peer);
    }

    /// Receives no more of `request`; what has arrived is still verified.
    fn stop(&mut self, now: Duration, request: RequestId, effects: &mut Vec<Effect<S>>) {
        self.ended(now, request, ReplyEnd::Cancelled);
        effects.push(Effect::Stop { request });
    }

    /// Unlike a peer that has only gone, one that lied gets none of its blocks verified: they cost
    /// far more to refuse than to send.
    fn ban_peer(&mut self, peer: PeerId, effects: &mut Vec<Effect<S>>) {
        let open = self.requests.iter().filter(|(_, of)| **of == peer);
        let open: Vec<_> = open.map(|(request, _)| *request).collect();
        for request in open {
            self.cancel(request, effects);
        }
        self.peers.remove(&peer);
    }

    fn arrived(
        &mut self,
        now: Duration,
        request: RequestId,
        (range, bytes): (HeightRange, u64),
        effects: &mut Vec<Effect<S>>,
    ) {
        let missing = self.flights.get(&request).and_then(|flight| flight.missing);
        let fits = |m: HeightRange| range.start() == m.start() && range.count() <= m.count();
        let Some(missing) = missing.filter(|missing| fits(*missing)) else { return };
        self.end_race(now, request, effects);
        let Some(flight) = self.flights.get_mut(&request) else { return };
        self.hedging.arrived(range.count(), now.saturating_sub(flight.since));
        flight.since = now;
        flight.missing = missing.split_at(range.count()).1;
        if let Some(load) = self.peers.get_mut(&flight.peer) {
            load.arrived(request, range.count(), now);
        }
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
        if let Some(load) = self.peers.get_mut(&flight.peer) {
            let counts = (flight.asked.count(), flight.got());
            load.ended(request, counts, flight.next(), end, now, &self.settings);
        }
    }

    fn imported(&mut self, head: Height) {
        let next = head.saturating_add(1);
        if self.last.is_none() || next <= self.next_import {
            return;
        }
        self.next_import = next.min(self.next_release);
        self.released.retain(|_, segment| segment.range().last() > head);
    }

    fn importer_started(&mut self, head: Height, effects: &mut Vec<Effect<S>>) {
        let next = head.saturating_add(1);
        if self.last.is_some() && next < self.next_import {
            // The chain is shorter than it was. What was released does not continue it: released
            // again, it would come back as a gap, for ever.
            self.reset(next, self.last, effects);
            return;
        }
        self.imported(head);
        effects.extend(self.released.values().cloned().map(Effect::Release));
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
                if let Some(load) = self.peers.get_mut(&segment.peer()) {
                    load.set_back(now);
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

    fn release(&mut self, effects: &mut Vec<Effect<S>>) {
        while let Some(segment) = self.held.remove(&self.next_release) {
            self.next_release = segment.range().last().saturating_add(1);
            self.released.insert(segment.range().start(), segment.clone());
            effects.push(Effect::Release(segment));
        }
    }

    fn widen(&mut self) {
        let Some(last) = self.last else { return };
        let Some(window) = HeightRange::new(self.next_import, self.settings.window_blocks.max(1))
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
