//! geth, block bodies of its full sync (`eth/downloader`, `p2p/msgrate`).
//!
//! Published: each peer is asked for as much as it is measured to deliver in the target round
//! trip, `ceil(1 + 1.01 x rate x target)`, with a rate of weight 0.1 a reply, up to 128 bodies.
//! One request a peer. The target is 0.9 of a round trip of the faster peers, from 2 to 20 s; a
//! request times out after three round trips over the confidence, at most 60 s. Confidence falls
//! as peers join. A peer that delivers nothing has a rate of 0; one that times out on two items or
//! fewer is dropped. Results wait in 8,192 places, or 256 MiB by estimate; 2,048 before sizes are
//! known.
//!
//! Translated: a body is a block. A peer that timed out may be asked again once its request is
//! given up; geth would wait for the late reply, which never comes here.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use alys_sync::{
    flow::RequestId,
    scheduler::{ArrivedPiece, Assignment, DownloadPolicy, DownloadView, EndedReply, ReplyEnd},
    types::PeerId,
};

use super::open::{OpenRequests, blocks, lowest, towards};

/// Most bodies in a request: `MaxBlockFetch`.
const REQUEST_MAX: u64 = 128;
/// Weight of a new measurement: `measurementImpact`.
const IMPACT: f64 = 0.1;
/// `capacityOverestimation`.
const OVERESTIMATION: f64 = 1.01;
/// `rttMinEstimate` and `rttMaxEstimate`.
const ROUND_TRIP: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(20));
/// `rttPushdownFactor`.
const PUSHDOWN: f64 = 0.9;
/// `rttMinConfidence`.
const CONFIDENCE_MIN: f64 = 0.1;
/// `tuningImpact`.
const TUNING: f64 = 0.25;
/// Peers from which on one more does not lower confidence: `tuningConfidenceCap`.
const CONFIDENCE_PEERS: usize = 10;
/// `ttlScaling` and `ttlLimit`.
const TIMEOUT: (f64, Duration) = (3.0, Duration::from_secs(60));
/// Requests of so many items that time out cost the peer its place.
const DROPPED_ITEMS: u64 = 2;
/// Places for results: first, and most. Unit: blocks.
const PLACES: (u64, u64) = (2_048, 8_192);
/// The same in bytes.
const PLACES_BYTES: u64 = 256 << 20;

/// What is measured of a peer.
#[derive(Debug, Clone, Copy)]
struct Tracker {
    /// Items a second.
    rate: f64,
    round_trip: Duration,
}

/// geth's policy. See the module.
#[derive(Debug)]
pub(super) struct Geth {
    trackers: BTreeMap<PeerId, Tracker>,
    dropped: BTreeSet<PeerId>,
    open: OpenRequests,
    round_trip: Duration,
    confidence: f64,
    tuned: Duration,
    places: u64,
}

impl Default for Geth {
    fn default() -> Self {
        Self {
            trackers: BTreeMap::new(),
            dropped: BTreeSet::new(),
            open: OpenRequests::default(),
            round_trip: ROUND_TRIP.1,
            confidence: 1.0,
            tuned: Duration::ZERO,
            places: PLACES.0,
        }
    }
}

impl Geth {
    /// A round trip of the faster peers.
    fn median(&self) -> Duration {
        let mut all: Vec<_> = self.trackers.values().map(|tracker| tracker.round_trip).collect();
        all.sort_unstable();
        let median = all.get(all.len().isqrt()).copied().unwrap_or(ROUND_TRIP.1);
        median.clamp(ROUND_TRIP.0, ROUND_TRIP.1)
    }

    fn mean_rate(&self) -> f64 {
        let sum: f64 = self.trackers.values().map(|tracker| tracker.rate).sum();
        sum / self.trackers.len().max(1) as f64
    }

    fn tune(&mut self, now: Duration) {
        if now.saturating_sub(self.tuned) < self.round_trip {
            return;
        }
        let (old, new) = (self.round_trip.as_secs_f64(), self.median().as_secs_f64());
        self.round_trip = Duration::from_secs_f64(towards(old, new, TUNING));
        self.confidence = towards(self.confidence, 1.0, 0.5);
        self.tuned = now;
    }

    fn timeout(&self) -> Duration {
        self.round_trip.mul_f64(TIMEOUT.0 / self.confidence).min(TIMEOUT.1)
    }

    fn capacity(&self, tracker: Tracker) -> u64 {
        let target = self.round_trip.as_secs_f64() * PUSHDOWN;
        blocks((1.0 + OVERESTIMATION * tracker.rate * target).ceil()).min(REQUEST_MAX)
    }
}

impl DownloadPolicy for Geth {
    fn window_blocks(&self) -> u64 {
        self.places
    }

