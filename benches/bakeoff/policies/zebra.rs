//! Zebra's block downloads (`zebrad/src/components/sync`, `zebra-network/src/peer_set`).
//!
//! Published: one block a request, at most 50 requests in all and some 1,000 blocks ahead. A peer
//! is chosen as the better of two ready ones, by peak-EWMA load: its latest worst wait, decaying,
//! times what is open at it. A request that waits longer than the 95th percentile of all waits is
//! sent to a second peer, once 20 waits are known, of those of the last 134 s. 20 s are a timeout.
//!
//! Translated: a connection of Zebra works on one request and holds one more, so a peer is ready
//! while it has fewer than two. The first reply ends the other request, as in all of this
//! bake-off; Zebra would receive both.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use alys_sync::{
    flow::RequestId,
    scheduler::{
        ArrivedPiece, Assignment, DownloadPolicy, DownloadView, EndedReply, PeerWork, Unanswered,
    },
    types::{HeightRange, PeerId},
};
use rand::{SeedableRng as _, rngs::StdRng, seq::IteratorRandom as _};

use super::open::lowest;

/// `download_concurrency_limit`.
const REQUESTS_MAX: usize = 50;
/// Requests that a connection takes: one at work, one that waits.
const REQUESTS_OF_PEER: usize = 2;
/// `checkpoint_verify_concurrency_limit`, the look-ahead.
const AHEAD_BLOCKS: u64 = 1_000;
/// `BLOCK_DOWNLOAD_TIMEOUT`.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Waits before anything is hedged.
const HEDGE_SAMPLES_MIN: usize = 20;
/// The percentile of waits beyond which a request is hedged.
const HEDGE_PERCENT: usize = 95;
/// Waits older than this are forgotten: twice the restart delay of 67 s.
const HEDGE_WINDOW: Duration = Duration::from_secs(134);
/// What an unknown peer is taken to need: `EWMA_DEFAULT_RTT`, the request timeout and a second.
const WAIT_UNKNOWN: f64 = 21.0;
/// `EWMA_DECAY_TIME`. Unit: seconds.
const DECAY_SECONDS: f64 = 200.0;

/// The load of a peer, without what is open at it.
#[derive(Debug, Clone, Copy)]
struct PeakWait {
    seconds: f64,
    at: Duration,
}

impl PeakWait {
    fn update(&mut self, now: Duration, wait: Duration) {
        let wait = wait.as_secs_f64();
        let decay = (-now.saturating_sub(self.at).as_secs_f64() / DECAY_SECONDS).exp();
        self.seconds = wait.max(self.seconds * decay + wait * (1.0 - decay));
        self.at = now;
    }
}

/// The waits of the last while, in order of time and of length.
#[derive(Debug, Default)]
struct Waits {
    by_time: VecDeque<(Duration, Duration)>,
    by_length: Vec<Duration>,
}

impl Waits {
    fn add(&mut self, now: Duration, wait: Duration) {
        self.by_time.push_back((now, wait));
        self.by_length.insert(self.by_length.partition_point(|other| *other < wait), wait);
        while let Some((_, old)) = self.by_time.pop_front_if(|(at, _)| *at + HEDGE_WINDOW < now) {
            self.by_length.remove(self.by_length.partition_point(|other| *other < old));
        }
    }

    /// How long a request may wait; none if too little is known.
    fn late_after(&self) -> Option<Duration> {
        let count = self.by_length.len();
        let late = self.by_length.get(count * HEDGE_PERCENT / 100).copied();
        late.filter(|_| count >= HEDGE_SAMPLES_MIN)
    }
}

/// Zebra's policy. See the module.
#[derive(Debug)]
pub(super) struct Zebra {
    chance: StdRng,
    peers: BTreeMap<PeerId, PeakWait>,
    waits: Waits,
}

impl Zebra {
    /// A policy whose pairs of peers `seed` decides.
    pub(super) fn new(seed: u64) -> Self {
        let chance = StdRng::seed_from_u64(seed);
        Self { chance, peers: BTreeMap::new(), waits: Waits::default() }
    }

