//! What peers turned out to be worth, and how sure that is.
//!
//! The formula is that of discounted upper confidence bounds (Garivier and Moulines, "On
//! Upper-Confidence Bound Policies for Switching Bandit Problems", 2011, section 3): a mean in
//! which old experience counts less, and beyond it c = B sqrt(2 log(n) / N), where N is how much
//! experience the mean holds and n that of all peers. Where they discount with every choice, here
//! a peer's experience fades with its own and at its turns: a peer that is not asked would
//! otherwise be forgotten, and asked again, many times a minute.

use std::collections::BTreeMap;

use crate::types::PeerId;

/// B of the formula: how far single experiences lie from their mean. Unit: worth, of 0 to 1.
/// Source: `chaos regret`, where a half and twice of it lose more. Too low: a good peer that began
/// badly waits for its turn. Too high: bad ones are asked again and again.
const SPREAD: f64 = 0.15;
/// What is left of the experience with a peer that had to wait for its turn. Unit: choices. Source:
/// then what is new counts a third, and the margin is wide. Too low: one reply of many makes it
/// first again. Too high: a peer that became good takes many turns to show it.
const KEPT_AT_TURN: f64 = 2.0;

/// What is known of one peer.
#[derive(Debug, Clone, Copy)]
struct Estimate {
    /// Unit: worth, 0 to 1.
    mean: f64,
    /// How much experience is in it. Unit: choices.
    samples: f64,
}

/// What is known of all peers for one operation.
#[derive(Debug, Clone, Default)]
pub(super) struct Estimates {
    known: BTreeMap<PeerId, Estimate>,
}

impl Estimates {
    /// Asking `peer` was worth so much, 0 to 1. `rate` is how much the newest counts, at least:
    /// more than 0, at most 1.
    pub(super) fn learned(&mut self, peer: PeerId, worth: f64, rate: f64) {
        let estimate = self.known.entry(peer).or_insert(Estimate { mean: worth, samples: 0.0 });
        // A mean that forgets at this rate is as sure as one of so many.
        let most = (2.0 / rate - 1.0).max(1.0);
        estimate.samples = (estimate.samples + 1.0).min(most);
        let weight = rate.max(1.0 / estimate.samples);
        estimate.mean += (worth - estimate.mean) * weight;
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

    /// What `peer` may well be worth: its mean and the margin beyond it. None if it is unknown.
    pub(super) fn bound(&self, peer: PeerId) -> Option<f64> {
        let all: f64 = self.known.values().map(|estimate| estimate.samples).sum();
        let Estimate { mean, samples } = *self.known.get(&peer)?;
        Some(mean + SPREAD * (2.0 * all.max(1.0).ln() / samples).sqrt())
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

    #[test]
    fn margin_narrows_with_experience_and_widens_again_at_a_turn() {
        let mut estimates = after(&[(1, 0.5, 2), (2, 0.5, 15)]);
        let bound = |estimates: &Estimates, seed| estimates.bound(peer(seed)).unwrap();
        let (little, much) = (bound(&estimates, 1), bound(&estimates, 2));
        assert!(little > much && much > 0.5, "{little} and {much}");
        estimates.fade(peer(2));
        assert!(bound(&estimates, 2) > much);
        assert_eq!(estimates.bound(peer(3)), None);
    }

    #[test]
    fn mean_follows_a_change_within_the_learning_rate() {
        let estimates = after(&[(1, 0.9, 500), (1, 0.1, 30)]);
        let settled = estimates.known[&peer(1)].mean;
        assert!((0.1..0.15).contains(&settled), "{settled}");
        let steady = after(&[(1, 0.9, 500), (1, 0.1, 1)]).known[&peer(1)].mean;
        assert!((0.81..0.83).contains(&steady), "one hiccup: {steady}");
    }

    #[test]
    fn nothing_but_what_is_new_counts_at_a_rate_of_one() {
        let mut estimates = Estimates::default();
        for worth in [0.9, 0.1, 0.4] {
            estimates.learned(peer(1), worth, 1.0);
        }
        assert!((estimates.known[&peer(1)].mean - 0.4).abs() < 1e-9);
    }
}
