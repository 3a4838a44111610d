//! Our policy: each peer gets what it can deliver in time, by what was measured of it.
//!
//! Who would deliver the lowest wanted blocks first gets them, so that a fast peer gets much and a
//! slow one little. No peer gets blocks that would come so late that all others had to wait for
//! them, if somebody who is busy now would deliver them earlier. A newcomer is asked for a little
//! at once, and one that was not asked for long gets a turn: who is never asked is never known.
//!
//! An operator may choose another strategy of [`crate::selection`]: then that says who comes first
//! among those with room. Sizes, deadlines, turns, second requests at the front and the rule that
//! nobody gets what all others would wait for are the same.

use std::{collections::BTreeMap, time::Duration};

use super::{
    ArrivedPiece, Assignment, DownloadPolicy, DownloadView, EndedReply, PeerWork, Unanswered,
    allocation::{Allocation, Claimant, share},
    hedge::{HEDGE_BLOCKS, Hedging},
    peer_load::PeerLoad,
};
use crate::{
    flow::RequestId,
    scheduler::Settings,
    selection::{self, Load, Operation, QualityWeights, SelectionStrategy, Selector, Standing},
    types::{Height, HeightRange, PeerId},
};

/// Largest request at the front. Unit: blocks. Farther on, a request may be as large as its
/// distance from the front. Too low: a round trip for few blocks. Too high: what everything waits
/// for comes from one peer, however many are idle.
const FRONT_REQUEST_BLOCKS: u64 = 32;
/// Of the time that the other blocks of the window take, the part within which a block has to
/// arrive, as 1/n. Too low: blocks come when everybody already waits for them. Too high: slow peers
/// are idle, although they would have been in time.
const IN_TIME_PART: u32 = 2;
/// Blocks that a peer is asked for when it is its turn. Unit: blocks. Enough to measure it. Too
/// high: a slow peer holds up the window.
const TURN_BLOCKS: u64 = 1;

/// When all that is left is in the window, a request is for at most the share of one peer in so
/// many parts of it. Source: guided self-scheduling; 2 leaves room for peers that differ. Too low:
/// the last request of one peer is waited for by all. Too high: many small requests.
const SHARES_OF_THE_END: u64 = 2;
/// A share of the end is no less than what the peer delivers in this time. Unit: time. Too low:
/// many small requests. Too high: the end is that uneven.
const SHORTEST_SHARE: Duration = Duration::from_millis(50);

/// The best score. Unit: thousandths.
const SCORE_MAX: u16 = 1_000;

/// Our policy. See the module.
#[derive(Debug)]
pub struct Adaptive {
    settings: Settings,
    selector: Selector,
    peers: BTreeMap<PeerId, PeerLoad>,
    hedging: Hedging,
}

/// A peer that may be asked now.
#[derive(Clone, Copy)]
struct Candidate<'a> {
    peer: PeerId,
    load: &'a PeerLoad,
    work: PeerWork,
}

impl Candidate<'_> {
    /// The order of choice: as the allocation wants it, then who is likely to deliver first, then
    /// who has less to do.
    fn rank(
        &self,
        blocks: u64,
        allocation: Allocation,
        weights: QualityWeights,
    ) -> (u64, Duration, u64, PeerId) {
        let first = match allocation {
            Allocation::EqualShare => self.work.blocks,
            Allocation::Priority => u64::from(SCORE_MAX.saturating_sub(self.work.standing.score)),
            Allocation::Performance | Allocation::Dynamic => 0,
        };
        let arrives = self.load.arrives_in(self.work, blocks);
        // A peer with half the trust is as good as one that takes twice as long.
        let trust = u32::from(weights.trust(&self.work.standing).max(1));
        let expected = arrives.saturating_mul(SCORE_MAX.into()) / trust;
        (first, expected, self.work.blocks, self.peer)
    }

    /// The same peer as the selector sees it: what we measured of it ourselves is the newest.
    fn seen(&self, bytes_per_block: u64, requests_max: usize) -> selection::Candidate {
        let Self { peer, load, work } = *self;
        let measured = load.bytes_per_second(bytes_per_block);
        let standing = Standing {
            latency: work.standing.latency.or(load.latency()),
            bytes_per_second: measured.or(work.standing.bytes_per_second),
            ..work.standing
        };
        let load = Load { requests: work.requests, requests_max, blocks: work.blocks };
        selection::Candidate { peer, standing, load }
    }
}

