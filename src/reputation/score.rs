//! How good a peer is, in four parts from 0 to 1. Pure.
//!
//! Each part is the mean of a Beta distribution over what was observed: (p + g) / (p + q + g + b),
//! with the mass of good observations g, of bad ones b, and a prior p, q that says what a stranger
//! is taken for. Source: Jøsang and Ismail, The Beta Reputation System, 2002. Masses decay by
//! half-life, so a part goes back to what a stranger has. Sums do not depend on the order of their
//! terms, so the score does not depend on the order of evidence as long as there is little of it.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

/// The most mass that one part holds; what is more makes room by shrinking all of it. Unit:
/// observations. Too low: one failure undoes a good record. Too high: a peer that turned bad lives
/// on what it was.
const MASS_MAX: f64 = 24.0;

/// The whole of all weights, and the best score. Unit: thousandths.
pub(super) const WHOLE: u16 = 1_000;

/// A part of the score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// What it sends is true and of our chain.
    Trust,
    /// It answers, and to the end.
    Reliability,
    /// It is quick.
    Performance,
    /// It keeps to the protocol, as a server and as a client of ours.
    Behaviour,
}

impl Part {
    const ALL: [Self; 4] = [Self::Trust, Self::Reliability, Self::Performance, Self::Behaviour];

    /// What a stranger is taken for: neutral, and well behaved until it shows otherwise. Source:
    /// the product's start scores of .5, .5, .5 and 1.
    const fn prior(self) -> Mass {
        match self {
            Self::Trust | Self::Reliability | Self::Performance => Mass { good: 1.0, bad: 1.0 },
            Self::Behaviour => Mass { good: 1.0, bad: 0.0 },
        }
    }
}

/// What each part counts. Unit: thousandths, 1,000 in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScoreWeights {
    /// Of trust.
    pub trust: u16,
    /// Of reliability.
    pub reliability: u16,
    /// Of performance.
    pub performance: u16,
    /// Of behaviour.
    pub behaviour: u16,
}

impl Default for ScoreWeights {
    fn default() -> Self {
        Self { trust: 250, reliability: 350, performance: 250, behaviour: 150 }
    }
}

impl ScoreWeights {
    /// Whether they are 1,000 in all.
    pub fn are_whole(self) -> bool {
        let all = [self.trust, self.reliability, self.performance, self.behaviour];
        all.into_iter().map(u32::from).sum::<u32>() == u32::from(WHOLE)
    }

    const fn of(self, part: Part) -> u16 {
        match part {
            Part::Trust => self.trust,
            Part::Reliability => self.reliability,
            Part::Performance => self.performance,
            Part::Behaviour => self.behaviour,
        }
    }
}

/// Observations, good and bad.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Mass {
    pub(super) good: f64,
    pub(super) bad: f64,
}

impl Mass {
    fn add(&mut self, more: Self) {
        self.good += more.good.max(0.0);
        self.bad += more.bad.max(0.0);
        let all = self.good + self.bad;
        if all > MASS_MAX {
            self.scale(MASS_MAX / all);
        }
    }

    fn scale(&mut self, by: f64) {
        self.good *= by;
        self.bad *= by;
    }

    /// Whether it can come from a healthy record.
    fn is_sound(self) -> bool {
        let sound = |mass: f64| (0.0..=MASS_MAX).contains(&mass);
        sound(self.good) && sound(self.bad)
    }
}

/// The score of one peer.
#[derive(Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Score {
    masses: [Mass; 4],
    /// Until when they have decayed. Unit: time since the Unix epoch.
    at: Duration,
}

impl fmt::Debug for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(Part::ALL.map(|part| (part, self.part(part)))).finish()
    }
}

impl Score {
    /// A stranger's.
    pub(super) fn stranger(now: Duration) -> Self {
        Self { masses: [Mass::default(); 4], at: now }
    }

    /// Takes in observations on one part.
    pub(super) fn add(&mut self, now: Duration, half_life: Duration, part: Part, seen: Mass) {
        self.decay(now, half_life);
        self.masses[part as usize].add(seen);
    }

    /// Takes observations back that were counted wrongly, as far as they are still there.
    pub(super) fn take(&mut self, now: Duration, half_life: Duration, part: Part, seen: Mass) {
        self.decay(now, half_life);
        let mass = &mut self.masses[part as usize];
        mass.good = (mass.good - seen.good.max(0.0)).max(0.0);
        mass.bad = (mass.bad - seen.bad.max(0.0)).max(0.0);
    }

    /// Lets time pass. A clock that went back changes nothing.
    pub(super) fn decay(&mut self, now: Duration, half_life: Duration) {
        let passed = now.saturating_sub(self.at).as_secs_f64();
        self.at = self.at.max(now);
        if passed > 0.0 {
            let left = (-passed / half_life.as_secs_f64()).exp2();
            self.masses.iter_mut().for_each(|mass| mass.scale(left));
        }
    }

    /// One part, from 0 to 1.
    pub(super) fn part(&self, part: Part) -> f64 {
        let (prior, mass) = (part.prior(), self.masses[part as usize]);
        let good = prior.good + mass.good;
        good / (good + prior.bad + mass.bad)
    }

    /// One part. Unit: thousandths.
    pub(super) fn permille(&self, part: Part) -> u16 {
        permille(self.part(part))
    }

    /// All parts, weighted. Unit: thousandths.
    pub(super) fn overall(&self, weights: ScoreWeights) -> u16 {
        let parts = Part::ALL.map(|part| f64::from(weights.of(part)) * self.part(part));
        permille(parts.iter().sum::<f64>() / f64::from(WHOLE))
    }

    /// Whether it can be what was once stored.
    pub(super) fn is_sound(&self) -> bool {
        self.masses.iter().all(|mass| mass.is_sound())
    }
}

/// A fraction in thousandths, to the nearest.
fn permille(fraction: f64) -> u16 {
    // The cast of a float saturates, and a fraction is at most one.
    #[allow(clippy::cast_possible_truncation, reason = "0 to 1,000")]
    let rounded = (fraction.clamp(0.0, 1.0) * f64::from(WHOLE)).round() as u16;
    rounded
}

#[cfg(test)]
#[path = "score_tests.rs"]
mod tests;
