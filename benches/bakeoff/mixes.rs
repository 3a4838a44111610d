//! Who can be asked in a run: mixes of peers, drawn from a seed.
//!
//! All policies get the same peers, links, losses and block sizes for the same mix and seed.

use std::time::Duration;

use rand::{Rng as _, SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};

/// Peers of a mix. Source: what a node of this network is configured for. Fewer or more: other
/// shares, the same order.
const PEERS: usize = 8;

/// Rate of an ordinary link. Unit: bytes a second. 10 Mbit/s: eight of them bring some 300 blocks
/// a second, a tenth of what verification takes, so links are the limit.
const RATE: f64 = 1_250_000.0;

/// Slowest and fastest link of mixed speeds: 1 and 40 Mbit/s.
const RATES_MIXED: (f64, f64) = (125_000.0, 5_000_000.0);

/// Round trips of ordinary ways. Unit: seconds.
const ROUND_TRIPS: (f64, f64) = (0.03, 0.09);

/// Round trips of long ways. Unit: seconds.
const ROUND_TRIPS_FAR: (f64, f64) = (0.15, 0.3);

/// How long the links together take for the chain if each is always busy. Unit: seconds. Too low:
/// the start is all that counts. Too high: runs take long.
const FULL_RATE_SECONDS: f64 = 25.0;

/// Smallest block. Unit: bytes.
const BLOCK_BYTES_MIN: f64 = 8_192.0;

/// What a block has beyond the smallest, on average. Unit: bytes. 32 KiB in all.
const BLOCK_BYTES_MORE: f64 = 24_576.0;

/// Largest block. Unit: bytes.
const BLOCK_BYTES_MAX: f64 = 262_144.0;

/// How far into a run losses, leaving and joining are drawn. Unit: seconds. After that everybody
/// stays and nothing is lost, so that every run can end.
const DRAWN_SECONDS: f64 = 600.0;

/// A kind of peers to sync from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mix {
    /// All links alike.
    Uniform,
    /// Links of 1 to 40 Mbit/s.
    MixedSpeeds,
    /// One of eight peers never sends a whole block.
    Hanging,
    /// Half of the peers send one block a request.
    OneBlock,
    /// Everybody is there for 4 to 12 s and away for 1 to 4 s.
    LeavingAndJoining,
    /// Every link stalls for 0.2 to 1 s every 4 s on average, and loses all replies every 15 s.
    Lossy,
    /// Round trips of 150 to 300 ms.
    HighLatency,
    /// Of two of eight peers, every tenth block is bad.
    Liars,
}

impl Mix {
    /// All of them.
    pub(crate) const ALL: [Self; 8] = [
        Self::Uniform,
        Self::MixedSpeeds,
        Self::Hanging,
        Self::OneBlock,
        Self::LeavingAndJoining,
        Self::Lossy,
        Self::HighLatency,
        Self::Liars,
    ];

    /// Its name in tables and on the command line.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::MixedSpeeds => "mixed-speeds",
            Self::Hanging => "hanging",
            Self::OneBlock => "one-block",
            Self::LeavingAndJoining => "leaving",
            Self::Lossy => "lossy",
            Self::HighLatency => "high-latency",
            Self::Liars => "liars",
        }
    }

    /// The run of this mix that `seed` decides.
    pub(crate) fn scenario(self, seed: u64) -> Scenario {
        let mut chance = StdRng::seed_from_u64(seed.wrapping_mul(64).wrapping_add(self as u64));
        let mut peers: Vec<_> = (0..PEERS).map(|at| self.peer(at, &mut chance)).collect();
        peers.shuffle(&mut chance);
        let offered: f64 = peers.iter().map(PeerPlan::offered).sum();
        let mut block_bytes = Vec::new();
        let mut left = offered * FULL_RATE_SECONDS;
        while left > 0.0 {
            let bytes = BLOCK_BYTES_MIN + exponential(BLOCK_BYTES_MORE, &mut chance);
            let bytes = bytes.min(BLOCK_BYTES_MAX);
            left -= bytes;
            block_bytes.push(whole(bytes));
        }
        Scenario { peers, block_bytes }
    }

    /// The peer at `at` before they are shuffled.
    fn peer(self, at: usize, chance: &mut StdRng) -> PeerPlan {
        let far = self == Self::HighLatency;
        let (near, furthest) = if far { ROUND_TRIPS_FAR } else { ROUND_TRIPS };
        let mut plan = PeerPlan {
            rate: RATE * chance.random_range(0.9..1.1),
            delay: Duration::from_secs_f64(chance.random_range(near..furthest) / 2.0),
            serving: Serving::Full,
            lie: 0.0,
            stalls: Vec::new(),
            resets: Vec::new(),
            absences: Vec::new(),
        };
        match self {
            Self::Uniform | Self::HighLatency => {}
            Self::MixedSpeeds => {
                let (slow, fast) = RATES_MIXED;
                plan.rate = slow * (fast / slow).powf(chance.random_range(0.0..1.0));
            }
            Self::Hanging if at == 0 => plan.serving = Serving::Hanging,
            Self::OneBlock if at < PEERS / 2 => plan.serving = Serving::OneBlock,
            Self::Liars if at < 2 => plan.lie = 0.1,
            Self::Hanging | Self::OneBlock | Self::Liars => {}
            Self::Lossy => {
                plan.stalls = spans(4.0, 0.2..1.0, chance);
                plan.resets = spans(15.0, 0.0..0.001, chance).into_iter().map(|s| s.0).collect();
            }
            Self::LeavingAndJoining => {
                let mut at = chance.random_range(0.0..8.0);
                while at < DRAWN_SECONDS {
                    let back = at + chance.random_range(1.0..4.0);
                    plan.absences.push((seconds(at), seconds(back)));
                    at = back + chance.random_range(4.0..12.0);
                }
            }
        }
        plan
    }
}