/// What a request from `start` on is: everything above a hole waits for it.
fn operation(start: Height, view: &DownloadView<'_>) -> Operation {
    if view.held.is_some_and(|held| start < held) { Operation::Backfill } else { Operation::Blocks }
}

impl Adaptive {
    /// A policy that knows nobody yet.
    pub fn new(settings: Settings, selector: Selector) -> Self {
        Self { settings, selector, peers: BTreeMap::new(), hedging: Hedging::default() }
    }

    /// The weights of what a request from `start` on is.
    fn weights(&self, start: Height, view: &DownloadView<'_>) -> QualityWeights {
        self.selector.settings().weights.of(operation(start, view))
    }

    /// Those with room for `blocks` from `start` on, in the order of choice. Only the first where
    /// the order is that of arrival: if waiting is better than to ask it, it is better than to ask
    /// anybody.
    fn preferred<'a>(
        &'a self,
        now: Duration,
        (start, blocks): (Height, u64),
        view: &'a DownloadView<'_>,
    ) -> Vec<Candidate<'a>> {
        let with_room = self.ready(now, start, view).filter(|of| self.has_room(of, start, view));
        if let SelectionStrategy::Adaptive { .. } = self.selector.settings().strategy {
            let weights = self.weights(start, view);
            let rank = |of: &Candidate<'_>| of.rank(blocks, self.settings.allocation, weights);
            return with_room.min_by_key(rank).into_iter().collect();
        }
        let with_room: BTreeMap<_, _> = with_room.map(|of| (of.peer, of)).collect();
        // All of them, as those without room have what others must not be given too.
        let everybody: Vec<_> = self.everybody(view).map(|of| self.seen(&of, view)).collect();
        let order = self.selector.rank(operation(start, view), &everybody);
        order.iter().filter_map(|peer| with_room.get(peer).copied()).collect()
    }

    fn seen(&self, of: &Candidate<'_>, view: &DownloadView<'_>) -> selection::Candidate {
        of.seen(view.bytes_per_block, self.settings.requests_per_peer_max)
    }

    fn everybody<'a>(
        &'a self,
        view: &'a DownloadView<'_>,
    ) -> impl Iterator<Item = Candidate<'a>> + 'a {
        view.peers.iter().filter_map(|(&peer, &work)| {
            let load = self.peers.get(&peer)?;
            Some(Candidate { peer, load, work })
        })
    }

    /// Who may be asked for `start` now, were nothing open at them.
    fn ready<'a>(
        &'a self,
        now: Duration,
        start: Height,
        view: &'a DownloadView<'_>,
    ) -> impl Iterator<Item = Candidate<'a>> + 'a {
        let everybody = self.everybody(view);
        everybody.filter(move |candidate| candidate.load.is_ready(start, now))
    }

    fn has_room(&self, candidate: &Candidate<'_>, start: Height, view: &DownloadView<'_>) -> bool {
        let most = self.settings.requests_per_peer_max;
        // A front that nobody is asked for is worth a place in a full pipeline.
        let front = start == view.front && candidate.load.is_proven();
        let room = candidate.load.has_room(candidate.work, view.bytes_per_block, most);
        (room || front && candidate.work.requests < most) && self.allotted(candidate) > 0
    }

    /// How many blocks `candidate` may be asked for now by its share of the overall limit.
    fn allotted(&self, candidate: &Candidate<'_>) -> u64 {
        self.settings.bytes_per_second_max.map_or(u64::MAX, |_| candidate.load.allotment())
    }

    /// Gives each peer that may be asked what its share of the overall limit has come to.
    fn allot(&mut self, now: Duration, start: Height, view: &DownloadView<'_>) {
        let Some(limit) = self.settings.bytes_per_second_max else { return };
        let blocks_per_second = limit.get() as f64 / view.bytes_per_block as f64;
        let claimants: Vec<_> = self
            .ready(now, start, view)
            .map(|of| Claimant {
                peer: of.peer,
                rate: of.load.rate(now),
                score: of.work.standing.score,
            })
            .collect();
        for Claimant { peer, .. } in &claimants {
            let share = share(self.settings.allocation, blocks_per_second, &claimants, *peer);
            if let Some(load) = self.peers.get_mut(peer) {
                load.allot(now, share);
            }
        }
    }

    /// Within which time a block has to arrive so that nobody waits for it: a part of the time
    /// that all peers together take for what they can be asked for meanwhile.
    fn in_time(&self, now: Duration, view: &DownloadView<'_>) -> Duration {
        let known = view.peers.keys().filter_map(|peer| self.peers.get(peer));
        let rate: f64 = known.filter_map(|load| load.rate(now)).sum();
        let under_way: u64 = view.peers.values().map(|work| work.blocks).sum();
        let affordable = view.available / view.bytes_per_block.max(1);
        let blocks = under_way.saturating_add(view.wanted.count().min(affordable));
        let all = Duration::try_from_secs_f64(blocks as f64 / rate).unwrap_or(Duration::MAX);
        all / IN_TIME_PART
    }

    /// The largest request of at most `size` blocks to `best` that is worth sending now; none if
    /// another peer, though busy, would be so much earlier that waiting for it is better.
    fn worthwhile(
        &self,
        now: Duration,
        best: Candidate<'_>,
        (start, mut size): (Height, u64),
        view: &DownloadView<'_>,
    ) -> Option<u64> {
        let in_time = self.in_time(now, view);
        // Only who is at work: nothing else would make the wait end.
        let busy: Vec<_> = self
            .ready(now, start, view)
            .filter(|other| other.load.is_proven() && other.work.requests > 0)
            .filter(|other| !self.has_room(other, start, view))
            .collect();
        while size > 0 {
            let arrives = best.load.arrives_in(best.work, size);
            let earlier = |other: &Candidate<'_>| other.load.arrives_in(other.work, size) < arrives;
            if arrives <= in_time || !busy.iter().any(earlier) {
                return Some(size);
            }
            size /= 2;
        }
        None
    }

    /// The largest request to `best` when little is left, so that all peers are done at about the
    /// same time; no bound before.
    fn share_of_the_end(&self, best: Candidate<'_>, view: &DownloadView<'_>) -> u64 {
        if view.last.blocks_above(view.next_import) >= self.settings.window_blocks {
            return u64::MAX;
        }
        let peers = (view.peers.len() as u64).max(1);
        let share = view.wanted.count() / (peers * SHARES_OF_THE_END);
        share.max(best.load.delivers_in(SHORTEST_SHARE).unwrap_or(u64::MAX))
    }

    /// Who has nothing to do and would have `range` before who drips it sends the next block.
    fn hedge_a_drip(
        &self,
        now: Duration,
        late: &Unanswered,
        range: HeightRange,
        view: &DownloadView<'_>,
    ) -> Option<Assignment> {
        let (pace, blocks) = (late.pace?, range.count());
        let idle = self.ready(now, range.start(), view).filter(|other| {
            other.peer != late.peer && other.load.is_proven() && other.work.requests == 0
        });
        let arrives = |other: &Candidate<'_>| other.load.arrives_in(other.work, blocks);
        let best = idle.min_by_key(|other| (arrives(other), other.peer))?;
        let dripped = self.hedging.is_dripped(pace, blocks, arrives(&best));
        dripped.then(|| self.assignment(best, range))
    }

    fn assignment(&self, chosen: Candidate<'_>, range: HeightRange) -> Assignment {
        let block_deadline = chosen.load.block_deadline(chosen.work, self.settings.block_deadline);
        Assignment { peer: chosen.peer, range, block_deadline }
    }
}

