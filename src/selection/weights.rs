//! What counts for which operation, and what a peer is worth by that.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Candidate, Standing};

/// The latency that is worth a half. Unit: time. Source: a way across a continent. Too low: all far
/// peers are alike. Too high: all near ones are.
const LATENCY_HALF: Duration = Duration::from_millis(100);
/// The bandwidth that is worth a half. Unit: bytes a second. Source: an ordinary link of 10 Mbit/s.
/// Too low: all quick peers are alike. Too high: all slow ones are.
const BANDWIDTH_HALF: f64 = 1_250_000.0;
/// The trust below which nobody is ranked lower. Unit: thousandths. Source: a tenth; whatever is
/// known against such a peer, it is ten times as bad as the best. Too low: it gets nothing but its
/// turns. Too high: bad peers are chosen as if they were better.
const TRUST_LEAST: u16 = 100;
/// Thousandths in one.
const THOUSAND: f64 = 1_000.0;

/// What a peer is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// Single small answers that somebody waits for: how high a chain is.
    Headers,
    /// Blocks, many of them.
    Blocks,
    /// Blocks of a hole below what is there already: everything above waits for them.
    Backfill,
}

/// How much each quality counts, each in proportion to their sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QualityWeights {
    /// How soon it answers.
    pub latency: u16,
    /// How much it delivers.
    pub bandwidth: u16,
    /// How often it does what it is asked.
    pub reliability: u16,
    /// What reputation thinks of it overall.
    pub reputation: u16,
}

/// The weights of each operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperationWeights {
    /// Of [`Operation::Headers`].
    pub headers: QualityWeights,
    /// Of [`Operation::Blocks`].
    pub blocks: QualityWeights,
    /// Of [`Operation::Backfill`].
    pub backfill: QualityWeights,
}

impl Default for OperationWeights {
    /// What an operation is about counts as much as all else: latency for headers, bandwidth for
    /// blocks, reliability for backfill.
    fn default() -> Self {
        Self {
            headers: QualityWeights {
                latency: 600,
                bandwidth: 0,
                reliability: 200,
                reputation: 200,
            },
            blocks: QualityWeights {
                latency: 100,
                bandwidth: 500,
                reliability: 200,
                reputation: 200,
            },
            backfill: QualityWeights {
                latency: 100,
                bandwidth: 100,
                reliability: 600,
                reputation: 200,
            },
        }
    }
}

impl OperationWeights {
    /// Those of `operation`.
    pub const fn of(&self, operation: Operation) -> QualityWeights {
        match operation {
            Operation::Headers => self.headers,
            Operation::Blocks => self.blocks,
            Operation::Backfill => self.backfill,
        }
    }
}

/// What came of asking a peer once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Experience {
    /// Whether it did what it was asked.
    pub kept: bool,
    /// How long it took to answer, if that was measured.
    pub latency: Option<Duration>,
    /// What it delivered, if that was measured. Unit: bytes a second.
    pub bytes_per_second: Option<u64>,
}

/// The best of what is known of several peers: what one that was never measured is taken for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct BestKnown {
    pub(super) latency: Duration,
    pub(super) bytes_per_second: u64,
}

impl BestKnown {
    /// The best among `candidates`.
    pub(super) fn of(candidates: &[Candidate]) -> Self {
        let known = || candidates.iter().map(|candidate| candidate.standing);
        Self {
            latency: known().filter_map(|known| known.latency).min().unwrap_or_default(),
            bytes_per_second: known()
                .filter_map(|known| known.bytes_per_second)
                .max()
                .unwrap_or_default(),
        }
    }
}

impl QualityWeights {
    /// Whether anything counts.
    pub const fn is_empty(&self) -> bool {
        self.latency == 0 && self.bandwidth == 0 && self.reliability == 0 && self.reputation == 0
    }

    /// What a peer of this standing is worth, where an unknown quality is taken at its best: 0 to
    /// 1; 1 if nothing counts.
    pub(super) fn worth(&self, standing: &Standing, best: &BestKnown) -> f64 {
        let Standing { score, reliability, latency, bytes_per_second, .. } = *standing;
        mean([
            (self.latency, of_latency(latency.unwrap_or(best.latency))),
            (self.bandwidth, of_bandwidth(bytes_per_second.unwrap_or(best.bytes_per_second))),
            (self.reliability, of_thousandths(reliability)),
            (self.reputation, of_thousandths(score)),
        ])
    }

    /// How far reputation's judgement lets a peer be trusted, for whoever measures time and
    /// bandwidth by himself. Unit: thousandths, 100 to 1000; 1000 if that judgement does not count.
    pub(crate) fn trust(&self, standing: &Standing) -> u16 {
        let trust = mean([
            (self.reliability, of_thousandths(standing.reliability)),
            (self.reputation, of_thousandths(standing.score)),
        ]);
        // Between bounds that a `u16` holds.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded")]
        let trust = (trust * THOUSAND).round() as u16;
        trust.clamp(TRUST_LEAST, 1_000)
    }

