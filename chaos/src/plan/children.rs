//! Runs in which children of the tree are struck down.
//!
//! One child, the victim, is struck in every way there is, each time while it has work under way.
//! Others are killed around that, some within milliseconds of it.

use std::{fmt, time::Duration};

use alys_sync::{config::SyncConfig, tree::Child, types::Height};
use rand::{
    Rng as _, SeedableRng as _,
    rngs::StdRng,
    seq::{IndexedRandom as _, SliceRandom as _},
};
use serde::Serialize;
use supervisors::Strike;

use super::{Course, HEALED_LINK, PeerPlan, Plan, config, millis, pressure::pressures};
use crate::{adversaries::Role, fixture::Lie, world::LinkSpeed};

/// Most blows that others than the victim get in one run. Source: with those of the victim well
/// below the restarts that the tree bears in a minute (30), so that a tree that gives up is a
/// finding.
const OTHER_BLOWS_MAX: usize = 8;

/// Most blows of the same child in one run. Source: restarts of one child back off from 10 ms,
/// doubling; up to the fourth it is back within the 100 ms that are asked for. More would measure
/// the backoff.
const BLOWS_OF_A_CHILD_MAX: usize = 3;

/// Most peers that are not honest in one run.
const OTHERS_MAX: usize = 4;

/// How a child is struck down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// Killed from outside.
    Kill,
    /// A handler panics.
    Panic,
    /// A handler returns an error.
    Fail,
    /// A handler never ends.
    Hang,
}

impl Way {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Kill, Self::Panic, Self::Fail, Self::Hang];

    /// What the handler is told; a kill comes from outside.
    pub fn strike(self) -> Option<Strike> {
        match self {
            Self::Kill => None,
            Self::Panic => Some(Strike::Panic),
            Self::Fail => Some(Strike::Fail),
            Self::Hang => Some(Strike::Hang),
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kill => "kill",
            Self::Panic => "panic",
            Self::Fail => "fail",
            Self::Hang => "hang",
        })
    }
}

/// One blow: once the chain has reached a height, and a pause later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blow {
    /// Who.
    pub child: Child,
    /// In which way.
    pub way: Way,
    /// The imported height that it waits for.
    pub height: Height,
    /// How long after that, or after the blow before.
    pub pause: Duration,
    /// Whether it then waits until enough is in flight, too.
    pub at_work: bool,
}

impl Plan {
    /// The run of children struck down that `seed` stands for, on a chain of `blocks` blocks. The
    /// victim goes round with the seed.
    pub fn children(seed: u64, blocks: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let rng = &mut rng;
        let all = Child::ALL.len() as u64;
        let victim = Child::ALL[usize::try_from(seed % all).expect("one of the few children")];
        Self {
            seed,
            start: Height::GENESIS,
            peers: peers(rng, blocks),
            victim: Some(victim),
            killed_before_start: rng.random_ratio(1, 6).then(|| other_child(rng, victim)),
            blows: blows(rng, victim, blocks),
            course: Course::Healing { faults_for: millis(rng, 500, 6_000) },
            healed_link: HEALED_LINK,
            // Half of the stores are slow ones: then blows meet writes under way.
            write_takes: if rng.random() { millis(rng, 1, 40) } else { Duration::ZERO },
            config: busy(rng),
            pressures: pressures(rng),
        }
    }
}

/// At least one peer is honest: without one no sync could complete before the heal phase.
fn peers(rng: &mut StdRng, blocks: u64) -> Vec<PeerPlan> {
    let honest = rng.random_range(1..=2);
    let others = rng.random_range(0..=OTHERS_MAX);
    let mut roles = vec![Role::Honest; honest];
    roles.extend((0..others).map(|_| other_role(rng, blocks)));
    roles.into_iter().map(|role| PeerPlan { role, seed: rng.random(), speed: speed(rng) }).collect()
}

/// From a bad mobile line to a poor one: the sync takes seconds, so that blows and faults meet it
/// at work.
fn speed(rng: &mut StdRng) -> LinkSpeed {
    LinkSpeed { delay: millis(rng, 1, 150), bytes_per_second: rng.random_range(15_000..=150_000) }
}

