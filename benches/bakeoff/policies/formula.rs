//! The formula of the first design: 128 blocks times factors of bandwidth, latency and peers.
//!
//! Given: the base, the three factors, averages over all peers, batches of 32 to 512 blocks, 16
//! assignments at once, 30 s a request, and 300 s of exclusion after three failures in a row. Not
//! given, and chosen here: what counts as usual (1 MB/s, 100 ms, 5 peers), that each factor is
//! bounded by a half and two, and that who has least to do is asked. Before anything is measured
//! the factors are 1.

use std::{collections::BTreeMap, time::Duration};

use alys_sync::{
    flow::RequestId,
    scheduler::{
        ArrivedPiece, Assignment, DownloadPolicy, DownloadView, EndedReply, ReplyEnd, Settings,
    },
    types::PeerId,
};

use super::open::{OpenRequests, blocks, lowest, towards};

/// Blocks of a request where all is usual.
const BASE_BLOCKS: f64 = 128.0;
/// Least and most blocks of a request.
const REQUEST_BLOCKS: (u64, u64) = (32, 512);
/// Requests at once, over all peers.
const ASSIGNMENTS_MAX: usize = 16;
/// How long a request may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Failures in a row that exclude a peer, and for how long.
const EXCLUDED: (u32, Duration) = (3, Duration::from_secs(300));
/// Usual bandwidth of a peer. Unit: bytes a second.
const USUAL_BANDWIDTH: f64 = 1_000_000.0;
/// Usual latency. Unit: seconds.
const USUAL_LATENCY: f64 = 0.1;
/// Usual number of peers.
const USUAL_PEERS: f64 = 5.0;
/// Bounds of each factor.
const FACTOR: (f64, f64) = (0.5, 2.0);
/// Weight of a new measurement.
const WEIGHT: f64 = 0.2;

/// What is known of a peer.
#[derive(Debug, Clone, Copy, Default)]
struct Known {
    /// Unit: bytes a second.
    bandwidth: Option<f64>,
    /// Unit: seconds.
    latency: Option<f64>,
    failures: u32,
    excluded_until: Duration,
}

/// The policy of the formula. See the module.
#[derive(Debug, Default)]
pub(super) struct Formula {
    settings: Settings,
    peers: BTreeMap<PeerId, Known>,
    open: OpenRequests,
}

impl Formula {
    fn mean(&self, figure: impl Fn(&Known) -> Option<f64>) -> Option<f64> {
        let known: Vec<_> = self.peers.values().filter_map(figure).collect();
        (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
    }

    fn request_blocks(&self) -> u64 {
        let factor = |over: Option<f64>| over.map_or(1.0, |f| f.clamp(FACTOR.0, FACTOR.1));
        let bandwidth = factor(self.mean(|known| known.bandwidth).map(|b| b / USUAL_BANDWIDTH));
        let latency = factor(self.mean(|known| known.latency).map(|l| USUAL_LATENCY / l));
        let peers = factor(Some(self.peers.len() as f64 / USUAL_PEERS));
        let size = blocks(BASE_BLOCKS * bandwidth * latency * peers);
        size.clamp(REQUEST_BLOCKS.0, REQUEST_BLOCKS.1)
    }
}

impl DownloadPolicy for Formula {
    fn window_blocks(&self) -> u64 {
        self.settings.window_blocks
    }

    fn joined(&mut self, _: Duration, peer: PeerId) {
        self.peers.insert(peer, Known::default());
    }

    fn left(&mut self, peer: PeerId) {
        self.peers.remove(&peer);
    }

    fn assign(&mut self, now: Duration, view: &DownloadView<'_>) -> Option<Assignment> {
        let open: usize = view.peers.values().map(|work| work.requests).sum();
        let range = lowest(view, self.request_blocks()).filter(|_| open < ASSIGNMENTS_MAX)?;
        let ready = view.peers.iter().filter(|(peer, _)| {
            self.peers.get(peer).is_some_and(|known| now >= known.excluded_until)
        });
        let (peer, _) = ready.min_by_key(|(peer, work)| (work.requests, work.blocks, **peer))?;
        Some(Assignment { peer: *peer, range, block_deadline: TIMEOUT })
    }

    fn expired(&mut self, now: Duration) -> Option<RequestId> {
        self.open.find(|open| now.saturating_sub(open.sent) >= TIMEOUT)
    }

    fn sent(&mut self, now: Duration, request: RequestId, assignment: &Assignment, _: bool) {
        self.open.sent(now, request, assignment);
    }

    fn arrived(&mut self, now: Duration, piece: &ArrivedPiece) {
        let Some(known) = self.peers.get_mut(&piece.peer) else { return };
        let seconds = piece.waited.max(Duration::from_millis(1)).as_secs_f64();
        let mix = |old: Option<f64>, new: f64| Some(old.map_or(new, |o| towards(o, new, WEIGHT)));
        known.bandwidth = mix(known.bandwidth, piece.bytes as f64 / seconds);
        if self.open.arrived(now, piece.request).is_some_and(|open| open.sent + piece.waited == now)
        {
            known.latency = mix(known.latency, seconds);
        }
    }

    fn ended(&mut self, now: Duration, reply: &EndedReply) {
        self.open.ended(reply.request);
        let Some(known) = self.peers.get_mut(&reply.peer) else { return };
        if reply.end != ReplyEnd::Failed {
            known.failures = 0;
            return;
        }
        known.failures += 1;
        if known.failures >= EXCLUDED.0 {
            known.failures = 0;
            known.excluded_until = now.saturating_add(EXCLUDED.1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::Play, *};

    #[test]
    fn size_is_the_base_times_three_bounded_factors() {
        let mut play = Play::new(Formula::default(), 5, 100_000);
        assert_eq!(play.policy.request_blocks(), 128);
        let all = |policy: &mut Formula, bandwidth: f64, latency: f64| {
            for known in policy.peers.values_mut() {
                (known.bandwidth, known.latency) = (Some(bandwidth), Some(latency));
            }
            policy.request_blocks()
        };
        assert_eq!(all(&mut play.policy, 1_500_000.0, 0.1), 192);
        assert_eq!(all(&mut play.policy, 1_500_000.0, 0.2), 96);
        assert_eq!(all(&mut play.policy, 1e9, 0.0), 512, "no latency divides by nothing");
        assert_eq!(all(&mut play.policy, 1.0, 9.0), 32);
        let mut many = Play::new(Formula::default(), 10, 100_000);
        assert_eq!(many.policy.request_blocks(), 256, "it grows with the peers");
        assert_eq!(many.ask().len(), ASSIGNMENTS_MAX);
    }

    #[test]
    fn third_failure_in_a_row_excludes() {
        let mut play = Play::new(Formula::default(), 1, 100_000);
        for _ in 0..3 {
            let (request, _) = play.ask().remove(0);
            play.end(request, 0, ReplyEnd::Failed);
        }
        let open: Vec<_> = play.open.keys().copied().collect();
        open.into_iter().for_each(|request| play.deliver(request, Duration::from_secs(1)));
        assert!(play.ask().is_empty());
        play.now += EXCLUDED.1;
        assert_eq!(play.ask().len(), ASSIGNMENTS_MAX);
    }
}
