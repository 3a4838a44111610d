//! What choosing by what is known costs against always choosing the best, in virtual time.
//!
//! Each world has peers of hidden qualities. Again and again the shipped
//! [`Selector`] chooses one of them, and is told what came of it;
//! reputation is played by plain averages of the same. The regret of a choice is what the best peer
//! is worth at that moment less what the chosen one is, both without noise. Equal seeds give equal
//! worlds and equal regret.
//!
//! A turn for everybody costs the same each minute, so no regret here ends: it is bounded by a part
//! of what the best would have brought. What is lost at turns is told apart, for the rest should
//! become less where peers stay as they are: that is what the growth from one half of a run to the
//! other shows.

mod peers;

use std::{collections::BTreeMap, time::Duration};

use alys_sync::{
    selection::{
        Candidate, Load, Operation, QualityWeights, SelectionSettings, SelectionStrategy, Selector,
    },
    types::PeerId,
};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use serde::Serialize;

use self::peers::HiddenPeer;
use crate::{trace::PeerIndex, world::peer_id};

/// Time from one choice to the next. Source: a tenth of the pause between looks for the height of
/// the network; downloads choose more often. Longer: turns are a larger part of all choices.
const CHOICE_EVERY: Duration = Duration::from_millis(100);

/// Fewest and most peers of a world.
const PEERS: (usize, usize) = (4, 16);

/// How the peers of a world change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// They stay as they are.
    Fixed,
    /// They become a little better or worse with every choice.
    Drifting,
    /// Now and then one becomes another peer altogether, a liar too.
    Switching,
}

impl Change {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Fixed, Self::Drifting, Self::Switching];
}

/// What to simulate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RegretOptions {
    /// Worlds of each kind, at least 1.
    pub worlds: u64,
    /// Choices in each, at least 2.
    pub rounds: u64,
    /// The seed of the first world; each next one has the next seed.
    pub seed: u64,
}

/// Regret over some worlds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Regret {
    /// Of what the best peer would have brought, the part that was lost: 0 to 1.
    pub fraction: f64,
    /// The same over the second half of each run.
    pub fraction_last_half: f64,
    /// The part that was lost at turns, of peers that nothing else would have chosen.
    pub fraction_at_turns: f64,
    /// What was lost in the second halves but for turns over the same of the first halves.
    pub growth: f64,
    /// The longest that a peer was not chosen. Unit: choices.
    pub longest_wait_rounds: u64,
}

/// A world and what it came to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct WorldRegret {
    /// How its peers change.
    pub change: Change,
    /// Its seed.
    pub seed: u64,
    /// See [`Regret::fraction`].
    pub regret_fraction: f64,
}

/// What the simulation came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RegretReport {
    /// Choices in each world.
    pub rounds: u64,
    /// Worlds of each kind.
    pub worlds: u64,
    /// Virtual time between choices. Unit: milliseconds.
    pub choice_every_ms: u64,
    /// Of the adaptive strategy over all worlds. See [`Regret::fraction`].
    pub regret_fraction: f64,
    /// See [`Regret::fraction_last_half`].
    pub regret_fraction_last_half: f64,
    /// Of the adaptive strategy over worlds that stay as they are. See [`Regret::growth`].
    pub regret_growth: f64,
    /// Of the adaptive strategy over all worlds. See [`Regret::longest_wait_rounds`].
    pub longest_wait_rounds: u64,
    /// The world in which the adaptive strategy lost most.
    pub worst_world: Option<WorldRegret>,
    /// Of each strategy: the regret over worlds of each kind.
    pub strategies: BTreeMap<&'static str, BTreeMap<Change, Regret>>,
}

/// What one run lost, and what the best peer would have brought.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Losses {
    /// In the first half and in the second, but for turns. Unit: worth.
    pub lost: [f64; 2],
    /// At turns.
    pub lost_at_turns: [f64; 2],
    /// The same of what there was to have.
    pub best: [f64; 2],
    /// See [`Regret::longest_wait_rounds`].
    pub longest_wait_rounds: u64,
}

impl Losses {
    fn add(&mut self, other: &Self) {
        for half in 0..2 {
            self.lost[half] += other.lost[half];
            self.lost_at_turns[half] += other.lost_at_turns[half];
            self.best[half] += other.best[half];
        }
        self.longest_wait_rounds = self.longest_wait_rounds.max(other.longest_wait_rounds);
    }

    fn fraction(&self) -> f64 {
        let lost: f64 = self.lost.iter().chain(&self.lost_at_turns).sum();
        lost / self.best.iter().sum::<f64>()
    }

    fn regret(&self) -> Regret {
        Regret {
            fraction: self.fraction(),
            fraction_last_half: (self.lost[1] + self.lost_at_turns[1]) / self.best[1],
            fraction_at_turns: self.lost_at_turns.iter().sum::<f64>()
                / self.best.iter().sum::<f64>(),
            growth: self.lost[1] / self.lost[0],
            longest_wait_rounds: self.longest_wait_rounds,
        }
    }
}

