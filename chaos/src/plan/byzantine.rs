//! Runs among byzantine peers, which are up to half of all.

use std::time::Duration;

use alys_sync::types::Height;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};

use super::{Course, HEALED_LINK, PeerPlan, Plan, config, millis};
use crate::{
    adversaries::Role,
    fixture::{FORKS, Lie, Second, fork_parts_above},
    world::LinkSpeed,
};

/// Peers of a run, the byzantine ones included. Fewer: half of them are one, and chance decides
/// alone. More: runs are slow and show nothing more.
const PEERS: std::ops::RangeInclusive<usize> = 4..=12;

/// One honest peer in so many serves one block a request, as today's nodes do.
const HONEST_PER_ONE_BLOCK: u32 = 3;

impl Plan {
    /// The run among byzantine peers that `seed` stands for, on a chain of `blocks` blocks.
    pub fn byzantine(seed: u64, blocks: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let rng = &mut rng;
        let config = config(rng);
        let deadline = config.download.block_deadline;
        let start = start(rng, blocks);
        let count = rng.random_range(PEERS);
        let byzantine = rng.random_range(1..=count / 2);
        let peers = (0..count).map(|at| {
            let role = if at < byzantine {
                byzantine_role(rng, blocks, start, deadline)
            } else if rng.random_ratio(1, HONEST_PER_ONE_BLOCK) {
                Role::OneBlock
            } else {
                Role::Honest
            };
            PeerPlan { role, seed: rng.random(), speed: slow_line(rng) }
        });
        Self {
            seed,
            start,
            peers: peers.collect(),
            victim: None,
            killed_before_start: None,
            blows: Vec::new(),
            course: Course::Unhealed,
            healed_link: HEALED_LINK,
            write_takes: Duration::ZERO,
            pressures: Vec::new(),
            config,
        }
    }
}

/// Slow enough that a sync of some hundred blocks lasts until liars had the time to be caught.
fn slow_line(rng: &mut StdRng) -> LinkSpeed {
    LinkSpeed { delay: millis(rng, 1, 150), bytes_per_second: rng.random_range(12_000..=80_000) }
}

/// Half of the nodes start at genesis, where nobody can be on a fork of what they have; the others
/// above all forks, because this node does not leave a fork that it is on.
fn start(rng: &mut StdRng, blocks: u64) -> Height {
    let above_forks = fork_parts_above(blocks, FORKS - 1).get() + 1;
    if rng.random() || above_forks > blocks / 2 {
        return Height::GENESIS;
    }
    Height::new(rng.random_range(above_forks..=blocks / 2))
}

fn byzantine_role(rng: &mut StdRng, blocks: u64, start: Height, deadline: Duration) -> Role {
    let forks = start > Height::GENESIS;
    match rng.random_range(0..if forks { 10 } else { 9 }) {
        0 | 1 => Role::Liar {
            lie: *Lie::ALL.choose(rng).expect("there are lies"),
            one_in: rng.random_range(1..=20),
        },
        2 => Role::Equivocating {
            second: *Second::ALL.choose(rng).expect("there are ways"),
            one_in: rng.random_range(2..=6),
        },
        3 => Role::Cutter { one_in: rng.random_range(1..=4) },
        4 => Role::Empty,
        5 => Role::Stale { head: Height::new(rng.random_range(0..=blocks)) },
        6 => Role::Reordered,
        7 => Role::Slow { pause: deadline.mul_f64(rng.random_range(0.5..0.95)) },
        8 if rng.random() => Role::Silent { after_blocks: rng.random_range(1..=12) },
        8 => Role::Leaver { one_in: rng.random_range(1..=6), away: millis(rng, 50, 4_000) },
        _ => {
            let fork = rng.random_range(0..FORKS);
            let own = fork_parts_above(blocks, fork).get() + 1;
            Role::Forked { fork, head: Height::new(rng.random_range(own..=blocks)) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn up_to_half_of_the_peers_are_byzantine_and_the_others_serve_the_whole_chain() {
        for seed in 0..300 {
            let plan = Plan::byzantine(seed, 300);
            assert_eq!(plan, Plan::byzantine(seed, 300));
            plan.config.validate().unwrap();
            assert!(PEERS.contains(&plan.peers.len()));
            let honest = |peer: &&PeerPlan| matches!(peer.role, Role::Honest | Role::OneBlock);
            let honest = plan.peers.iter().filter(honest).count();
            assert!(2 * honest >= plan.peers.len() && honest < plan.peers.len(), "seed {seed}");
        }
    }

    #[test]
    fn forks_part_below_the_height_at_which_the_node_starts() {
        let mut forked = 0;
        for seed in 0..300 {
            let plan = Plan::byzantine(seed, 300);
            for peer in &plan.peers {
                if let Role::Forked { fork, .. } = peer.role {
                    assert!(fork_parts_above(300, fork) < plan.start, "seed {seed}");
                    forked += 1;
                }
            }
        }
        assert!(forked > 0);
    }

    #[test]
    fn every_kind_is_met_within_a_hundred_seeds() {
        let plans: Vec<_> = (0..100).map(|seed| Plan::byzantine(seed, 300)).collect();
        let roles = plans.iter().flat_map(|plan| &plan.peers).map(|peer| peer.role);
        let mut kinds = Vec::new();
        for kind in roles.map(|role| std::mem::discriminant(&role)) {
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        assert_eq!(kinds.len(), 12);
    }
}
