//! The breakers of all peers: who is asked, who is left alone for now, and who told of it.
//!
//! **Nobody is shut out for want of others.** While no peer with a closed breaker delivers blocks,
//! an open breaker lets a probe pass every two seconds. What counts is delivery and not that
//! somebody is connected: a stale peer answers every request, and must not keep the peers that
//! have the blocks out. Nor must one that delivered and has left.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{
    breaker::{Breaker, BreakerSettings, BreakerState, CallEnd, Pass},
    recovery::{BREAKER_FAILURES, BREAKER_OPEN},
    retry::Pauses,
};
use serde::{Deserialize, Serialize};

use crate::{ports::Clock, types::PeerId};

/// When a peer's breaker opens. The share is for peers that answer now and then: from three
/// quarters on, asking costs more than it brings.
const PEER_SETTINGS: BreakerSettings = BreakerSettings {
    failures_in_row: BREAKER_FAILURES,
    window: 20,
    window_least: 10,
    window_within: Duration::from_secs(60),
    failed_share: 750,
    early_every: EARLY_EVERY,
};

/// Between two probes of one peer before their time, and how long callers wait before they ask
/// again. Too low: dead peers are asked all the time while nobody delivers. Too high: a node whose
/// peers all failed stands still for that much longer.
const EARLY_EVERY: Duration = Duration::from_secs(2);

/// A peer counts as delivering for so long after a reply that brought blocks. Unit: time. Source:
/// two slots, so that following the head counts. Too low: peers that fail are asked although others
/// deliver. Too high: nobody is asked for so long when those that delivered have gone.
const DELIVERS_FOR: Duration = Duration::from_secs(10);

/// Peers whose breakers are kept. Unit: peers; those with open requests are kept beyond it, and
/// connections bound them. Too low: a breaker is forgotten before its peer is back. Too high:
/// memory that anybody with many identities can fill: a kilobyte each.
const PEERS_MAX: usize = 1_024;

/// A peer's breaker changed.
struct BreakerEvent {
    peer: PeerId,
    from: BreakerState,
    to: BreakerState,
}

impl BreakerEvent {
    /// Says so in the log, and in the span of the call that changed it.
    fn log(&self) {
        let Self { peer, from, to } = self;
        let (from_name, to_name) = (from.name(), to.name());
        // While nobody delivers there are probes all the time.
        if [*from, *to].contains(&BreakerState::Closed) {
            tracing::info!(%peer, from = from_name, to = to_name, "the breaker of a peer changed");
        } else {
            tracing::debug!(%peer, from = from_name, to = to_name, "the breaker of a peer changed");
        }
    }
}

/// A peer's breaker at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerStatus {
    /// Whose.
    pub peer: PeerId,
    /// Where it is.
    pub state: BreakerState,
    /// Failures since the last success. Unit: calls.
    pub failures_in_row: usize,
    /// How long it stays open; zero where it is not open.
    pub open_for: Duration,
}

/// How often breakers of peers changed since the node started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BreakerTotals {
    /// To open, probes that failed included.
    pub opened: u64,
    /// To half-open.
    pub half_opened: u64,
    /// To closed.
    pub closed: u64,
}

struct Entry {
    breaker: Breaker,
    /// Calls that have not ended.
    calls: u32,
    /// Those of them that have brought a block.
    delivering: u32,
    /// When the last call that had brought a block ended.
    delivered_at: Option<Duration>,
    /// It has left and was not asked since: what it delivered keeps nobody out.
    gone: bool,
    /// When it was last asked for.
    used_at: Duration,
}

impl Entry {
    fn delivers(&self, now: Duration) -> bool {
        let lately = |at: Duration| now.saturating_sub(at) <= DELIVERS_FOR;
        !self.gone
            && self.breaker.state() == BreakerState::Closed
            && (self.delivering > 0 || self.delivered_at.is_some_and(lately))
    }
}

struct Book {
    entries: BTreeMap<PeerId, Entry>,
    pauses: Pauses,
    totals: BreakerTotals,
}

/// The breakers of all peers.
pub(super) struct PeerBreakers {
    clock: Arc<dyn Clock>,
    book: Mutex<Book>,
}

