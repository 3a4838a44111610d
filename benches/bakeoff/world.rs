//! One run: the shipped core with a policy, and everything around it played in virtual time.

mod receiving;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
    sync::Arc,
    time::Duration,
};

use alys_sync::{
    flow::{ByteBudget, BytePermit, RequestId},
    scheduler::{DownloadCore, DownloadEffect, DownloadEvent, Held},
    selection::Standing,
    types::{Height, HeightRange, PeerId},
};
use rand::{SeedableRng as _, rngs::StdRng};

use super::{
    fetch::{OpenFetch, ReadyPiece},
    link::PeerLink,
    mixes::Scenario,
    policies::Contender,
};

/// All memory. Unit: bytes. Source: what the links together bring in some six seconds. Too low: all
/// policies do is to wait for the front. Too high: it bounds none of them.
const BUDGET_BYTES: u64 = 64 << 20;
/// How often the core looks at the time by itself. Source: the scheduler's.
const TICK: Duration = Duration::from_millis(50);
/// What verification of a block takes. Unit: time. Source: a batched check on one core.
const VERIFYING: Duration = Duration::from_micros(250);
/// What import of a block takes. Unit: time. Source: appending and half of an index batch.
const IMPORTING: Duration = Duration::from_micros(50);
/// Replies with bad blocks after which a peer is banned. Unit: replies.
const BAD_REPLIES_MAX: u32 = 3;
/// When a run is given up. Unit: time. Twenty-four times what the links take.
const GIVEN_UP: Duration = Duration::from_secs(600);

/// What a run came to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Outcome {
    /// When the last block was imported; when it was given up, if it was.
    pub(crate) time: Duration,
    /// Whether all blocks were imported.
    pub(crate) complete: bool,
    /// Bytes carried beyond those of the chain, over those of the chain.
    pub(crate) duplicates: f64,
    /// The longest time without an import.
    pub(crate) gap: Duration,
    /// Bytes imported over what the links could have carried.
    pub(crate) utilisation: f64,
}

/// Verified blocks.
struct Imports {
    range: HeightRange,
    peer: PeerId,
    /// Given back when they are imported and dropped.
    _permit: BytePermit,
}

/// The same, shared by core and importer. A newtype, as trait and `Arc` are of other crates.
#[derive(Clone)]
struct Verified(Arc<Imports>);

impl Held for Verified {
    fn range(&self) -> HeightRange {
        self.0.range
    }

    fn peer(&self) -> PeerId {
        self.0.peer
    }
}

/// What happens at a time. Peers by their place in the scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    Tick,
    /// A request arrives at a peer.
    Asked {
        at: usize,
        epoch: u64,
        request: RequestId,
        range: (Height, u64),
    },
    /// A peer hears that nobody wants a reply any more.
    Forgotten {
        at: usize,
        request: RequestId,
    },
    /// A block has gone out.
    Sent {
        at: usize,
        turn: u64,
    },
    /// A block arrives here, and the end of its reply if it is the last.
    Block {
        request: RequestId,
        bytes: u64,
        last: bool,
    },
    /// Blocks have waited long enough for others.
    PieceDue {
        request: RequestId,
    },
    /// The next block may be late.
    Late {
        request: RequestId,
    },
    /// A piece is verified.
    Verified {
        piece: u64,
    },
    /// The next blocks are imported.
    Imported {
        last: Height,
    },
    Reset {
        at: usize,
    },
    Left {
        at: usize,
    },
    Joined {
        at: usize,
    },
}

/// A piece at verification.
struct Verifying {
    request: RequestId,
    at: usize,
    peer: PeerId,
    piece: ReadyPiece,
}

/// The world of one run.
pub(super) struct World {
    core: DownloadCore<Verified>,
    budget: ByteBudget,
    now: Duration,
    ahead: BinaryHeap<Reverse<(Duration, u64, Happening)>>,
    happenings: u64,
    chance: StdRng,
    sizes: Vec<u64>,
    links: Vec<PeerLink>,
    ids: BTreeMap<PeerId, usize>,
    bad_replies: BTreeMap<usize, BTreeSet<RequestId>>,
    fetches: BTreeMap<RequestId, OpenFetch>,
    starved: BTreeSet<RequestId>,
    verifying: BTreeMap<u64, Verifying>,
    pieces: u64,
    verified_until: Duration,
    importing: BTreeMap<Height, Verified>,
    imported_until: Duration,
    head: Height,
    advanced: Duration,
    gap: Duration,
    /// What the core is to be told next.
    told: Vec<DownloadEvent<Verified>>,
}

