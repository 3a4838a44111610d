//! From a seed to everything that one run does: peers, links, settings and what goes wrong.

mod byzantine;
mod partition;

use std::{fmt, time::Duration};

use alys_sync::{config::SyncConfig, tree::Child, types::Height};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};

pub use self::partition::Cut;
use crate::{adversaries::Role, fixture::Lie, world::LinkSpeed};

/// Most kills of one run. Source: well below the restarts that the tree bears in a minute (30), so
/// that a tree that gives up is a finding.
const KILLS_MAX: usize = 12;

/// Most kills of the same child in one run. Source: restarts of one child back off from 10 ms,
/// doubling; up to the fourth, the one before the start included, it is back within the 100 ms that
/// are asked for. More would measure the backoff.
const KILLS_OF_A_CHILD_MAX: usize = 3;

/// Most peers that are not honest in one run.
const OTHERS_MAX: usize = 4;

/// Links once the faults are over: a good line.
pub const HEALED_LINK: LinkSpeed =
    LinkSpeed { delay: Duration::from_millis(10), bytes_per_second: 2_000_000 };

/// One peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerPlan {
    /// What it does.
    pub role: Role,
    /// Decides what the role leaves open.
    pub seed: u64,
    /// Its link during the fault phase.
    pub speed: LinkSpeed,
}

/// One kill: once the chain has reached a height, and a pause later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kill {
    /// Who.
    pub child: Child,
    /// The imported height that it waits for.
    pub height: Height,
    /// How long after that, or after the kill before.
    pub pause: Duration,
}

/// Which runs a seed stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Scenario {
    /// Children are killed among peers of all kinds.
    Children,
    /// Up to half of the peers are byzantine, and stay it.
    Byzantine,
    /// The way to peers is cut for a while.
    Partition,
}

impl Scenario {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Children, Self::Byzantine, Self::Partition];
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Children => "children",
            Self::Byzantine => "byzantine",
            Self::Partition => "partition",
        })
    }
}

/// How a run goes on once the node was told to sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Course {
    /// Faults, until all kills are done; then everything heals, and the sync must complete.
    Healing {
        /// The least duration of the fault phase.
        faults_for: Duration,
    },
    /// Nothing heals: the sync must complete among peers that stay what they are.
    Unhealed,
    /// The way to peers is cut and comes back; then the sync must complete.
    Cut(Cut),
}

/// A run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What it came from.
    pub seed: u64,
    /// The height that the node has from the start.
    pub start: Height,
    /// Who serves.
    pub peers: Vec<PeerPlan>,
    /// Who is killed just before the node is told to sync.
    pub killed_before_start: Option<Child>,
    /// Who is killed after that, in order.
    pub kills: Vec<Kill>,
    /// How it goes on.
    pub course: Course,
    /// All links once the faults are over.
    pub healed_link: LinkSpeed,
    /// How long a write of the store takes.
    pub write_takes: Duration,
    /// The node's settings, without its bootnodes.
    pub config: SyncConfig,
}

impl Plan {
    /// The run of `scenario` that `seed` stands for, on a chain of `blocks` blocks.
    pub fn of(scenario: Scenario, seed: u64, blocks: u64) -> Self {
        match scenario {
            Scenario::Children => Self::from_seed(seed, blocks),
            Scenario::Byzantine => Self::byzantine(seed, blocks),
            Scenario::Partition => Self::partition(seed, blocks),
        }
    }

    /// The run of killed children that `seed` stands for, on a chain of `blocks` blocks.
    pub fn from_seed(seed: u64, blocks: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let rng = &mut rng;
        Self {
            seed,
            start: Height::GENESIS,
            peers: peers(rng, blocks),
            killed_before_start: rng.random_ratio(1, 6).then(|| child(rng)),
            kills: kills(rng, blocks),
            course: Course::Healing { faults_for: millis(rng, 500, 6_000) },
            healed_link: HEALED_LINK,
            // Half of the stores are slow ones: then kills meet writes under way.
            write_takes: if rng.random() { millis(rng, 1, 40) } else { Duration::ZERO },
            config: config(rng),
        }
    }
}

