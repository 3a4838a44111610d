//! How much one peer should have outstanding, from how fast it delivers and how far away it is.
//!
//! The idea is that of BBR congestion control: keep about twice as much on the way as the peer
//! delivers in one round trip. While that is less than the way could carry, the rate measured grows
//! with it, so it doubles with each round trip; once the way is full it stays. Pure.

use std::{collections::BTreeMap, time::Duration};

use crate::flow::RequestId;

/// Blocks outstanding before anything is measured. Unit: blocks. Source: a few first requests. Too
/// low: one more round trip before full speed. Too high: an unknown peer holds much of the window.
const PIPELINE_FIRST: u64 = 64;
/// Least blocks outstanding. Unit: blocks. Too low: the peer waits for our next request whenever we
/// are busy. Too high: a slow peer holds more of the window, and its end is waited for.
const PIPELINE_MIN: u64 = 16;
/// Most blocks outstanding. Unit: blocks. Source: half of the default window. Too low: fast peers
/// far away are not used. Too high: one peer holds the window.
const PIPELINE_MAX: u64 = 4_096;
/// Round trips of blocks outstanding. Source: BBR's gain for filling the way. Too low: the rate
/// never grows. Too high: blocks queue up on the way, and every stall loses more.
const ROUND_TRIPS: u32 = 2;
/// What is outstanding beyond the round trips. Unit: time. Source: our own pauses: pieces of a
/// reply wait for each other, and plans are made when one arrives. Too low: near peers idle. Too
/// high: blocks queue up at the peer.
const SLACK: Duration = Duration::from_millis(100);
/// A rate is forgotten by one part in so many with each piece that arrives. Too low: it follows
/// every hiccup. Too high: a peer that became slow keeps too much.
const FORGET: f64 = 64.0;
/// Shortest time that a rate is measured over. Unit: time. Too low: a burst looks like a rate. Too
/// high: very near peers are underestimated.
const MEASURED_MIN: Duration = Duration::from_millis(1);

/// A busy peer is measured over at least this long. Unit: time. Source: longer than the pieces of
/// a reply wait for each other. Too low: a burst looks like a rate. Too high: a new peer is slow
/// for longer than it has to be.
const BUSY_MIN: Duration = Duration::from_millis(150);
/// And at most over this long, before it is measured afresh. Too low: noise. Too high: a peer that
/// became faster is noticed late.
const BUSY_MAX: Duration = Duration::from_secs(1);

/// A peer that is never busy for that long is known all the same after so many blocks. Source: two
/// first pipelines, so that one was asked for and delivered as a whole. Unit: blocks.
const KNOWN_AFTER: u64 = 2 * PIPELINE_FIRST;

/// What is known of a peer's speed.
#[derive(Debug, Clone, Default)]
pub(super) struct PeerRate {
    sent: BTreeMap<RequestId, Sent>,
    /// Blocks delivered so far.
    delivered: u64,
    /// The best rate of late. Unit: blocks a second.
    rate: Option<f64>,
    /// From a request to the first piece of its reply, when nothing queues up before it.
    latency: Option<Duration>,
    /// Since when it delivers, and how much it had delivered then. A rate measured from here on
    /// holds no round trip, so it is right before the way is full.
    busy: Option<(Duration, u64)>,
    /// It was busy for long enough to be measured.
    measured: bool,
}

/// A request on the way.
#[derive(Debug, Clone)]
struct Sent {
    at: Duration,
    /// What was delivered when it was sent.
    delivered: u64,
    /// Nothing else was on the way.
    alone: bool,
    /// A piece of its reply has arrived.
    answered: bool,
}

impl PeerRate {
    pub(super) fn sent(&mut self, request: RequestId, now: Duration) {
        let alone = self.sent.is_empty();
        let sent = Sent { at: now, delivered: self.delivered, alone, answered: false };
        self.sent.insert(request, sent);
    }