/// Plays every strategy in every world.
pub fn simulate(options: RegretOptions) -> RegretReport {
    let RegretOptions { worlds, rounds, seed } = options;
    let mut strategies: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
    let (mut adaptive, mut worst_world) = (Losses::default(), None::<WorldRegret>);
    let mut regret_growth = 0.0;
    for strategy in SelectionStrategy::ALL {
        for change in Change::ALL {
            let mut all = Losses::default();
            for seed in (seed..).take(usize::try_from(worlds).unwrap_or(usize::MAX)) {
                let losses = play(strategy, change, seed, rounds);
                all.add(&losses);
                let regret_fraction = losses.fraction();
                let is_worst = worst_world
                    .as_ref()
                    .is_none_or(|worst| worst.regret_fraction < regret_fraction);
                if strategy == SelectionStrategy::default() && is_worst {
                    worst_world = Some(WorldRegret { change, seed, regret_fraction });
                }
            }
            let regret = all.regret();
            if strategy == SelectionStrategy::default() {
                adaptive.add(&all);
                regret_growth = if change == Change::Fixed { regret.growth } else { regret_growth };
            }
            strategies.entry(strategy.name()).or_default().insert(change, regret);
        }
    }
    let Regret { fraction, fraction_last_half, longest_wait_rounds, .. } = adaptive.regret();
    RegretReport {
        rounds,
        worlds,
        choice_every_ms: u64::try_from(CHOICE_EVERY.as_millis()).unwrap_or(u64::MAX),
        regret_fraction: fraction,
        regret_fraction_last_half: fraction_last_half,
        regret_growth,
        longest_wait_rounds,
        worst_world,
        strategies,
    }
}

/// Plays `strategy` for so many rounds in the world of this kind that `seed` decides.
pub fn play(strategy: SelectionStrategy, change: Change, seed: u64, rounds: u64) -> Losses {
    let mut world = World::new(change, seed);
    let settings = SelectionSettings { strategy, ..SelectionSettings::default() };
    let weights = settings.weights.of(world.operation);
    let mut selector = Selector::new(settings, seed);
    let mut now = Duration::ZERO;
    world.peers.keys().for_each(|peer| selector.joined(now, *peer));
    let mut asked: BTreeMap<PeerId, u64> = BTreeMap::new();
    let mut losses = Losses::default();
    for round in 1..=rounds {
        now += CHOICE_EVERY;
        let half = usize::from(round > rounds / 2);
        let candidates = world.candidates();
        let best = world.best(weights);
        losses.best[half] += best;
        for peer in selector.several(now, world.operation, &candidates, 1) {
            let turn = selector.is_due(now, peer);
            selector.asked(now, peer);
            if let Some(chosen) = world.peers.get_mut(&peer) {
                let lost = best - chosen.worth(weights);
                let all = if turn { &mut losses.lost_at_turns } else { &mut losses.lost };
                all[half] += lost;
                let experience = chosen.ask(&mut world.chance);
                selector.learned(world.operation, peer, &experience);
            }
            asked.insert(peer, round);
        }
        let waited = |peer| round - asked.get(peer).copied().unwrap_or_default();
        let longest = world.peers.keys().map(waited).max().unwrap_or_default();
        losses.longest_wait_rounds = losses.longest_wait_rounds.max(longest);
        world.change(change);
    }
    losses
}

/// Peers, and what they are asked for.
struct World {
    peers: BTreeMap<PeerId, HiddenPeer>,
    operation: Operation,
    chance: StdRng,
}

impl World {
    fn new(change: Change, seed: u64) -> Self {
        let mut chance = StdRng::seed_from_u64(seed.wrapping_mul(4).wrapping_add(change as u64));
        let count = chance.random_range(PEERS.0..=PEERS.1);
        let operations = [Operation::Headers, Operation::Blocks, Operation::Backfill];
        let operation = operations[chance.random_range(0..operations.len())];
        let peers = (0..count).map(|at| (peer_id(PeerIndex(at)), HiddenPeer::new(&mut chance)));
        let peers = peers.collect();
        Self { peers, operation, chance }
    }

    fn candidates(&self) -> Vec<Candidate> {
        let load = Load { requests_max: 1, ..Load::default() };
        let peers = self.peers.iter();
        peers.map(|(&peer, of)| Candidate { peer, standing: of.standing(), load }).collect()
    }

    /// What the best peer is worth now.
    fn best(&self, weights: QualityWeights) -> f64 {
        self.peers.values().map(|peer| peer.worth(weights)).fold(0.0, f64::max)
    }

    fn change(&mut self, change: Change) {
        for peer in self.peers.values_mut() {
            match change {
                Change::Fixed => {}
                Change::Drifting => peer.drift(&mut self.chance),
                Change::Switching => peer.switch(&mut self.chance),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use alys_sync::selection::TURN_AFTER;

    use super::*;

    #[test]
    fn equal_seeds_lose_equally() {
        let losses = |seed| play(SelectionStrategy::default(), Change::Switching, seed, 1_000);
        assert_eq!(losses(3), losses(3));
        assert_ne!(losses(3), losses(4));
    }

    fn adaptive(change: Change) -> Regret {
        let mut all = Losses::default();
        (1..=20).for_each(|seed| all.add(&play(SelectionStrategy::default(), change, seed, 4_000)));
        all.regret()
    }

    #[test]
    fn what_learning_costs_ends_where_peers_stay_as_they_are() {
        let regret = adaptive(Change::Fixed);
        assert!(regret.growth <= 0.5, "twice the time loses half as much more: {regret:?}");
        assert!(regret.fraction <= 0.04 && regret.fraction_last_half <= 0.03, "{regret:?}");
    }

    #[test]
    fn regret_is_bounded_where_peers_change() {
        for change in [Change::Drifting, Change::Switching] {
            let regret = adaptive(change);
            assert!(regret.fraction <= 0.1 && regret.fraction_last_half <= 0.1, "{regret:?}");
        }
    }

    #[test]
    fn every_peer_is_chosen_within_the_time_of_a_turn_and_one_choice_for_each_other() {
        let turn = TURN_AFTER.as_millis() / CHOICE_EVERY.as_millis();
        let most = u64::try_from(turn).unwrap() + PEERS.1 as u64;
        for strategy in SelectionStrategy::ALL {
            let losses = play(strategy, Change::Fixed, 1, 2_000);
            assert!(losses.longest_wait_rounds <= most, "{strategy}: {losses:?}");
        }
    }
}