fn other_role(rng: &mut StdRng, blocks: u64) -> Role {
    match rng.random_range(0..6) {
        0 => Role::OneBlock,
        1 => Role::Silent { after_blocks: rng.random_range(1..=12) },
        2 => Role::Cutter { one_in: rng.random_range(1..=4) },
        3 => Role::Stale { head: Height::new(rng.random_range(0..=blocks)) },
        4 => Role::Leaver { one_in: rng.random_range(1..=6), away: millis(rng, 50, 4_000) },
        _ => Role::Liar {
            lie: *Lie::ALL.choose(rng).expect("there are lies"),
            one_in: rng.random_range(1..=40),
        },
    }
}

/// Settings with which several segments can be in flight at once.
fn busy(rng: &mut StdRng) -> SyncConfig {
    let mut config = config(rng);
    config.download.requests_per_peer_max = rng.random_range(6..=24);
    config.download.batch_size_max = rng.random_range(4..=16);
    config.download.window_blocks = rng.random_range(80..=160);
    config.memory_bytes = rng.random_range(256 << 10..=2 << 20);
    config
}

fn other_child(rng: &mut StdRng, victim: Child) -> Child {
    let others: Vec<_> = Child::ALL.into_iter().filter(|child| *child != victim).collect();
    *others.choose(rng).expect("there are other children")
}

fn blows(rng: &mut StdRng, victim: Child, blocks: u64) -> Vec<Blow> {
    let mut blows = on_the_victim(rng, victim, blocks);
    for _ in 0..rng.random_range(0..=OTHER_BLOWS_MAX) {
        let child = other_child(rng, victim);
        if blows.iter().filter(|blow| blow.child == child).count() >= BLOWS_OF_A_CHILD_MAX {
            continue;
        }
        // Only the victim hangs: while somebody hangs, the sync may come to its end, and there
        // would be nothing in flight any more.
        let way = *[Way::Kill, Way::Panic, Way::Fail].choose(rng).expect("there are ways");
        // Some while the node looks for its peers, some close together, most in the middle.
        let early = rng.random_ratio(1, 6);
        let height = if early { 0 } else { rng.random_range(0..blocks) };
        let together = rng.random_ratio(1, 3);
        let pause = if together { millis(rng, 0, 5) } else { millis(rng, 0, 150) };
        blows.push(Blow { child, way, height: Height::new(height), pause, at_work: false });
    }
    blows.sort_by_key(|blow| blow.height);
    blows
}

/// One in each way, in the first half of the chain. It hangs last, as the sync may end before
/// that is noticed.
fn on_the_victim(rng: &mut StdRng, child: Child, blocks: u64) -> Vec<Blow> {
    let mut ways = [Way::Kill, Way::Panic, Way::Fail];
    ways.shuffle(rng);
    let eighth = blocks / 8;
    let ways = ways.into_iter().chain([Way::Hang]);
    let blow = |(at, way)| {
        let height = Height::new(eighth * at + rng.random_range(0..=eighth));
        Blow { child, way, height, pause: millis(rng, 0, 50), at_work: true }
    };
    (0..).zip(ways).map(blow).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_repeat_differ_and_give_settings_that_work() {
        for seed in 0..200 {
            let plan = Plan::children(seed, 300);
            assert_eq!(plan, Plan::children(seed, 300));
            assert_ne!(plan, Plan::children(seed + 1, 300));
            plan.config.validate().unwrap();
            assert!(plan.peers.iter().any(|peer| peer.role == Role::Honest));
            let heights: Vec<_> = plan.blows.iter().map(|blow| blow.height).collect();
            assert!(heights.is_sorted());
        }
    }

    #[test]
    fn victim_is_struck_in_every_way_and_goes_round() {
        for seed in 0..200 {
            let plan = Plan::children(seed, 300);
            let victim = plan.victim.unwrap();
            assert_ne!(Plan::children(seed + 1, 300).victim, Some(victim));
            assert_ne!(plan.killed_before_start, Some(victim));
            let on_it = plan.blows.iter().filter(|blow| blow.child == victim);
            let mut ways: Vec<_> = on_it.map(|blow| blow.way).collect();
            assert_eq!(ways.last(), Some(&Way::Hang));
            ways.sort();
            assert_eq!(ways, Way::ALL);
        }
    }

    #[test]
    fn every_role_is_met_within_a_hundred_seeds() {
        let plans: Vec<_> = (0..100).map(|seed| Plan::children(seed, 300)).collect();
        let mut distinct = Vec::new();
        for peer in plans.iter().flat_map(|plan| &plan.peers) {
            let role = std::mem::discriminant(&peer.role);
            if !distinct.contains(&role) {
                distinct.push(role);
            }
        }
        assert_eq!(distinct.len(), 7);
    }
}