    pub(super) fn arrived(&mut self, request: RequestId, blocks: u64, now: Duration) {
        self.delivered = self.delivered.saturating_add(blocks);
        let Some(sent) = self.sent.get_mut(&request) else { return };
        let took = now.saturating_sub(sent.at);
        if !std::mem::replace(&mut sent.answered, true) {
            // Behind other replies it waits for those: then it says only how far away at most.
            let nearer = self.latency.is_none_or(|latency| took < latency);
            if sent.alone || nearer {
                self.latency = Some(took);
            }
        }
        let seconds = took.max(MEASURED_MIN).as_secs_f64();
        let sample = (self.delivered - sent.delivered) as f64 / seconds;
        let before = self.rate.map_or(0.0, |rate| rate - rate / FORGET);
        self.rate = Some(sample.max(self.busy_rate(now)).max(before));
    }

    /// Blocks a second since it began to deliver; 0 when that was just now.
    fn busy_rate(&mut self, now: Duration) -> f64 {
        let (since, delivered) = *self.busy.get_or_insert((now, self.delivered));
        let took = now.saturating_sub(since);
        if took < BUSY_MIN {
            return 0.0;
        }
        self.measured = true;
        if took >= BUSY_MAX {
            self.busy = Some((now, self.delivered));
        }
        (self.delivered - delivered) as f64 / took.as_secs_f64()
    }

    /// A reply is over; when its request was sent.
    pub(super) fn ended(&mut self, request: RequestId) -> Option<Duration> {
        let sent = self.sent.remove(&request);
        if self.sent.is_empty() {
            self.busy = None;
        }
        sent.map(|sent| sent.at)
    }

    /// Whether it delivered for long enough for its speed to be known.
    pub(super) fn is_known(&self) -> bool {
        self.measured || self.delivered >= KNOWN_AFTER
    }

    /// How many blocks it should have outstanding. At least 1.
    pub(super) fn pipeline(&self) -> u64 {
        let (Some(rate), Some(latency), true) = (self.rate, self.latency, self.is_known()) else {
            return PIPELINE_FIRST;
        };
        let ahead = latency.saturating_mul(ROUND_TRIPS).saturating_add(SLACK);
        let blocks = rate * ahead.as_secs_f64();
        let most = PIPELINE_MAX as f64;
        // Within bounds that a `u64` holds exactly.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded")]
        let blocks = blocks.clamp(PIPELINE_MIN as f64, most).ceil() as u64;
        blocks
    }

    /// The best rate of late. Unit: blocks a second, more than 0.
    pub(super) fn rate(&self) -> Option<f64> {
        self.rate.filter(|rate| *rate > 0.0)
    }

    /// From a request to the first piece of its reply, if that was measured.
    pub(super) fn latency(&self) -> Option<Duration> {
        self.latency
    }

    /// How many blocks it delivers in `time`, at least 1; `None` if it was never measured.
    pub(super) fn delivers_in(&self, time: Duration) -> Option<u64> {
        let blocks = self.rate()? * time.as_secs_f64();
        // More than a `u64` holds is as many as it holds.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
        let blocks = blocks as u64;
        Some(blocks.max(1))
    }

