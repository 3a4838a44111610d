//! reth's bodies downloader (`crates/net/downloaders`, `crates/net/network/src/fetch`).
//!
//! Published: 200 bodies a request, four requests for each peer but 5 to 100 in all, of which a
//! peer works on one at a time. Of the idle peers the one with the shortest timeout is asked,
//! after those whose last reply was likely bad. A timeout is three round trips of weight 0.1, at
//! least 2 s, and 20 s before anything is measured. Results wait in 2 GiB.
//!
//! Translated: a body is a block; a request waits for an idle peer here, not at the fetcher, which
//! is the same. The memory of this bake-off is less than 2 GiB and holds.

use std::{collections::BTreeMap, time::Duration};

use alys_sync::{
    flow::RequestId,
    scheduler::{ArrivedPiece, Assignment, DownloadPolicy, DownloadView, EndedReply, ReplyEnd},
    types::PeerId,
};

use super::open::{OpenRequests, lowest, towards};

/// Bodies of a request.
const REQUEST_BLOCKS: u64 = 200;
/// How far ahead: more than memory allows.
const AHEAD_BLOCKS: u64 = 1 << 20;
/// Weight of a new round trip.
const WEIGHT: f64 = 0.1;
/// Round trips of a timeout.
const ROUND_TRIPS: u32 = 3;
/// The timeout before anything is measured, and the shortest.
const TIMEOUT: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(2));

/// A peer's session.
#[derive(Debug, Clone, Copy)]
struct Session {
    timeout: Duration,
    likely_bad: bool,
}

/// reth's policy. See the module.
#[derive(Debug, Default)]
pub(super) struct Reth {
    peers: BTreeMap<PeerId, Session>,
    open: OpenRequests,
}

impl DownloadPolicy for Reth {
    fn window_blocks(&self) -> u64 {
        AHEAD_BLOCKS
    }

    fn joined(&mut self, _: Duration, peer: PeerId) {
        self.peers.insert(peer, Session { timeout: TIMEOUT.0, likely_bad: false });
    }

    fn left(&mut self, peer: PeerId) {
        self.peers.remove(&peer);
    }

    fn assign(&mut self, _: Duration, view: &DownloadView<'_>) -> Option<Assignment> {
        let range = lowest(view, REQUEST_BLOCKS)?;
        let idle = view.peers.iter().filter(|(_, work)| work.requests == 0);
        let ranked = idle.filter_map(|(peer, _)| {
            let session = self.peers.get(peer)?;
            Some((session.likely_bad, session.timeout, *peer))
        });
        let (_, _, peer) = ranked.min()?;
        Some(Assignment { peer, range, block_deadline: TIMEOUT.0 })
    }

    fn expired(&mut self, now: Duration) -> Option<RequestId> {
        let timeout =
            |peer: &PeerId| self.peers.get(peer).map_or(TIMEOUT.0, |session| session.timeout);
        self.open.find(|open| now.saturating_sub(open.sent) >= timeout(&open.peer))
    }

    fn sent(&mut self, now: Duration, request: RequestId, assignment: &Assignment, _: bool) {
        self.open.sent(now, request, assignment);
    }

    fn arrived(&mut self, now: Duration, piece: &ArrivedPiece) {
        self.open.arrived(now, piece.request);
    }

    fn ended(&mut self, now: Duration, reply: &EndedReply) {
        let Some(open) = self.open.ended(reply.request) else { return };
        let Some(session) = self.peers.get_mut(&reply.peer) else { return };
        session.likely_bad = reply.end == ReplyEnd::Failed;
        let took = now.saturating_sub(open.sent);
        if reply.end == ReplyEnd::Closed || took >= session.timeout {
            let round_trip = session.timeout.as_secs_f64() / f64::from(ROUND_TRIPS);
            let round_trip = towards(round_trip, took.as_secs_f64(), WEIGHT);
            let timeout = Duration::from_secs_f64(round_trip).saturating_mul(ROUND_TRIPS);
            session.timeout = timeout.max(TIMEOUT.1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::Play, *};

    #[test]
    fn peer_with_the_shortest_timeout_is_asked_first_and_one_that_failed_last() {
        let mut play = Play::new(Reth::default(), 3, 10_000);
        let open = play.ask();
        assert_eq!((open.len(), open[0].1.range.count()), (3, 200));
        let peers: Vec<_> = open.iter().map(|(_, asked)| asked.peer).collect();
        play.now += Duration::from_secs(1);
        play.deliver(open[0].0, Duration::from_secs(1));
        play.now += Duration::from_secs(1);
        play.deliver(open[1].0, Duration::from_secs(2));
        play.end(open[2].0, 0, ReplyEnd::Failed);
        let asked: Vec<_> = play.ask().iter().map(|(_, asked)| asked.peer).collect();
        assert_eq!(asked, peers);
    }

    #[test]
    fn timeout_is_three_round_trips_and_at_least_two_seconds() {
        let mut play = Play::new(Reth::default(), 1, 100_000);
        let timeout = |play: &Play<Reth>| play.policy.peers.values().next().unwrap().timeout;
        for _ in 0..100 {
            let (request, _) = play.ask().remove(0);
            play.now += Duration::from_secs(4);
            play.deliver(request, Duration::from_secs(4));
        }
        assert!(timeout(&play).abs_diff(Duration::from_secs(12)) < Duration::from_millis(1));
        for _ in 0..100 {
            let (request, _) = play.ask().remove(0);
            play.now += Duration::from_millis(1);
            play.deliver(request, Duration::from_millis(1));
        }
        assert_eq!(timeout(&play), TIMEOUT.1);
    }
}