fn millis(rng: &mut StdRng, from: u64, to: u64) -> Duration {
    Duration::from_millis(rng.random_range(from..=to))
}

/// At least one peer is honest: without one no sync could complete before the heal phase.
fn peers(rng: &mut StdRng, blocks: u64) -> Vec<PeerPlan> {
    let honest = rng.random_range(1..=2);
    let others = rng.random_range(0..=OTHERS_MAX);
    let mut roles = vec![Role::Honest; honest];
    roles.extend((0..others).map(|_| other_role(rng, blocks)));
    roles.into_iter().map(|role| PeerPlan { role, seed: rng.random(), speed: speed(rng) }).collect()
}

/// From a bad mobile line to a fair one: the sync takes seconds, so that kills and faults meet it
/// at work.
fn speed(rng: &mut StdRng) -> LinkSpeed {
    LinkSpeed { delay: millis(rng, 1, 150), bytes_per_second: rng.random_range(15_000..=400_000) }
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

fn child(rng: &mut StdRng) -> Child {
    *Child::ALL.choose(rng).expect("there are children")
}

fn kills(rng: &mut StdRng, blocks: u64) -> Vec<Kill> {
    let mut kills: Vec<Kill> = Vec::new();
    for _ in 0..rng.random_range(1..=KILLS_MAX) {
        let child = child(rng);
        if kills.iter().filter(|kill| kill.child == child).count() >= KILLS_OF_A_CHILD_MAX {
            continue;
        }
        // Some while the node looks for its peers, some close together, most in the middle.
        let early = rng.random_ratio(1, 6);
        let height = if early { 0 } else { rng.random_range(0..blocks) };
        let together = rng.random_ratio(1, 3);
        let pause = if together { millis(rng, 0, 5) } else { millis(rng, 0, 150) };
        kills.push(Kill { child, height: Height::new(height), pause });
    }
    kills.sort_by_key(|kill| kill.height);
    kills
}

/// Small windows and budgets, so that a chain of some hundred blocks meets their limits.
fn config(rng: &mut StdRng) -> SyncConfig {
    let mut config = SyncConfig::default();
    config.download.window_blocks = rng.random_range(24..=160);
    config.download.batch_size_max = rng.random_range(4..=64);
    config.download.requests_per_peer_max = rng.random_range(2..=24);
    config.download.block_deadline = millis(rng, 1_000, 3_000);
    config.memory_bytes = rng.random_range(64 << 10..=2 << 20);
    config.import_batch_blocks = rng.random_range(1..=64);
    config.peers.redial_first = millis(rng, 100, 500);
    config.peers.redial_max = Duration::from_secs(5);
    config.discovery.interval = millis(rng, 200, 1_000);
    config.discovery.probe_deadline = millis(rng, 1_000, 3_000);
    config.discovery.probe_peers = rng.random_range(1..=4);
    config.checkpoint.interval_blocks = rng.random_range(10..=100);
    config.checkpoint.kept_max = rng.random_range(1..=4);
    config.seed = rng.random();
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_repeat_differ_and_give_settings_that_work() {
        for seed in 0..200 {
            let plan = Plan::from_seed(seed, 300);
            assert_eq!(plan, Plan::from_seed(seed, 300));
            assert_ne!(plan, Plan::from_seed(seed + 1, 300));
            plan.config.validate().unwrap();
            assert!(plan.peers.iter().any(|peer| peer.role == Role::Honest));
            assert!(plan.kills.len() <= KILLS_MAX);
        }
    }

    #[test]
    fn every_child_and_every_role_is_met_within_a_hundred_seeds() {
        let plans: Vec<_> = (0..100).map(|seed| Plan::from_seed(seed, 300)).collect();
        for child in Child::ALL {
            assert!(plans.iter().flat_map(|plan| &plan.kills).any(|kill| kill.child == child));
        }
        let mut roles: Vec<_> = plans
            .iter()
            .flat_map(|plan| &plan.peers)
            .map(|peer| std::mem::discriminant(&peer.role))
            .collect();
        roles.dedup();
        let mut distinct = Vec::new();
        for role in roles {
            if !distinct.contains(&role) {
                distinct.push(role);
            }
        }
        assert_eq!(distinct.len(), 7);
    }
}
