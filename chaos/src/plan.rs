//! From a seed to everything that one run does: peers, links, settings and what goes wrong.

mod byzantine;
mod children;
mod partition;
mod pressure;

use std::{fmt, time::Duration};

use alys_sync::{config::SyncConfig, tree::Child, types::Height};
use rand::{Rng as _, rngs::StdRng};

pub use self::{
    children::{Blow, Way},
    partition::Cut,
    pressure::{Pressure, Scarce},
};
use crate::{adversaries::Role, world::LinkSpeed};

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

/// Which runs a seed stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Scenario {
    /// Children are struck down among peers of all kinds.
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
    /// Faults, until all blows are done; then everything heals, and the sync must complete.
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
    /// Who is struck in every way, each time at work.
    pub victim: Option<Child>,
    /// Who is killed just before the node is told to sync.
    pub killed_before_start: Option<Child>,
    /// Who is struck after that, in order.
    pub blows: Vec<Blow>,
    /// How it goes on.
    pub course: Course,
    /// All links once the faults are over.
    pub healed_link: LinkSpeed,
    /// How long a write of the store takes.
    pub write_takes: Duration,
    /// When the machine is short of something.
    pub pressures: Vec<Pressure>,
    /// The node's settings, without its bootnodes.
    pub config: SyncConfig,
}

impl Plan {
    /// The run of `scenario` that `seed` stands for, on a chain of `blocks` blocks.
    pub fn of(scenario: Scenario, seed: u64, blocks: u64) -> Self {
        match scenario {
            Scenario::Children => Self::children(seed, blocks),
            Scenario::Byzantine => Self::byzantine(seed, blocks),
            Scenario::Partition => Self::partition(seed, blocks),
        }
    }
}

fn millis(rng: &mut StdRng, from: u64, to: u64) -> Duration {
    Duration::from_millis(rng.random_range(from..=to))
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