impl World {
    /// The run of `contender` in `scenario`; `seed` decides what else is left to chance.
    pub(super) fn new(
        contender: Contender,
        scenario: Scenario,
        peers: &[PeerId],
        seed: u64,
    ) -> Self {
        let Scenario { peers: plans, block_bytes } = scenario;
        let last = Height::new(block_bytes.len() as u64);
        let (policy, requests) = contender.policy(seed);
        let mut world = Self {
            core: DownloadCore::new(policy, requests),
            budget: ByteBudget::new(BUDGET_BYTES),
            now: Duration::ZERO,
            ahead: BinaryHeap::new(),
            happenings: 0,
            chance: StdRng::seed_from_u64(seed),
            sizes: block_bytes,
            ids: peers.iter().copied().zip(0..plans.len()).collect(),
            links: plans.into_iter().map(PeerLink::new).collect(),
            bad_replies: BTreeMap::new(),
            fetches: BTreeMap::new(),
            starved: BTreeSet::new(),
            verifying: BTreeMap::new(),
            pieces: 0,
            verified_until: Duration::ZERO,
            importing: BTreeMap::new(),
            imported_until: Duration::ZERO,
            head: Height::GENESIS,
            advanced: Duration::ZERO,
            gap: Duration::ZERO,
            told: Vec::new(),
        };
        world.plan_happenings();
        world.told.push(DownloadEvent::WindowSet { next: Height::new(1), last });
        world
    }

    fn plan_happenings(&mut self) {
        self.after(Duration::ZERO, Happening::Tick);
        for at in 0..self.links.len() {
            let Some(link) = self.links.get(at) else { continue };
            let plan = link.plan.clone();
            if plan.absences.first().is_none_or(|(from, _)| *from > Duration::ZERO) {
                self.at(Duration::ZERO, Happening::Joined { at });
            }
            for (left, joined) in plan.absences {
                self.at(left, Happening::Left { at });
                self.at(joined, Happening::Joined { at });
            }
            plan.resets.into_iter().for_each(|time| self.at(time, Happening::Reset { at }));
        }
    }

    fn at(&mut self, time: Duration, happening: Happening) {
        self.happenings += 1;
        self.ahead.push(Reverse((time, self.happenings, happening)));
    }

    fn after(&mut self, wait: Duration, happening: Happening) {
        self.at(self.now.saturating_add(wait), happening);
    }

    /// Plays until all blocks are imported, or it takes too long.
    pub(super) fn play(mut self) -> Outcome {
        let last = Height::new(self.sizes.len() as u64);
        while self.head < last {
            let Some(Reverse((time, _, happening))) = self.ahead.pop() else { break };
            if time > GIVEN_UP {
                break;
            }
            self.now = time;
            let tick = happening == Happening::Tick;
            self.happen(happening);
            if !self.told.is_empty() || tick {
                self.tell();
            }
        }
        self.outcome(self.head >= last)
    }

    fn outcome(&self, complete: bool) -> Outcome {
        let time = if complete { self.now } else { GIVEN_UP };
        let chain: u64 = self.sizes.iter().sum();
        let carried: u64 = self.links.iter().map(|link| link.carried).sum();
        let offered: f64 = self.links.iter().map(|link| link.plan.offered_within(time)).sum();
        let imported = usize::try_from(self.head.get()).unwrap_or(usize::MAX);
        let imported: u64 = self.sizes.iter().take(imported).sum();
        Outcome {
            time,
            complete,
            duplicates: carried.saturating_sub(imported) as f64 / chain.max(1) as f64,
            gap: self.gap.max(time.saturating_sub(self.advanced)),
            utilisation: imported as f64 / offered.max(1.0),
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Tick => self.after(TICK, Happening::Tick),
            Happening::Asked { at, epoch, request, range: (start, count) } => {
                let Some(link) = self.links.get_mut(at) else { return };
                if let Some(range) = HeightRange::new(start, count).filter(|_| link.epoch == epoch)
                {
                    link.asked(request, range);
                    self.start(at);
                }
            }
            Happening::Forgotten { at, request } => {
                if let Some(link) = self.links.get_mut(at) {
                    link.forget(self.now, request);
                    self.start(at);
                }
            }
            Happening::Sent { at, turn } => self.sent(at, turn),
            Happening::Block { request, bytes, last } => {
                self.fetched(request, |fetch, now| fetch.block(now, bytes));
                if last {
                    self.fetched(request, OpenFetch::close);
                }
            }
            Happening::PieceDue { request } => {
                let piece = self.fetches.get_mut(&request).and_then(|f| f.piece_due(self.now));
                piece.into_iter().for_each(|piece| self.verify(request, piece));
            }
            Happening::Late { request } => self.late(request),
            Happening::Verified { piece } => self.verified(piece),
            Happening::Imported { last } => {
                self.head = last;
                self.gap = self.gap.max(self.now - self.advanced);
                self.advanced = self.now;
                self.told.push(DownloadEvent::Imported { head: last });
                self.importing.retain(|start, _| *start > last);
            }
            Happening::Reset { at } => self.reset(at),
            Happening::Left { at } => self.left(at),
            Happening::Joined { at } => {
                if let Some(peer) = self.peer(at).filter(|_| !self.is_banned(at)) {
                    self.told
                        .push(DownloadEvent::PeerUsable { peer, standing: Standing::default() });
                }
            }
        }
    }

