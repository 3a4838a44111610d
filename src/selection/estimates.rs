//! What peers turned out to be worth, and how sure that is.
//!
//! The margin is that of upper confidence bounds, B sqrt(2 log(n) / N), where N is how much
//! experience a mean holds and n that of all peers (Garivier and Moulines, "On Upper-Confidence
//! Bound Policies for Switching Bandit Problems", 2011, section 3). They let old experience count
//! less with every choice; then a peer that is seldom asked is forgotten, and asked again, many
//! times a minute. Here experience counts in full until newer experience disagrees with it, as in
//! the same authors' section 4 on windows, or until the peer had to wait for its turn.

use std::collections::BTreeMap;

use crate::types::PeerId;

/// B of the formula: how far single experiences lie from their mean. Unit: worth, of 0 to 1.
/// Source: `chaos regret`; with 0.2 more is lost where peers stay as they are, with 0.07 where they
/// change. Too low: a good peer that began badly waits for its turn. Too high: bad ones are asked
/// again and again.
const SPREAD: f64 = 0.12;
/// The most that the experience with one peer counts. Unit: choices. Source: as above; 500 and
/// 2,000 lose as much. Too low: peers that are nearly alike are mixed up. Too high: a peer that
/// changes slowly is known too late.
const SAMPLES_MAX: f64 = 200.0;
/// What is left of the experience with a peer that had to wait for its turn. Unit: choices. Source:
/// then what is new counts a third, and the margin is wide. Too low: one reply of many makes it
/// first again. Too high: a peer that became good takes many turns to show it.
const KEPT_AT_TURN: f64 = 2.0;
/// Newer experience disagrees with older when it is so many spreads away. Source: as for quality
/// control charts; by chance it is in one of some hundred choices. Too low: what is known is thrown
/// away. Too high: a peer that became slow is asked for long.
const DISAGREES: f64 = 3.0;
/// The spread of experiences before any is known, squared. Unit: worth squared.
const VARIANCE_FIRST: f64 = 0.04;
/// The least it is taken for. Too low: peers that always deliver the same seem to change with every
/// hiccup. Too high: a small change is never noticed.
const VARIANCE_MIN: f64 = 0.0025;

/// What is known of one peer.
#[derive(Debug, Clone, Copy)]
struct Estimate {
    /// Unit: worth, 0 to 1.
    mean: f64,
    /// How much experience is in it. Unit: choices.
    samples: f64,
    /// The mean of what is newest.
    recent: f64,
    /// How far single experiences lie from the mean, squared.
    variance: f64,
}

/// What is known of all peers for one operation.
#[derive(Debug, Clone, Default)]
pub(super) struct Estimates {
    known: BTreeMap<PeerId, Estimate>,
}

impl Estimates {
    /// Asking `peer` was worth so much, 0 to 1. `rate` is how much one experience counts in what is
    /// newest, at least: more than 0, at most 1.
    pub(super) fn learned(&mut self, peer: PeerId, worth: f64, rate: f64) {
        let first = Estimate { mean: worth, samples: 0.0, recent: worth, variance: VARIANCE_FIRST };
        let estimate = self.known.entry(peer).or_insert(first);
        estimate.samples = (estimate.samples + 1.0).min(SAMPLES_MAX);
        let newest = rate.max(1.0 / estimate.samples);
        let away = worth - estimate.mean;
        estimate.variance += (away * away - estimate.variance) * newest.min(rate);
        estimate.mean += away / estimate.samples;
        estimate.recent += (worth - estimate.recent) * newest;
        // How far a mean that forgets at this rate lies from the truth by chance.
        let spread = (estimate.variance.max(VARIANCE_MIN) * rate / (2.0 - rate)).sqrt();
        if (estimate.recent - estimate.mean).abs() > DISAGREES * spread {
            estimate.mean = estimate.recent;
            estimate.samples = estimate.samples.min(1.0 / rate);
        }
    }

    /// `peer` had to wait for its turn: what is known of it may be wrong by now.
    pub(super) fn fade(&mut self, peer: PeerId) {
        if let Some(estimate) = self.known.get_mut(&peer) {
            estimate.samples = estimate.samples.min(KEPT_AT_TURN);
        }
    }

    /// Nothing is known of `peer` any more.
    pub(super) fn forget(&mut self, peer: PeerId) {
        self.known.remove(&peer);
    }

    /// What `peer` may well be worth: its mean, and as much of the margin beyond it as `trust`, 0
    /// to 1, allows. None if it is unknown.
    pub(super) fn bound(&self, peer: PeerId, trust: f64) -> Option<f64> {
        let all: f64 = self.known.values().map(|estimate| estimate.samples).sum();
        let Estimate { mean, samples, .. } = *self.known.get(&peer)?;
        Some(mean + trust * SPREAD * (2.0 * all.max(1.0).ln() / samples).sqrt())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doubles::peer;

    fn after(worths: &[(u8, f64, usize)]) -> Estimates {
        let mut estimates = Estimates::default();
        for &(seed, worth, times) in worths {
            (0..times).for_each(|_| estimates.learned(peer(seed), worth, 0.1));
        }
        estimates
    }

    fn mean(estimates: &Estimates, seed: u8) -> f64 {
        estimates.known[&peer(seed)].mean
    }

    #[test]
    fn margin_narrows_with_experience_and_trust_and_widens_again_at_a_turn() {
        let mut estimates = after(&[(1, 0.5, 2), (2, 0.5, 15)]);
        let bound = |estimates: &Estimates, seed| estimates.bound(peer(seed), 1.0).unwrap();
        let (little, much) = (bound(&estimates, 1), bound(&estimates, 2));
        assert!(little > much && much > 0.5, "{little} and {much}");
        assert!(estimates.bound(peer(2), 0.5).unwrap() < much);
        estimates.fade(peer(2));
        assert!(bound(&estimates, 2) > much);
        assert_eq!(estimates.bound(peer(3), 1.0), None);
    }

    #[test]
    fn change_is_followed_soon_and_a_hiccup_is_not() {
        let since = |choices| mean(&after(&[(1, 0.9, 500), (1, 0.1, choices)]), 1);
        assert!(since(10) < 0.5 && since(40) < 0.2, "{} and {}", since(10), since(40));
        let steady = since(1);
        assert!(steady > 0.8, "{steady}");
    }

    #[test]
    fn peers_that_are_nearly_alike_are_told_apart_in_the_end() {
        let mut estimates = Estimates::default();
        for round in 0..400_u32 {
            // Each keeps its word by chance: one nine times of ten, the other eight.
            let kept = |of_ten: u32| if (round * 7) % 10 < of_ten { 0.8 } else { 0.0 };
            estimates.learned(peer(1), kept(9), 0.1);
            estimates.learned(peer(2), kept(8), 0.1);
        }
        let (better, worse) = (mean(&estimates, 1), mean(&estimates, 2));
        assert!(better > worse, "{better} and {worse}");
    }

    #[test]
    fn estimates_stay_between_nothing_and_one_at_any_rate() {
        for rate in [0.001, 0.1, 1.0] {
            let mut estimates = Estimates::default();
            for worth in [0.0, 1.0, 1.0, 0.0, 0.3, 1.0, 0.0].repeat(50) {
                estimates.learned(peer(1), worth, rate);
                assert!((0.0..=1.0).contains(&mean(&estimates, 1)), "{rate}");
            }
        }
    }
}
