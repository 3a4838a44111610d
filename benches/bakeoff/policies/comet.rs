//! CometBFT's block sync (`internal/blocksync/pool.go`).
//!
//! Published: one block a request, at most 20 open at a peer, and 20 for each peer in all. Of the
//! peers with room the one that receives fastest is asked, by a monitor with samples of 1 s over a
//! window of 40 s that starts at e times 128 KB/s. A block within 50 of the next one to import is
//! asked of two peers at once. A peer that sends nothing for 15 s, or less than 128 KB/s, is let
//! go for 60 s; a request is sent elsewhere after 30 s.
//!
//! Translated: the wait of 3 s for peers at the start is left out, as they are connected when a
//! run begins, and so is the pause of 2 ms between requests. The first of two replies ends the
//! other request; CometBFT would receive both.

use std::{collections::BTreeMap, time::Duration};

use alys_sync::{
    flow::RequestId,
    scheduler::{ArrivedPiece, Assignment, DownloadPolicy, DownloadView, EndedReply, Unanswered},
    types::{HeightRange, PeerId},
};

use super::open::{OpenRequests, lowest, towards};

/// `maxPendingRequestsPerPeer`.
const REQUESTS_OF_PEER: usize = 20;
/// `minBlocksForSingleRequest`.
const ASKED_TWICE: u64 = 50;
/// `minRecvRate`. Unit: bytes a second.
const RATE_MIN: f64 = 128.0 * 1_024.0;
/// `peerTimeout`.
const SILENCE: Duration = Duration::from_secs(15);
/// `requestRetrySeconds`.
const RETRY: Duration = Duration::from_secs(30);
/// How long a peer is let go.
const BANNED: Duration = Duration::from_secs(60);
/// Time of a sample of the rate.
const SAMPLE: Duration = Duration::from_secs(1);
/// Window of the rate. Unit: seconds.
const WINDOW_SECONDS: f64 = 40.0;

/// What is known of a peer.
#[derive(Debug, Clone, Copy, Default)]
struct Monitor {
    pending: usize,
    /// Unit: bytes a second.
    rate: f64,
    /// Bytes of the sample that is being taken.
    bytes: u64,
    /// When that was begun.
    sampled: Duration,
    /// When it sent something last, or began to have something to send.
    heard: Duration,
    banned_until: Duration,
}

impl Monitor {
    fn sample(&mut self, now: Duration) {
        let took = now.saturating_sub(self.sampled);
        if took < SAMPLE {
            return;
        }
        let seconds = took.as_secs_f64();
        let weight = 1.0 - (-seconds / WINDOW_SECONDS).exp();
        self.rate = towards(self.rate, self.bytes as f64 / seconds, weight);
        (self.bytes, self.sampled) = (0, now);
    }

    fn begin(&mut self, now: Duration) {
        (self.rate, self.bytes) = (RATE_MIN * std::f64::consts::E, 0);
        (self.sampled, self.heard) = (now, now);
    }

    /// It sends nothing, or too little.
    fn fails(&self, now: Duration) -> bool {
        let silent = now.saturating_sub(self.heard) >= SILENCE;
        self.pending > 0 && (silent || self.rate < RATE_MIN)
    }
}

/// CometBFT's policy. See the module.
#[derive(Debug, Default)]
pub(super) struct Comet {
    peers: BTreeMap<PeerId, Monitor>,
    open: OpenRequests,
}

impl Comet {
    /// The fastest peer with room, other than `not`.
    fn choose(&self, now: Duration, not: Option<PeerId>) -> Option<PeerId> {
        let with_room = self.peers.iter().filter(|(peer, of)| {
            of.pending < REQUESTS_OF_PEER && now >= of.banned_until && Some(**peer) != not
        });
        let best = with_room.min_by(|(p, a), (q, b)| b.rate.total_cmp(&a.rate).then(p.cmp(q)));
        best.map(|(peer, _)| *peer)
    }
}

impl DownloadPolicy for Comet {
    fn window_blocks(&self) -> u64 {
        (self.peers.len() * REQUESTS_OF_PEER).max(1) as u64
    }