    fn joined(&mut self, _: Duration, peer: PeerId) {
        let tracker = Tracker { rate: self.mean_rate(), round_trip: self.median() };
        self.trackers.insert(peer, tracker);
        let peers = self.trackers.len();
        if peers == 1 {
            self.confidence = 1.0;
        } else if peers < CONFIDENCE_PEERS {
            let less = (peers - 1) as f64 / peers as f64;
            self.confidence = (self.confidence * less).max(CONFIDENCE_MIN);
        }
    }

    fn left(&mut self, peer: PeerId) {
        self.trackers.remove(&peer);
        self.dropped.remove(&peer);
    }

    fn assign(&mut self, now: Duration, view: &DownloadView<'_>) -> Option<Assignment> {
        self.tune(now);
        self.places = (PLACES_BYTES / view.bytes_per_block).clamp(1, PLACES.1);
        let idle = view
            .peers
            .iter()
            .filter(|(peer, work)| work.requests == 0 && !self.dropped.contains(peer));
        let known = idle.filter_map(|(peer, _)| Some((*peer, *self.trackers.get(peer)?)));
        let (peer, tracker) =
            known.min_by(|(p, a), (q, b)| b.rate.total_cmp(&a.rate).then(p.cmp(q)))?;
        let range = lowest(view, self.capacity(tracker))?;
        // The whole request has a deadline, not a block of it: `expired`.
        Some(Assignment { peer, range, block_deadline: TIMEOUT.1 })
    }

    fn expired(&mut self, now: Duration) -> Option<RequestId> {
        let timeout = self.timeout();
        self.open.find(|open| now.saturating_sub(open.sent) >= timeout)
    }

    fn sent(&mut self, now: Duration, request: RequestId, assignment: &Assignment, _: bool) {
        self.open.sent(now, request, assignment);
    }

    fn arrived(&mut self, now: Duration, piece: &ArrivedPiece) {
        self.open.arrived(now, piece.request);
    }

    fn ended(&mut self, now: Duration, reply: &EndedReply) {
        let Some(open) = self.open.ended(reply.request) else { return };
        let Some(tracker) = self.trackers.get_mut(&reply.peer) else { return };
        if matches!(reply.end, ReplyEnd::Cancelled | ReplyEnd::NotSent) {
            return;
        }
        let took = now.saturating_sub(open.sent);
        if reply.got == 0 {
            tracker.rate = 0.0;
        } else {
            let rate = reply.got as f64 / took.max(Duration::from_nanos(1)).as_secs_f64();
            tracker.rate = towards(tracker.rate, rate, IMPACT);
            let (old, new) = (tracker.round_trip.as_secs_f64(), took.as_secs_f64());
            tracker.round_trip = Duration::from_secs_f64(towards(old, new, IMPACT));
        }
        if reply.end == ReplyEnd::Failed && took >= self.timeout() && open.blocks <= DROPPED_ITEMS {
            self.dropped.insert(reply.peer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::Play, *};

    #[test]
    fn request_follows_the_measured_rate_and_a_zero_delivery_takes_it_all() {
        let mut play = Play::new(Geth::default(), 1, 10_000);
        let (mut asked, second) = (Vec::new(), Duration::from_secs(1));
        for _ in 0..8 {
            let (request, assignment) = play.ask().remove(0);
            asked.push(assignment.range.count());
            play.now += second;
            play.deliver(request, second);
        }
        // 1; then 0.1 items a second for 18 s, once over: 1 + 1.01 x 0.1 x 18, rounded up.
        assert_eq!(asked[..2], [1, 3]);
        assert!(asked.is_sorted() && asked[7] == REQUEST_MAX, "{asked:?}");
        let (request, _) = play.ask().remove(0);
        play.end(request, 0, ReplyEnd::Closed);
        assert_eq!(play.ask()[0].1.range.count(), 1);
    }

    #[test]
    fn timeout_is_three_round_trips_over_the_confidence() {
        let mut geth = Play::new(Geth::default(), 1, 1).policy;
        geth.round_trip = Duration::from_secs(4);
        assert_eq!(geth.timeout(), Duration::from_secs(12));
        geth.confidence = 0.5;
        assert_eq!(geth.timeout(), Duration::from_secs(24));
        geth.confidence = CONFIDENCE_MIN;
        assert_eq!(geth.timeout(), TIMEOUT.1);
    }

    #[test]
    fn peer_that_times_out_on_one_block_is_dropped() {
        let mut play = Play::new(Geth::default(), 1, 10);
        let (request, _) = play.ask().remove(0);
        play.now += Duration::from_secs(59);
        assert_eq!(play.policy.expired(play.now), None);
        play.now += Duration::from_secs(1);
        assert_eq!(play.policy.expired(play.now), Some(request));
        play.end(request, 0, ReplyEnd::Failed);
        assert!(play.ask().is_empty());
    }
}
