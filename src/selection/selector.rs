//! The order in which peers come, by the strategy.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    Candidate, Experience, Operation, SelectionSettings, SelectionStrategy,
    estimates::Estimates,
    region::{Region, common_prefix},
    weights::BestKnown,
};
use crate::types::PeerId;

/// A peer that was asked for nothing for this long gets a turn. Unit: time. Source: every peer gets
/// one within a minute, and the round trip may take its time. Too low: slow peers hold up more. Too
/// high: a peer that became quick is noticed late.
pub const TURN_AFTER: Duration = Duration::from_secs(45);
/// Worths are compared in steps of one part in so many. Source: finer than any measurement.
const STEPS: f64 = 1e9;

/// Least first: the strategy's own measure in two parts, how little the peer is worth, what it has
/// to do, and its name.
type Rank = (u64, u64, u64, u64, PeerId);

/// Chooses peers, and remembers what that needs. See the module.
#[derive(Debug, Clone)]
pub struct Selector {
    settings: SelectionSettings,
    seed: u64,
    /// Choices made.
    choices: u64,
    /// Who was asked last.
    last: Option<PeerId>,
    /// When each was asked last, or joined.
    asked_at: BTreeMap<PeerId, Duration>,
    estimates: BTreeMap<Operation, Estimates>,
}

impl Selector {
    /// A selector that knows nobody. `seed` decides what a strategy leaves to chance.
    pub const fn new(settings: SelectionSettings, seed: u64) -> Self {
        Self {
            settings,
            seed,
            choices: 0,
            last: None,
            asked_at: BTreeMap::new(),
            estimates: BTreeMap::new(),
        }
    }

    /// What it goes by.
    pub const fn settings(&self) -> &SelectionSettings {
        &self.settings
    }

    /// `peer` may be asked from now on. A peer that did is not changed.
    pub fn joined(&mut self, now: Duration, peer: PeerId) {
        self.asked_at.entry(peer).or_insert(now);
    }

    /// `peer` may not be asked any more, and is forgotten.
    pub fn left(&mut self, peer: PeerId) {
        self.asked_at.remove(&peer);
        self.estimates.values_mut().for_each(|estimates| estimates.forget(peer));
    }

    /// `peer` is asked for something.
    pub fn asked(&mut self, now: Duration, peer: PeerId) {
        if self.is_due(now, peer) {
            self.estimates.values_mut().for_each(|estimates| estimates.fade(peer));
        }
        // One that has left since is not remembered.
        if let Some(asked_at) = self.asked_at.get_mut(&peer) {
            *asked_at = now;
        }
        self.choices = self.choices.wrapping_add(1);
        self.last = Some(peer);
    }

    /// What came of asking `peer`.
    pub fn learned(&mut self, operation: Operation, peer: PeerId, experience: &Experience) {
        let SelectionStrategy::Adaptive { learning_rate } = self.settings.strategy else { return };
        if self.asked_at.contains_key(&peer) {
            let worth = self.settings.weights.of(operation).worth_of(experience);
            let rate = f64::from(learning_rate.clamp(1, 1_000)) / 1e3;
            self.estimates.entry(operation).or_default().learned(peer, worth, rate);
        }
    }

    /// Whether `peer` was asked for nothing for so long that it should get a turn, whatever is
    /// thought of it: who is never asked is never known.
    pub fn is_due(&self, now: Duration, peer: PeerId) -> bool {
        self.asked_at.get(&peer).is_some_and(|asked_at| now.saturating_sub(*asked_at) >= TURN_AFTER)
    }

    /// All of `candidates`, the best first. It forgets nobody, and is the same in whatever order
    /// they are given.
    pub fn rank(&self, operation: Operation, candidates: &[Candidate]) -> Vec<PeerId> {
        let best = BestKnown::of(candidates);
        let bounds = self.bounds(operation, candidates);
        let surplus = self.surplus(operation, candidates, &best);
        let of =
            |candidate: &Candidate| self.rank_of(candidate, operation, &best, &bounds, &surplus);
        let mut ranks: Vec<Rank> = candidates.iter().map(of).collect();
        ranks.sort_unstable();
        ranks.into_iter().map(|(.., peer)| peer).collect()
    }

    /// At most `count` of `candidates`, at least one if there is any: those whose turn it is, then
    /// the best. Where `count` is more than one, the last place is for who was not asked for
    /// longest, so that `n` peers are all asked within `n` rounds, and a few cannot hide what the
    /// others know.
    pub fn several(
        &self,
        now: Duration,
        operation: Operation,
        candidates: &[Candidate],
        count: usize,
    ) -> Vec<PeerId> {
        let mut longest: Vec<_> =
            candidates.iter().map(|of| (self.asked_at.get(&of.peer), of.peer)).collect();
        longest.sort_unstable();
        let count = count.clamp(1, candidates.len().max(1));
        let due = longest.iter().filter(|(_, peer)| self.is_due(now, *peer));
        let mut chosen: Vec<_> = due.map(|(_, peer)| *peer).take(count).collect();
        let best = if count > 1 { count - 1 } else { count };
        for peer in self.rank(operation, candidates) {
            if chosen.len() < best && !chosen.contains(&peer) {
                chosen.push(peer);
            }
        }
        for (_, peer) in longest {
            if chosen.len() < count && !chosen.contains(&peer) {
                chosen.push(peer);
            }
        }
        chosen
    }

