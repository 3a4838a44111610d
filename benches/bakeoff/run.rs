//! All runs, on all cores. What a run comes to does not depend on which thread it is on.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use alys_sync::types::PeerId;
use rayon::prelude::*;

use super::{
    mixes::Mix,
    policies::Contender,
    world::{Outcome, World},
};

/// Which run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RunKey {
    pub(crate) mix: Mix,
    pub(crate) seed: u64,
    pub(crate) contender: Contender,
}

/// A run and what it came to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Run {
    pub(crate) key: RunKey,
    pub(crate) outcome: Outcome,
}

impl Run {
    /// How long it took; how long it was tried, if it did not end.
    pub(crate) const fn time(&self) -> Duration {
        self.outcome.time
    }
}

/// Plays every one of `contenders` in every mix with seeds from 1 to `seeds`, in this order. `done`
/// is told after each run, from any thread, and says whether to go on; without it there are no
/// runs.
pub(crate) fn run_all(
    mixes: &[Mix],
    contenders: &[Contender],
    seeds: u64,
    done: impl Fn() -> bool + Sync,
) -> Option<Vec<Run>> {
    let mut keys = Vec::new();
    for &mix in mixes {
        for seed in 1..=seeds {
            keys.extend(contenders.iter().map(|&contender| RunKey { mix, seed, contender }));
        }
    }
    let go_on = AtomicBool::new(true);
    let runs = keys.into_par_iter().map(|key| {
        // Runs that have begun end, no other begins.
        let run = go_on.load(Ordering::Relaxed).then(|| run(key))?;
        go_on.fetch_and(done(), Ordering::Relaxed);
        Some(run)
    });
    runs.collect()
}

fn run(key: RunKey) -> Run {
    let scenario = key.mix.scenario(key.seed);
    let peers = peer_ids(scenario.peers.len());
    Run { key, outcome: World::new(key.contender, scenario, &peers, key.seed).play() }
}

/// The first `count` peers, the same ones each time.
pub(super) fn peer_ids(count: usize) -> Vec<PeerId> {
    let id = |at: usize| {
        let mut secret = [7; 32];
        secret[..8].copy_from_slice(&(at as u64).to_le_bytes());
        let keys = libp2p::identity::Keypair::ed25519_from_bytes(secret).ok()?;
        Some(keys.public().to_peer_id())
    };
    (0..count).filter_map(id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_seeds_give_equal_runs_on_any_number_of_threads() {
        let runs = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let contenders = [Contender::Ours, Contender::Zebra];
            pool.install(|| run_all(&[Mix::Lossy, Mix::Liars], &contenders, 1, || true)).unwrap()
        };
        let (one, two) = (runs(1), runs(2));
        assert_eq!(one.len(), 4);
        assert_eq!(one, two);
        assert!(one.iter().all(|run| run.outcome.complete), "{one:?}");
    }

    #[test]
    fn runs_end_when_they_are_told_to() {
        assert_eq!(run_all(&[Mix::Uniform], &[Contender::Ours], 3, || false), None);
    }
}
