//! Our policy: each peer gets what it can deliver in time, by what was measured of it.
//!
//! Who would deliver the lowest wanted blocks first gets them, so that a fast peer gets much and a
//! slow one little. No peer gets blocks that would come so late that all others had to wait for
//! them, if somebody who is busy now would deliver them earlier. A newcomer is asked for a little
//! at once, and one that was not asked for long gets a turn: who is never asked is never known.

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
/// The score below which nobody is ranked lower. Unit: thousandths. Too low: such a peer gets
/// nothing but its turns. Too high: bad peers are chosen as if they were better.
const SCORE_LEAST: u16 = 100;

/// Our policy. See the module.
#[derive(Debug)]
pub struct Adaptive {
    settings: Settings,
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
    fn rank(&self, blocks: u64, allocation: Allocation) -> (u64, Duration, u64, PeerId) {
        let first = match allocation {
            Allocation::EqualShare => self.work.blocks,
            Allocation::Priority => u64::from(SCORE_MAX.saturating_sub(self.work.score)),
            Allocation::Performance | Allocation::Dynamic => 0,
        };
        let arrives = self.load.arrives_in(self.work, blocks);
        // A peer with half the score is as good as one that takes twice as long.
        let score = self.work.score.clamp(SCORE_LEAST, SCORE_MAX);
        let expected = arrives.saturating_mul(SCORE_MAX.into()) / u32::from(score);
        (first, expected, self.work.blocks, self.peer)
    }
}

impl Adaptive {
    /// A policy that knows nobody yet.
    pub fn new(settings: Settings) -> Self {
        Self { settings, peers: BTreeMap::new(), hedging: Hedging::default() }
    }

    /// Who may be asked for `start` now, were nothing open at them.
    fn ready<'a>(
        &'a self,
        now: Duration,
        start: Height,
        view: &'a DownloadView<'_>,
    ) -> impl Iterator<Item = Candidate<'a>> + 'a {
        let peers = view.peers.iter().filter_map(|(&peer, &work)| {
            let load = self.peers.get(&peer)?;
            Some(Candidate { peer, load, work })
        });
        peers.filter(move |candidate| candidate.load.is_ready(start, now))
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
            .map(|of| Claimant { peer: of.peer, rate: of.load.rate(now), score: of.work.score })
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
        self.peers.insert(peer, PeerLoad::new(now, &self.settings));
    }

    fn left(&mut self, peer: PeerId) {
        self.peers.remove(&peer);
    }

    fn assign(&mut self, now: Duration, view: &DownloadView<'_>) -> Option<Assignment> {
        let wanted = view.wanted.first_from(Height::GENESIS)?;
        let start = wanted.start();
        self.allot(now, start, view);
        let ready = || self.ready(now, start, view);
        let with_room = || ready().filter(|peer| self.has_room(peer, start, view));
        let (chosen, blocks) =
            match ready().find(|peer| peer.load.is_due(now) && peer.work.requests == 0) {
                Some(due) => (due, TURN_BLOCKS),
                None => {
                    let size = |peer: &Candidate<'_>| peer.load.request_size(view.bytes_per_block);
                    // Compared by the same blocks, or who sends few at once would always be first.
                    let common = with_room().map(|peer| size(&peer)).min()?;
                    let best = with_room()
                        .min_by_key(|peer| peer.rank(common, self.settings.allocation))?;
                    let near = start.blocks_above(view.front).max(FRONT_REQUEST_BLOCKS);
                    let size = size(&best).min(near).min(self.share_of_the_end(best, view));
                    let size = size.min(self.allotted(&best)).min(wanted.count());
                    (best, self.worthwhile(now, best, (start, size), view)?)
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
            return None;
        }
        // A full pipeline does not matter: the front is worth a place in front of the queue.
        let others = self.ready(now, range.start(), view).filter(|other| {
            other.peer != late.peer
                && other.load.is_proven()
                && other.work.requests < self.settings.requests_per_peer_max
        });
        let best =
            others.min_by_key(|other| other.rank(range.count(), self.settings.allocation))?;
        Some(self.assignment(best, range))
    }

    fn sent(&mut self, now: Duration, request: RequestId, assignment: &Assignment, hedge: bool) {
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