impl DownloadPolicy for Adaptive {
    fn window_blocks(&self) -> u64 {
        self.settings.window_blocks
    }

    fn joined(&mut self, now: Duration, peer: PeerId) {
        self.selector.joined(now, peer);
        self.peers.insert(peer, PeerLoad::new(now, &self.settings));
    }

    fn left(&mut self, peer: PeerId) {
        self.selector.left(peer);
        self.peers.remove(&peer);
    }

    fn assign(&mut self, now: Duration, view: &DownloadView<'_>) -> Option<Assignment> {
        let wanted = view.wanted.first_from(Height::GENESIS)?;
        let start = wanted.start();
        self.allot(now, start, view);
        let ready = || self.ready(now, start, view);
        let with_room = || ready().filter(|peer| self.has_room(peer, start, view));
        let (chosen, blocks) =
            match ready().find(|of| self.selector.is_due(now, of.peer) && of.work.requests == 0) {
                Some(due) => (due, TURN_BLOCKS),
                None => {
                    let size = |peer: &Candidate<'_>| peer.load.request_size(view.bytes_per_block);
                    // Compared by the same blocks, or who sends few at once would always be first.
                    let common = with_room().map(|peer| size(&peer)).min()?;
                    let near = start.blocks_above(view.front).max(FRONT_REQUEST_BLOCKS);
                    let preferred = self.preferred(now, (start, common), view);
                    preferred.into_iter().find_map(|best| {
                        let size = size(&best).min(near).min(self.share_of_the_end(best, view));
                        let size = size.min(self.allotted(&best)).min(wanted.count());
                        Some((best, self.worthwhile(now, best, (start, size), view)?))
                    })?
                }
            };
        let (range, _) = wanted.split_at(blocks);
        Some(self.assignment(chosen, range?))
    }