    /// The better of two ready peers other than `not`.
    fn choose(&mut self, view: &DownloadView<'_>, not: Option<PeerId>) -> Option<PeerId> {
        let ready = view
            .peers
            .iter()
            .filter(|(peer, work)| work.requests < REQUESTS_OF_PEER && Some(**peer) != not);
        let load = |(peer, work): (&PeerId, &PeerWork)| {
            let wait = self.peers.get(peer).map_or(WAIT_UNKNOWN, |wait| wait.seconds);
            (*peer, wait * (work.requests + 1) as f64)
        };
        let two = ready.map(load).choose_multiple(&mut self.chance, 2);
        let best = two.into_iter().min_by(|(_, a), (_, b)| a.total_cmp(b));
        best.map(|(peer, _)| peer)
    }
}

fn has_room(view: &DownloadView<'_>) -> bool {
    view.peers.values().map(|work| work.requests).sum::<usize>() < REQUESTS_MAX
}

impl DownloadPolicy for Zebra {
    fn window_blocks(&self) -> u64 {
        AHEAD_BLOCKS
    }

    fn joined(&mut self, now: Duration, peer: PeerId) {
        self.peers.insert(peer, PeakWait { seconds: WAIT_UNKNOWN, at: now });
    }

    fn left(&mut self, peer: PeerId) {
        self.peers.remove(&peer);
    }

    fn assign(&mut self, _: Duration, view: &DownloadView<'_>) -> Option<Assignment> {
        let range = lowest(view, 1).filter(|_| has_room(view))?;
        let peer = self.choose(view, None)?;
        Some(Assignment { peer, range, block_deadline: TIMEOUT })
    }

    fn hedges_beyond_front(&self) -> u64 {
        AHEAD_BLOCKS
    }

    fn hedge(
        &mut self,
        _: Duration,
        late: &Unanswered,
        view: &DownloadView<'_>,
    ) -> Option<Assignment> {
        let late_after = self.waits.late_after()?;
        if late.waited < late_after {
            return None;
        }
        let peer = self.choose(view, Some(late.peer))?;
        let range = HeightRange::single(late.missing.start());
        Some(Assignment { peer, range, block_deadline: TIMEOUT })
    }

    fn sent(&mut self, _: Duration, _: RequestId, _: &Assignment, _: bool) {}

    fn arrived(&mut self, now: Duration, piece: &ArrivedPiece) {
        self.waits.add(now, piece.waited);
        if let Some(peer) = self.peers.get_mut(&piece.peer) {
            peer.update(now, piece.waited);
        }
    }

    fn ended(&mut self, _: Duration, _: &EndedReply) {}
}

#[cfg(test)]
mod tests {
    use super::{super::tests::Play, *};

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn blocks_are_asked_for_one_by_one_two_at_a_peer_and_fifty_in_all() {
        let mut play = Play::new(Zebra::new(1), 4, 1_000);
        assert!(play.ask().iter().all(|(_, asked)| asked.range.count() == 1));
        assert_eq!(play.requests(), [2; 4]);
        assert_eq!(Play::new(Zebra::new(1), 30, 1_000).ask().len(), 50);
    }

    #[test]
    fn request_is_hedged_beyond_the_95th_percentile_once_twenty_are_known() {
        let mut play = Play::new(Zebra::new(1), 3, 1_000);
        for wait in 1..=20 {
            let (request, _) = play.ask().remove(0);
            assert_eq!(play.hedge(request, 60_000 * MS), None, "{wait}");
            play.deliver(request, wait * 10 * MS);
        }
        let (request, first) = play.ask().remove(0);
        assert_eq!(play.hedge(request, 200 * MS), None, "nobody else is ready");
        let other = *play.peers.keys().find(|peer| **peer != first.peer).unwrap();
        play.peers.get_mut(&other).unwrap().requests = 1;
        assert_eq!(play.hedge(request, 199 * MS), None);
        assert_eq!(play.hedge(request, 200 * MS).map(|again| again.peer), Some(other));
    }

    #[test]
    fn load_is_the_worst_wait_of_late_times_what_is_open() {
        let mut wait = PeakWait { seconds: 1.0, at: Duration::ZERO };
        wait.update(Duration::ZERO, 3_000 * MS);
        assert!((wait.seconds - 3.0).abs() < 1e-9, "it rises at once");
        wait.update(Duration::from_secs(200), 1_000 * MS);
        assert!((wait.seconds - 1.0 - 2.0 / std::f64::consts::E).abs() < 1e-9, "and sinks slowly");
    }
}