    fn peer(&self, at: usize) -> Option<PeerId> {
        self.ids.iter().find(|(_, other)| **other == at).map(|(peer, _)| *peer)
    }

    fn is_banned(&self, at: usize) -> bool {
        self.bad_replies.get(&at).is_some_and(|bad| bad.len() >= BAD_REPLIES_MAX as usize)
    }

    /// Tells the core what happened, as the scheduler's actor does, and does what it says.
    fn tell(&mut self) {
        loop {
            for event in std::mem::take(&mut self.told) {
                let effects = self.core.apply(self.now, event);
                self.perform(effects);
            }
            self.budget.set_front(self.core.front());
            let available = self.budget.gauge().available();
            let effects = self.core.plan(self.now, available);
            self.perform(effects);
            self.feed();
            if self.told.is_empty() {
                return;
            }
        }
    }

    /// Replies that wait for memory are read on, if there is some.
    fn feed(&mut self) {
        for request in std::mem::take(&mut self.starved) {
            self.fetched(request, OpenFetch::read);
        }
    }

    fn perform(&mut self, effects: Vec<DownloadEffect<Verified>>) {
        for effect in effects {
            match effect {
                DownloadEffect::Fetch { request, peer, range, bytes, block_deadline } => {
                    self.fetch((request, peer), range, bytes, block_deadline);
                }
                DownloadEffect::Cancel { request } => {
                    self.forget(request);
                    self.fetches.remove(&request);
                    self.verifying.retain(|_, verifying| verifying.request != request);
                }
                DownloadEffect::Stop { request } => {
                    self.forget(request);
                    self.end(request, None);
                }
                DownloadEffect::Release(blocks) => {
                    let range = blocks.0.range;
                    let takes = IMPORTING * u32::try_from(range.count()).unwrap_or(u32::MAX);
                    self.imported_until = self.imported_until.max(self.now) + takes;
                    self.importing.insert(range.start(), blocks);
                    self.at(self.imported_until, Happening::Imported { last: range.last() });
                }
            }
        }
    }

    /// The link of `at` goes on with what is next.
    fn start(&mut self, at: usize) {
        let Some(link) = self.links.get_mut(at) else { return };
        if let Some(until) = link.start(self.now, &self.sizes) {
            let turn = link.turn;
            self.at(until, Happening::Sent { at, turn });
        }
    }

    fn sent(&mut self, at: usize, turn: u64) {
        let Some(link) = self.links.get_mut(at).filter(|link| link.turn == turn) else { return };
        let (delay, sent) = (link.plan.delay, link.sent());
        if let Some(sent) = sent {
            let (request, bytes, last) = (sent.request, sent.bytes, sent.last);
            self.after(delay, Happening::Block { request, bytes, last });
        }
        self.start(at);
    }

    fn reset(&mut self, at: usize) {
        if let Some(link) = self.links.get_mut(at) {
            link.cut(self.now);
        }
        let open = self.fetches.iter().filter(|(_, fetch)| fetch.at == at && fetch.receiving);
        let open: Vec<_> = open.map(|(request, _)| *request).collect();
        open.into_iter().for_each(|request| self.fail(request));
    }

    fn left(&mut self, at: usize) {
        if let Some(link) = self.links.get_mut(at) {
            link.cut(self.now);
        }
        let peer = self.peer(at);
        self.told.extend(peer.map(|peer| DownloadEvent::PeerUnusable { peer }));
    }
}

#[cfg(test)]
#[path = "world/tests.rs"]
mod tests;