    fn rank_of(
        &self,
        candidate: &Candidate,
        operation: Operation,
        best: &BestKnown,
        bounds: &BTreeMap<PeerId, f64>,
        surplus: &BTreeSet<PeerId>,
    ) -> Rank {
        let Candidate { peer, standing, load } = *candidate;
        let weights = self.settings.weights.of(operation);
        let worth = weights.worth(&standing, best);
        let latency = || nanos(standing.latency.unwrap_or(best.latency));
        let (first, second) = match self.settings.strategy {
            SelectionStrategy::Adaptive { .. } => {
                let best_bound = bounds.values().copied().fold(0.0, f64::max);
                let bound = bounds.get(&peer);
                (less(*bound.unwrap_or(&best_bound)), u64::from(bound.is_some()))
            }
            SelectionStrategy::HighestReputation => (fewer(standing.score), 0),
            SelectionStrategy::LowestLatency => (latency(), 0),
            SelectionStrategy::MostReliable => (fewer(standing.reliability), 0),
            SelectionStrategy::RoundRobin => {
                let next = self.last.is_none_or(|last| peer > last);
                // Nothing else counts but the order of names.
                return (u64::from(!next), 0, 0, 0, peer);
            }
            SelectionStrategy::Weighted => (steps(-self.draw(peer).ln() / worth), 0),
            SelectionStrategy::Diversified { .. } => (u64::from(surplus.contains(&peer)), 0),
            SelectionStrategy::LoadBalanced { target_utilization } => {
                let over = load.utilization() > u64::from(target_utilization);
                (u64::from(over), load.blocks)
            }
            SelectionStrategy::Proximity { from } => {
                let near = from.zip(standing.ip).map_or(0, |(from, ip)| common_prefix(from, ip));
                (u64::from(u32::MAX - near), latency())
            }
        };
        (first, second, less(worth), load.blocks, peer)
    }

    /// What those whose worth is known may well be worth.
    fn bounds(&self, operation: Operation, candidates: &[Candidate]) -> BTreeMap<PeerId, f64> {
        let Some(estimates) = self.estimates.get(&operation) else { return BTreeMap::new() };
        let weights = self.settings.weights.of(operation);
        let trust = |of: &Candidate| f64::from(weights.trust(&of.standing)) / 1e3;
        let bound = |of: &Candidate| Some((of.peer, estimates.bound(of.peer, trust(of))?));
        candidates.iter().filter_map(bound).collect()
    }

    /// Those beyond the most of their region, where that is bounded.
    fn surplus(
        &self,
        operation: Operation,
        candidates: &[Candidate],
        best: &BestKnown,
    ) -> BTreeSet<PeerId> {
        let mut surplus = BTreeSet::new();
        let SelectionStrategy::Diversified { max_per_region } = self.settings.strategy else {
            return surplus;
        };
        let weights = self.settings.weights.of(operation);
        // Who is in use keeps its place.
        let order =
            |of: &Candidate| (of.load.requests == 0, less(weights.worth(&of.standing, best)));
        let mut candidates: Vec<_> = candidates.iter().map(|of| (order(of), of.peer, of)).collect();
        candidates.sort_unstable_by_key(|(order, peer, _)| (*order, *peer));
        let mut regions: BTreeMap<Region, u16> = BTreeMap::new();
        for (_, peer, candidate) in candidates {
            let Some(ip) = candidate.standing.ip else { continue };
            let peers = regions.entry(Region::of(ip)).or_default();
            if *peers >= max_per_region {
                surplus.insert(peer);
            } else {
                *peers += 1;
            }
        }
        surplus
    }

    /// A number between 0 and 1 that chance gives `peer` for the next choice.
    fn draw(&self, peer: PeerId) -> f64 {
        let mut state = mix(self.seed ^ mix(self.choices));
        for part in peer.to_bytes().chunks(8) {
            let mut word = [0; 8];
            word.iter_mut().zip(part).for_each(|(byte, part)| *byte = *part);
            state = mix(state ^ u64::from_le_bytes(word));
        }
        // Never 0: the logarithm of 0 is none.
        ((state >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }
}

/// The output function of SplitMix64 (Steele, Lea and Flood, 2014): every bit of the input changes
/// half of the bits.
const fn mix(state: u64) -> u64 {
    let state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

/// More of it is less, to be sorted by.
fn less(worth: f64) -> u64 {
    u64::MAX - steps(worth)
}

/// The same of thousandths.
fn fewer(thousandths: u16) -> u64 {
    u64::MAX - u64::from(thousandths)
}

/// In whole steps; what is more than a `u64` holds is as much as it holds.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
fn steps(worth: f64) -> u64 {
    (worth * STEPS) as u64
}

fn nanos(latency: Duration) -> u64 {
    u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "selector_tests.rs"]
mod tests;
