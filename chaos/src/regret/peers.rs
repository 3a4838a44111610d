//! Peers whose qualities are hidden from whoever chooses.

use core::net::IpAddr;
use std::time::Duration;

use alys_sync::selection::{Experience, QualityWeights, Standing};
use rand::{Rng as _, rngs::StdRng};

/// Shortest and longest latency. Unit: seconds. Source: the same town to the other side of the
/// world by a bad line.
const LATENCIES: (f64, f64) = (0.01, 0.5);
/// Least and most bandwidth. Unit: bytes a second. 0.8 to 80 Mbit/s.
const BANDWIDTHS: (f64, f64) = (1e5, 1e7);
/// How often the worst and the best honest peer does what it is asked.
const KEPT: (f64, f64) = (0.6, 1.0);
/// One in so many peers is a liar: nothing it does is worth anything.
const LIAR_IN: u32 = 6;
/// How far a measurement lies from the truth: the spread of its logarithm.
const NOISE: f64 = 0.3;
/// How far a quality of a peer that drifts moves with each choice: the same.
const DRIFT: f64 = 0.01;
/// A peer that switches does so at one in so many choices.
const SWITCH_IN: u32 = 3_000;
/// Weight of what is new in the averages that stand for reputation, as 1/n.
const REPUTATION: f64 = 10.0;

/// A peer.
#[derive(Debug, Clone)]
pub(super) struct HiddenPeer {
    /// Unit: seconds.
    latency: f64,
    /// Unit: bytes a second.
    bandwidth: f64,
    /// How often it does what it is asked; 0 for a liar.
    kept: f64,
    standing: Standing,
}

impl HiddenPeer {
    pub(super) fn new(chance: &mut StdRng) -> Self {
        // Some are neighbours.
        let ip = IpAddr::from([10, chance.random_range(0..6), 0, chance.random_range(1..255)]);
        let standing = Standing { ip: Some(ip), ..Standing::default() };
        let mut peer = Self { latency: 0.0, bandwidth: 0.0, kept: 0.0, standing };
        peer.draw(chance);
        peer
    }

    fn draw(&mut self, chance: &mut StdRng) {
        let mut between =
            |(least, most): (f64, f64)| least * (most / least).powf(chance.random_range(0.0..=1.0));
        (self.latency, self.bandwidth, self.kept) =
            (between(LATENCIES), between(BANDWIDTHS), between(KEPT));
        if chance.random_ratio(1, LIAR_IN) {
            self.kept = 0.0;
        }
    }

    /// What asking it is worth, without noise.
    pub(super) fn worth(&self, weights: QualityWeights) -> f64 {
        self.kept * weights.worth_of(&experience(self.latency, self.bandwidth))
    }

    /// What reputation would tell of it.
    pub(super) const fn standing(&self) -> Standing {
        self.standing
    }

    /// It is asked once; what comes of it.
    pub(super) fn ask(&mut self, chance: &mut StdRng) -> Experience {
        let kept = chance.random_bool(self.kept);
        let mut noisy = |truth: f64| truth * (NOISE * normal(chance)).exp();
        let experience = if kept {
            experience(noisy(self.latency), noisy(self.bandwidth))
        } else {
            Experience { kept, latency: None, bytes_per_second: None }
        };
        let average = |before: f64, now: f64| before + (now - before) / REPUTATION;
        let Standing { score, reliability, latency, bytes_per_second, .. } = self.standing;
        let done = if kept { 1_000.0 } else { 0.0 };
        let thousandths = |before| whole(average(f64::from(before), done));
        self.standing.score = u16::try_from(thousandths(score)).unwrap_or(u16::MAX);
        self.standing.reliability = u16::try_from(thousandths(reliability)).unwrap_or(u16::MAX);
        if let Some(now) = experience.latency {
            let before = latency.unwrap_or(now);
            let average = average(before.as_secs_f64(), now.as_secs_f64());
            self.standing.latency = Some(Duration::from_secs_f64(average));
        }
        if let Some(now) = experience.bytes_per_second {
            let before = bytes_per_second.unwrap_or(now);
            self.standing.bytes_per_second = Some(whole(average(before as f64, now as f64)));
        }
        experience
    }

    /// It becomes a little better or worse.
    pub(super) fn drift(&mut self, chance: &mut StdRng) {
        let mut moved = |quality: f64, (least, most): (f64, f64)| {
            (quality * (DRIFT * normal(chance)).exp()).clamp(least, most)
        };
        self.latency = moved(self.latency, LATENCIES);
        self.bandwidth = moved(self.bandwidth, BANDWIDTHS);
        if self.kept > 0.0 {
            self.kept = moved(self.kept, KEPT);
        }
    }

    /// Now and then it becomes another peer.
    pub(super) fn switch(&mut self, chance: &mut StdRng) {
        if chance.random_ratio(1, SWITCH_IN) {
            self.draw(chance);
        }
    }
}

fn experience(latency: f64, bandwidth: f64) -> Experience {
    Experience {
        kept: true,
        latency: Some(Duration::from_secs_f64(latency)),
        bytes_per_second: Some(whole(bandwidth)),
    }
}

/// A number from the normal distribution of mean 0 and spread 1, by Box and Muller.
fn normal(chance: &mut StdRng) -> f64 {
    let (length, turn) = (chance.random_range(f64::EPSILON..1.0), chance.random_range(0.0..1.0));
    (-2.0 * f64::ln(length)).sqrt() * (std::f64::consts::TAU * turn).cos()
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "far from any bound")]
fn whole(number: f64) -> u64 {
    number.round() as u64
}