    /// What `experience` was worth: 0 if the peer did not do what it was asked, else up to 1. What
    /// was not measured does not count.
    pub fn worth_of(&self, experience: &Experience) -> f64 {
        if !experience.kept {
            return 0.0;
        }
        let latency = experience.latency.map(|latency| (self.latency, of_latency(latency)));
        let bandwidth = experience.bytes_per_second;
        let bandwidth = bandwidth.map(|bandwidth| (self.bandwidth, of_bandwidth(bandwidth)));
        mean([latency, bandwidth, Some((self.reliability, 1.0))].into_iter().flatten())
    }
}

fn mean(parts: impl IntoIterator<Item = (u16, f64)>) -> f64 {
    let (mut weights, mut all) = (0.0, 0.0);
    for (weight, quality) in parts {
        weights += f64::from(weight);
        all += f64::from(weight) * quality;
    }
    if weights > 0.0 { all / weights } else { 1.0 }
}

fn of_latency(latency: Duration) -> f64 {
    LATENCY_HALF.as_secs_f64()
        / (LATENCY_HALF + latency.min(Duration::from_secs(3_600))).as_secs_f64()
}

fn of_bandwidth(bytes_per_second: u64) -> f64 {
    bytes_per_second as f64 / (bytes_per_second as f64 + BANDWIDTH_HALF)
}

fn of_thousandths(thousandths: u16) -> f64 {
    f64::from(thousandths.min(1_000)) / THOUSAND
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const BEST: BestKnown = BestKnown { latency: Duration::ZERO, bytes_per_second: u64::MAX };

    #[test]
    fn each_operation_prefers_the_peer_that_is_good_at_it() {
        let near = Standing { latency: Some(10 * MS), ..bad() };
        let quick = Standing { bytes_per_second: Some(20_000_000), ..bad() };
        let sure = Standing { reliability: 1_000, ..bad() };
        let peers = [near, quick, sure];
        let weights = OperationWeights::default();
        for (operation, best) in
            [(Operation::Headers, near), (Operation::Blocks, quick), (Operation::Backfill, sure)]
        {
            let worth = |peer: &Standing| weights.of(operation).worth(peer, &BEST);
            let found = peers.iter().max_by(|one, other| worth(one).total_cmp(&worth(other)));
            assert_eq!(found, Some(&best), "{operation:?}");
        }
    }

    fn bad() -> Standing {
        Standing {
            reliability: 100,
            latency: Some(900 * MS),
            bytes_per_second: Some(50_000),
            ..Standing::default()
        }
    }

    #[test]
    fn what_is_unknown_is_taken_for_the_best_that_is_known() {
        let weights = OperationWeights::default().blocks;
        let best = BestKnown { latency: 20 * MS, bytes_per_second: 1_000_000 };
        let known = Standing {
            latency: Some(best.latency),
            bytes_per_second: Some(best.bytes_per_second),
            ..Standing::default()
        };
        let unknown = weights.worth(&Standing::default(), &best);
        assert_eq!(unknown.total_cmp(&weights.worth(&known, &best)), std::cmp::Ordering::Equal);
    }

    #[test]
    fn worth_is_between_nothing_and_one_whatever_is_known() {
        let extremes = [Duration::ZERO, Duration::MAX];
        for latency in extremes {
            for bytes_per_second in [0, u64::MAX] {
                for thousandths in [0, 1_000, u16::MAX] {
                    let standing = Standing {
                        score: thousandths,
                        reliability: thousandths,
                        latency: Some(latency),
                        bytes_per_second: Some(bytes_per_second),
                        ip: None,
                    };
                    for weights in [
                        QualityWeights { latency: 0, bandwidth: 0, reliability: 0, reputation: 0 },
                        OperationWeights::default().blocks,
                    ] {
                        let worth = weights.worth(&standing, &BEST);
                        assert!((0.0..=1.0).contains(&worth), "{standing:?}: {worth}");
                        let trust = weights.trust(&standing);
                        assert!((TRUST_LEAST..=1_000).contains(&trust), "{standing:?}: {trust}");
                    }
                }
            }
        }
    }

    #[test]
    fn promise_that_was_not_kept_is_worth_nothing_and_a_sooner_answer_more() {
        let weights = OperationWeights::default().headers;
        let after = |kept, latency| {
            weights.worth_of(&Experience { kept, latency: Some(latency), bytes_per_second: None })
        };
        assert!(after(false, MS) <= 0.0);
        assert!(after(true, MS) > after(true, 200 * MS));
        assert!(after(true, Duration::MAX) > 0.0);
    }
}