    fn joined(&mut self, _: Duration, peer: PeerId) {
        self.peers.insert(peer, Monitor::default());
    }

    fn left(&mut self, peer: PeerId) {
        self.peers.remove(&peer);
    }

    fn assign(&mut self, now: Duration, view: &DownloadView<'_>) -> Option<Assignment> {
        let range = lowest(view, 1)?;
        let peer = self.choose(now, None)?;
        Some(Assignment { peer, range, block_deadline: RETRY })
    }

    fn hedges_beyond_front(&self) -> u64 {
        ASKED_TWICE - 1
    }

    fn hedge(
        &mut self,
        now: Duration,
        late: &Unanswered,
        _: &DownloadView<'_>,
    ) -> Option<Assignment> {
        let peer = self.choose(now, Some(late.peer))?;
        let range = HeightRange::single(late.missing.start());
        Some(Assignment { peer, range, block_deadline: RETRY })
    }

    fn expired(&mut self, now: Duration) -> Option<RequestId> {
        self.peers.values_mut().for_each(|monitor| monitor.sample(now));
        for monitor in self.peers.values_mut().filter(|monitor| monitor.fails(now)) {
            monitor.banned_until = now.saturating_add(BANNED);
        }
        let banned = |peer: &PeerId| self.peers.get(peer).is_some_and(|of| now < of.banned_until);
        self.open.find(|open| banned(&open.peer))
    }

    fn sent(&mut self, now: Duration, request: RequestId, assignment: &Assignment, _: bool) {
        self.open.sent(now, request, assignment);
        if let Some(monitor) = self.peers.get_mut(&assignment.peer) {
            if monitor.pending == 0 {
                monitor.begin(now);
            }
            monitor.pending += 1;
        }
    }

    fn arrived(&mut self, now: Duration, piece: &ArrivedPiece) {
        if let Some(monitor) = self.peers.get_mut(&piece.peer) {
            monitor.bytes += piece.bytes;
            monitor.heard = now;
        }
    }

    fn ended(&mut self, _: Duration, reply: &EndedReply) {
        self.open.ended(reply.request);
        if let Some(monitor) = self.peers.get_mut(&reply.peer) {
            monitor.pending = monitor.pending.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::Play, *};

    #[test]
    fn twenty_blocks_are_asked_of_each_peer_one_by_one() {
        let mut play = Play::new(Comet::default(), 3, 1_000);
        assert!(play.ask().iter().all(|(_, asked)| asked.range.count() == 1));
        assert_eq!(play.requests(), [20; 3]);
        assert_eq!(play.policy.window_blocks(), 60);
    }

    #[test]
    fn block_near_the_next_one_is_asked_of_a_second_peer_at_once() {
        let mut play = Play::new(Comet::default(), 3, 40);
        let (request, first) = play.ask().remove(0);
        let second = play.hedge(request, Duration::ZERO).unwrap();
        assert_eq!(second.range, first.range);
        assert_ne!(second.peer, first.peer);
        assert_eq!(play.policy.hedges_beyond_front(), 49);
    }

    #[test]
    fn silent_peer_and_slow_peer_are_let_go_for_a_minute() {
        let mut play = Play::new(Comet::default(), 1, 1_000);
        play.ask();
        play.now += SILENCE;
        while let Some(request) = play.policy.expired(play.now) {
            play.end(request, 0, alys_sync::scheduler::ReplyEnd::Failed);
        }
        assert!(play.ask().is_empty());
        play.now += BANNED;
        assert_eq!(play.ask().len(), 20);
        let mut monitor = Monitor { pending: 1, ..Monitor::default() };
        monitor.begin(Duration::ZERO);
        // 50 KB a second are too little, which is known when the window has moved far enough.
        let slow_at = (1..200).find(|second| {
            let now = Duration::from_secs(*second);
            (monitor.bytes, monitor.heard) = (51_200, now);
            monitor.sample(now);
            monitor.fails(now)
        });
        assert!(slow_at.is_some_and(|at| (40..60).contains(&at)), "{slow_at:?}");
    }
}