impl PeerBreakers {
    /// All closed. `seed` decides what is left to chance.
    pub(super) fn new(clock: Arc<dyn Clock>, seed: u64) -> Self {
        let pauses = Pauses::new(BREAKER_OPEN.first, BREAKER_OPEN.longest, seed);
        let book = Book { entries: BTreeMap::new(), pauses, totals: BreakerTotals::default() };
        Self { clock, book: Mutex::new(book) }
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether `peer` may be asked now.
    ///
    /// # Errors
    /// When to ask again, even if its breaker may still be open then.
    pub(super) fn admit(self: &Arc<Self>, peer: PeerId) -> Result<Ticket, Duration> {
        let now = self.clock.now();
        let (admitted, event) = self.lock().admit(now, peer);
        if let Some(event) = event {
            event.log();
        }
        let wait = |open_for: Duration| match open_for {
            Duration::ZERO => EARLY_EVERY,
            open_for => open_for.min(EARLY_EVERY),
        };
        let breakers = Arc::clone(self);
        let ticket = |pass| Ticket { breakers, peer, pass, delivers: false, ended: false };
        admitted.map(ticket).map_err(wait)
    }

    /// All failures since `since`, by our clock, were our own.
    pub(super) fn take_back(&self, since: Duration) {
        let events = {
            let mut book = self.lock();
            let peers: Vec<_> = book.entries.keys().copied().collect();
            let change = |peer| book.change(peer, |breaker, _| breaker.take_back(since)).1;
            peers.into_iter().filter_map(change).collect::<Vec<_>>()
        };
        events.iter().for_each(BreakerEvent::log);
    }

    /// `peer` has left. Until it is asked again it does not count as one that delivers.
    pub(super) fn left(&self, peer: PeerId) {
        if let Some(entry) = self.lock().entries.get_mut(&peer) {
            (entry.gone, entry.delivered_at) = (true, None);
        }
    }

    /// The breakers that are kept, in order of their peers.
    pub(super) fn status(&self) -> Vec<BreakerStatus> {
        let now = self.clock.now();
        let status = |(&peer, Entry { breaker, .. }): (&PeerId, &Entry)| BreakerStatus {
            peer,
            state: breaker.state(),
            failures_in_row: breaker.failures_in_row(),
            open_for: breaker.open_until().unwrap_or_default().saturating_sub(now),
        };
        self.lock().entries.iter().map(status).collect()
    }

    pub(super) fn totals(&self) -> BreakerTotals {
        self.lock().totals
    }
}

impl Book {
    fn admit(
        &mut self,
        now: Duration,
        peer: PeerId,
    ) -> (Result<Pass, Duration>, Option<BreakerEvent>) {
        if !self.entries.contains_key(&peer) {
            self.make_room();
        }
        let entry = self.entries.entry(peer).or_insert_with(|| Entry {
            breaker: Breaker::new(PEER_SETTINGS),
            calls: 0,
            delivering: 0,
            delivered_at: None,
            gone: false,
            used_at: now,
        });
        entry.gone = false;
        entry.used_at = now;
        let early = entry.breaker.state() != BreakerState::Closed
            && !self.entries.values().any(|entry| entry.delivers(now));
        let (admitted, event) = self.change(peer, |breaker, _| breaker.admit(now, early));
        let admitted = admitted.unwrap_or(Err(Duration::ZERO));
        if admitted.is_ok()
            && let Some(entry) = self.entries.get_mut(&peer)
        {
            entry.calls += 1;
        }
        (admitted, event)
    }

    /// Forgets the breaker that was used least recently: one that is closed, if there is one.
    fn make_room(&mut self) {
        if self.entries.len() < PEERS_MAX {
            return;
        }
        let idle = self.entries.iter().filter(|(_, entry)| entry.calls == 0);
        let oldest = idle.min_by_key(|(_, entry)| {
            (entry.breaker.state() != BreakerState::Closed, entry.used_at)
        });
        if let Some(peer) = oldest.map(|(peer, _)| *peer) {
            self.entries.remove(&peer);
        }
    }

    /// Does `change` to the breaker of `peer`, and counts what came of it.
    fn change<T>(
        &mut self,
        peer: PeerId,
        change: impl FnOnce(&mut Breaker, &mut Pauses) -> T,
    ) -> (Option<T>, Option<BreakerEvent>) {
        let Some(entry) = self.entries.get_mut(&peer) else { return (None, None) };
        let from = entry.breaker.state();
        let result = change(&mut entry.breaker, &mut self.pauses);
        let to = entry.breaker.state();
        if from == to {
            return (Some(result), None);
        }
        let total = match to {
            BreakerState::Closed => &mut self.totals.closed,
            BreakerState::Open => &mut self.totals.opened,
            BreakerState::HalfOpen => &mut self.totals.half_opened,
        };
        *total += 1;
        (Some(result), Some(BreakerEvent { peer, from, to }))
    }
}

/// The right to ask a peer once. One that is dropped says nothing about the peer.
pub(super) struct Ticket {
    breakers: Arc<PeerBreakers>,
    peer: PeerId,
    pass: Pass,
    delivers: bool,
    ended: bool,
}

impl Ticket {
    /// Whether this is the one call by which a half-open breaker finds out.
    pub(super) const fn is_probe(&self) -> bool {
        self.pass.is_probe
    }

    /// A block came.
    pub(super) fn delivers(&mut self) {
        if self.delivers || self.ended {
            return;
        }
        self.delivers = true;
        if let Some(entry) = self.breakers.lock().entries.get_mut(&self.peer) {
            entry.delivering += 1;
        }
    }

    /// The call has ended. Only the first end counts.
    pub(super) fn ended(&mut self, end: CallEnd) {
        if self.ended {
            return;
        }
        self.ended = true;
        let now = self.breakers.clock.now();
        let event = {
            let mut book = self.breakers.lock();
            if let Some(entry) = book.entries.get_mut(&self.peer) {
                entry.calls = entry.calls.saturating_sub(1);
                if self.delivers {
                    entry.delivering = entry.delivering.saturating_sub(1);
                    entry.delivered_at = (!entry.gone).then_some(now);
                }
            }
            let ended = |breaker: &mut Breaker, pauses: &mut Pauses| {
                breaker.ended(now, self.pass, end, pauses);
            };
            book.change(self.peer, ended).1
        };
        if let Some(event) = event {
            event.log();
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.ended(CallEnd::NoNews);
    }
}

#[cfg(test)]
#[path = "breakers_tests.rs"]
mod tests;