    /// How long the last of `blocks` would take to arrive, if all of them are outstanding. Zero
    /// for a peer that was never measured.
    pub(super) fn arrives_in(&self, blocks: u64) -> Duration {
        let Some(rate) = self.rate() else { return Duration::ZERO };
        let transfer = Duration::try_from_secs_f64(blocks as f64 / rate).unwrap_or(Duration::MAX);
        transfer.saturating_add(self.latency.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// A peer at a distance over a way that carries so many blocks a second, always kept as busy
    /// as its pipeline says, with requests of `size`; what the pipeline is after each second.
    fn pipelines(
        round_trip: Duration,
        blocks_per_second: f64,
        size: u64,
        seconds: u64,
    ) -> Vec<u64> {
        let mut rate = PeerRate::default();
        let mut open: VecDeque<(Duration, RequestId)> = VecDeque::new();
        let (mut now, mut free, mut next) = (Duration::ZERO, Duration::ZERO, 0);
        let mut seen = Vec::new();
        for second in 1..=seconds {
            while now < Duration::from_secs(second) {
                while (open.len() as u64) * size < rate.pipeline() {
                    let (request, ready) = (RequestId(next), now + round_trip);
                    next += 1;
                    free =
                        free.max(ready) + Duration::from_secs_f64(size as f64 / blocks_per_second);
                    rate.sent(request, now);
                    open.push_back((free, request));
                }
                let (at, request) = open.pop_front().unwrap();
                now = at;
                rate.arrived(request, size, now);
                rate.ended(request);
            }
            seen.push(rate.pipeline());
        }
        seen
    }

    #[test]
    fn way_is_filled_within_seconds_and_not_overfilled() {
        for (round_trip_ms, blocks_per_second, size) in [
            (5, 1_000.0, 32),
            (50, 1_000.0, 32),
            (150, 1_000.0, 32),
            (150, 38.0, 4),
            (50, 10_000.0, 64),
        ] {
            let round_trip = Duration::from_millis(round_trip_ms);
            let carried = blocks_per_second * round_trip.as_secs_f64();
            let seen = pipelines(round_trip, blocks_per_second, size, 20);
            for pipeline in &seen[3..] {
                let fits = carried.min(PIPELINE_MAX as f64)..=4.0 * carried + 1_200.0;
                assert!(
                    fits.contains(&(*pipeline as f64)),
                    "{round_trip:?} {blocks_per_second}: {seen:?}"
                );
            }
        }
    }

    #[test]
    fn rate_is_known_without_the_round_trip_from_the_second_piece_on() {
        let mut rate = PeerRate::default();
        let at = |millis| Duration::from_millis(millis);
        rate.sent(RequestId(1), Duration::ZERO);
        // 40 blocks a second behind a round trip of 500 ms.
        rate.arrived(RequestId(1), 4, at(600));
        assert_eq!(rate.pipeline(), PIPELINE_FIRST);
        rate.arrived(RequestId(1), 4, at(700));
        rate.arrived(RequestId(1), 4, at(800));
        assert!((39.0..41.0).contains(&rate.rate().unwrap()), "{rate:?}");
        assert_eq!(rate.pipeline(), 52, "40 blocks a second for 1.3 seconds");
    }

    #[test]
    fn pipeline_is_bounded_whatever_is_measured() {
        let mut rate = PeerRate::default();
        assert_eq!(rate.pipeline(), PIPELINE_FIRST);
        rate.sent(RequestId(1), Duration::ZERO);
        rate.arrived(RequestId(1), u64::MAX, Duration::ZERO);
        assert_eq!(rate.pipeline(), PIPELINE_MAX);
        let mut slow = PeerRate::default();
        slow.sent(RequestId(1), Duration::ZERO);
        slow.arrived(RequestId(1), 1, Duration::ZERO);
        slow.arrived(RequestId(1), 1, Duration::MAX);
        assert!((PIPELINE_MIN..=PIPELINE_MAX).contains(&slow.pipeline()));
        assert!(slow.arrives_in(u64::MAX) > Duration::ZERO);
    }

    #[test]
    fn quicker_and_nearer_peers_are_expected_sooner() {
        let of = |latency_ms, blocks| {
            let mut rate = PeerRate::default();
            rate.sent(RequestId(1), Duration::ZERO);
            rate.arrived(RequestId(1), blocks, Duration::from_millis(latency_ms));
            rate.arrives_in(32)
        };
        assert!(of(100, 100) < of(100, 10));
        assert!(of(10, 10) < of(100, 100), "the same rate, but nearer");
        assert_eq!(PeerRate::default().arrives_in(32), Duration::ZERO, "first of all, one unknown");
    }
}