    fn hedge(
        &mut self,
        now: Duration,
        late: &Unanswered,
        view: &DownloadView<'_>,
    ) -> Option<Assignment> {
        let (range, _) = late.missing.split_at(HEDGE_BLOCKS);
        let range = range?;
        if !self.hedging.is_due(late.waited, range.count()) {
            return self.hedge_a_drip(now, late, range, view);
        }
        // A full pipeline does not matter: the front is worth a place in front of the queue.
        let others = self.ready(now, range.start(), view).filter(|other| {
            other.peer != late.peer
                && other.load.is_proven()
                && other.work.requests < self.settings.requests_per_peer_max
        });
        let (blocks, allocation) = (range.count(), self.settings.allocation);
        let weights = self.weights(range.start(), view);
        let best = others.min_by_key(|other| other.rank(blocks, allocation, weights))?;
        Some(self.assignment(best, range))
    }

    fn sent(&mut self, now: Duration, request: RequestId, assignment: &Assignment, hedge: bool) {
        self.selector.asked(now, assignment.peer);
        if let Some(load) = self.peers.get_mut(&assignment.peer) {
            load.sent(request, assignment.range.count(), now);
        }
        if hedge {
            self.hedging.sent(assignment.range.count());
        }
    }

    fn arrived(&mut self, now: Duration, piece: &ArrivedPiece) {
        self.hedging.arrived(piece.blocks, piece.waited);
        if let Some(load) = self.peers.get_mut(&piece.peer) {
            load.arrived(piece, now);
        }
    }

    fn ended(&mut self, now: Duration, reply: &EndedReply) {
        if let Some(load) = self.peers.get_mut(&reply.peer) {
            load.ended(reply, now, &self.settings);
        }
    }

    fn was_late(&mut self, now: Duration, peer: PeerId) {
        if let Some(load) = self.peers.get_mut(&peer) {
            load.was_late(now);
        }
    }

    fn did_not_link(&mut self, now: Duration, peer: PeerId) {
        if let Some(load) = self.peers.get_mut(&peer) {
            load.set_back(now);
        }
    }
}

#[cfg(test)]
#[path = "adaptive_tests.rs"]
mod tests;