/// What a peer does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Serving {
    /// Sends all of it.
    Full,
    /// Sends one block and closes.
    OneBlock,
    /// Sends less than a block, and nothing more.
    Hanging,
}

/// Spans of time, in order and apart.
pub(crate) type Spans = Vec<(Duration, Duration)>;

/// One peer and its link.
#[derive(Debug, Clone)]
pub(crate) struct PeerPlan {
    /// What its link carries. Unit: bytes a second.
    pub(crate) rate: f64,
    /// Half a round trip.
    pub(crate) delay: Duration,
    /// What it does with requests.
    pub(crate) serving: Serving,
    /// Which part of its blocks is bad.
    pub(crate) lie: f64,
    /// When its link carries nothing.
    pub(crate) stalls: Spans,
    /// When all its open replies are lost.
    pub(crate) resets: Vec<Duration>,
    /// When it is not there.
    pub(crate) absences: Spans,
}

impl PeerPlan {
    /// What its link can bring us over a long time. Unit: bytes a second.
    fn offered(&self) -> f64 {
        if self.serving == Serving::Hanging {
            return 0.0;
        }
        let lost = |spans: &Spans| {
            let lost: Duration = spans.iter().map(|(from, to)| *to - *from).sum();
            lost.as_secs_f64() / DRAWN_SECONDS
        };
        self.rate * (1.0 - lost(&self.stalls)) * (1.0 - lost(&self.absences))
    }

    /// Bytes that its link could bring us within `time` from the start of a run.
    pub(crate) fn offered_within(&self, time: Duration) -> f64 {
        if self.serving == Serving::Hanging {
            return 0.0;
        }
        let lost = |spans: &Spans| -> Duration {
            spans.iter().map(|(from, to)| (*to).min(time).saturating_sub(*from)).sum()
        };
        let carrying = time.saturating_sub(lost(&self.stalls)).saturating_sub(lost(&self.absences));
        self.rate * carrying.as_secs_f64()
    }
}

/// All that happens in a run but for what the policy decides.
#[derive(Debug, Clone)]
pub(crate) struct Scenario {
    pub(crate) peers: Vec<PeerPlan>,
    /// Sizes of the blocks, from height 1 on. Unit: bytes.
    pub(crate) block_bytes: Vec<u64>,
}

/// A number with this mean whose logarithm is evenly spread.
fn exponential(mean: f64, chance: &mut StdRng) -> f64 {
    -mean * chance.random_range(f64::EPSILON..1.0).ln()
}

/// Spans of `length` seconds that begin every `apart` seconds on average.
fn spans(apart: f64, length: std::ops::Range<f64>, chance: &mut StdRng) -> Spans {
    let (mut spans, mut at) = (Spans::new(), exponential(apart, chance));
    while at < DRAWN_SECONDS {
        let end = at + chance.random_range(length.clone());
        spans.push((seconds(at), seconds(end)));
        at = end + exponential(apart, chance);
    }
    spans
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a size of a block")]
fn whole(bytes: f64) -> u64 {
    bytes as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seed_decides_the_run_and_another_seed_gives_another() {
        for mix in Mix::ALL {
            let of = |seed| format!("{:?}", mix.scenario(seed));
            assert_eq!(of(7), of(7), "{}", mix.name());
            assert_ne!(of(7), of(8), "{}", mix.name());
        }
    }

    #[test]
    fn chain_takes_the_links_as_long_as_said_and_no_mix_is_like_another() {
        let names: std::collections::BTreeSet<_> = Mix::ALL.map(Mix::name).into();
        assert_eq!(names.len(), Mix::ALL.len());
        for mix in Mix::ALL {
            let Scenario { peers, block_bytes } = mix.scenario(1);
            let chain: u64 = block_bytes.iter().sum();
            let within = Duration::from_secs_f64(FULL_RATE_SECONDS);
            let offered: f64 = peers.iter().map(|peer| peer.offered_within(within)).sum();
            let part = offered / chain as f64;
            assert!((0.7..1.3).contains(&part), "{}: {part}", mix.name());
            let mean = chain as f64 / block_bytes.len() as f64;
            assert!((30_000.0..35_000.0).contains(&mean), "{mean}");
        }
    }
}
