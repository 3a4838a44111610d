//! Runs in which the way to all peers, or to half of them, is cut for a while.

use std::time::Duration;

use alys_sync::{config::SyncConfig, types::Height};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

use super::{Course, HEALED_LINK, PeerPlan, Plan, config, millis};
use crate::{
    adversaries::Role,
    world::{LinkSpeed, OutageKind},
};

/// How long the way is cut. Unit: virtual time. Source: the product's promise is about 30 s.
const CUT_FOR: Duration = Duration::from_secs(30);

/// Most peers of a run. More of them show nothing more.
const PEERS_MAX: usize = 6;

/// Blocks that the network makes while a node at its head is cut off, at most: one a slot would be
/// six.
const NEW_BLOCKS_MAX: u64 = 20;

/// What is cut, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// It begins once this height is imported.
    pub height: Height,
    /// Blocks that the network has made until then. At `height`: the node has nothing to do.
    pub head: Height,
    /// How long the node goes on from there before it begins.
    pub pause: Duration,
    /// How it shows.
    pub kind: OutageKind,
    /// How many peers it concerns: all, or at most half, which is no fault of ours.
    pub peers: usize,
    /// How long it lasts.
    pub lasts: Duration,
}

impl Cut {
    /// Whether the node has all there is when it begins.
    pub fn is_idle(&self) -> bool {
        self.height == self.head
    }
}

impl Plan {
    /// The run with a cut that `seed` stands for, on a chain of `blocks` blocks.
    pub fn partition(seed: u64, blocks: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let rng = &mut rng;
        // Limits as the seed says; times as an operator has them, for times are measured.
        let SyncConfig { peers, discovery, .. } = SyncConfig::default();
        let mut config = SyncConfig { peers, discovery, ..config(rng) };
        config.download.block_deadline = millis(rng, 1_000, 8_000);
        let count = if rng.random_ratio(1, 5) { 1 } else { rng.random_range(2..=PEERS_MAX) };
        let peers = (0..count).map(|_| PeerPlan {
            role: if rng.random_ratio(1, 3) { Role::OneBlock } else { Role::Honest },
            seed: rng.random(),
            speed: line(rng, count),
        });
        let peers = peers.collect();
        let idle = rng.random_ratio(1, 4);
        let (height, head) = if idle {
            let head = blocks - rng.random_range(1..=NEW_BLOCKS_MAX.min(blocks / 2));
            (head, head)
        } else {
            (rng.random_range(blocks / 5..=blocks / 2), blocks)
        };
        let half = count > 1 && rng.random_ratio(1, 4);
        Self {
            seed,
            start: Height::GENESIS,
            peers,
            victim: None,
            killed_before_start: None,
            blows: Vec::new(),
            course: Course::Cut(Cut {
                height: Height::new(height),
                head: Height::new(head),
                pause: if idle { millis(rng, 0, 10_000) } else { millis(rng, 0, 100) },
                kind: if rng.random_ratio(1, 4) { OutageKind::Gone } else { OutageKind::Silent },
                peers: if half { count / 2 } else { count },
                lasts: CUT_FOR,
            }),
            healed_link: HEALED_LINK,
            write_takes: Duration::ZERO,
            pressures: Vec::new(),
            config,
        }
    }
}

/// So slow that all links together carry the chain for about ten seconds: the cut must meet a sync
/// at work.
fn line(rng: &mut StdRng, peers: usize) -> LinkSpeed {
    let peers = u64::try_from(peers).unwrap_or(u64::MAX);
    let bytes_per_second = rng.random_range(30_000..=90_000) / peers;
    LinkSpeed { delay: millis(rng, 1, 150), bytes_per_second }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cuts() -> impl Iterator<Item = (Plan, Cut)> {
        (0..200).map(|seed| Plan::partition(seed, 300)).map(|plan| match plan.course {
            Course::Cut(cut) => (plan, cut),
            Course::Healing { .. } | Course::Unhealed => panic!("nothing is cut"),
        })
    }

    #[test]
    fn cuts_concern_all_peers_or_no_more_than_half() {
        for (plan, cut) in cuts() {
            plan.config.validate().unwrap();
            let all = plan.peers.len();
            assert!(cut.peers == all || (cut.peers > 0 && 2 * cut.peers <= all), "{plan:?}");
            assert!(cut.height <= cut.head && cut.head <= Height::new(300), "{cut:?}");
        }
    }

    #[test]
    fn every_variant_is_met() {
        let all: Vec<_> = cuts().collect();
        let met = |wanted: fn(&Plan, &Cut) -> bool| all.iter().any(|(plan, cut)| wanted(plan, cut));
        assert!(met(|plan, cut| plan.peers.len() == 1 && cut.kind == OutageKind::Silent));
        assert!(met(|plan, cut| plan.peers.len() == 1 && cut.kind == OutageKind::Gone));
        assert!(met(|_, cut| cut.is_idle() && cut.kind == OutageKind::Silent));
        assert!(met(|plan, cut| cut.peers < plan.peers.len() && cut.kind == OutageKind::Silent));
        assert!(met(|plan, cut| cut.peers < plan.peers.len() && cut.kind == OutageKind::Gone));
    }
}
