//! Many runs, some at once, each on a thread of its own.

use std::{
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{
    fixture::{Fixture, FixtureError},
    invariants::Facts,
    plan::{Plan, Scenario},
    run::{Outcome, RunError, run},
};

/// Which runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// How many.
    pub runs: u64,
    /// The seed of the first; each next run has the next seed.
    pub seed: u64,
    /// Blocks of the chain that each of them syncs.
    pub blocks: u64,
    /// How many at once. 0: one for each core.
    pub jobs: usize,
}

/// Why the runs did not take place.
#[derive(Debug, thiserror::Error)]
pub enum ManyError {
    /// There is no chain.
    #[error(transparent)]
    Fixture(#[from] FixtureError),
    /// A run could not be made.
    #[error("seed {seed} could not be run")]
    Run {
        /// Which.
        seed: u64,
        /// Why.
        #[source]
        source: RunError,
    },
}

/// Runs all of them; how long it took. `done` is called after each run, in no particular order and
/// by several threads.
///
/// # Errors
/// [`ManyError`]. A broken invariant is none: it is in the outcome.
pub fn run_many(
    scenario: Scenario,
    options: Options,
    done: impl Fn(&Facts, &Outcome) + Sync,
) -> Result<Duration, ManyError> {
    let begun = Instant::now();
    let fixture = Arc::new(Fixture::new(options.blocks)?);
    let next = AtomicU64::new(0);
    let work = || -> Result<(), ManyError> {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= options.runs {
                return Ok(());
            }
            let seed = options.seed.wrapping_add(index);
            let outcome = run(&Plan::of(scenario, seed, options.blocks), &fixture, None)
                .map_err(|source| ManyError::Run { seed, source })?;
            done(&Facts::of(&outcome.plan, fixture.head, None), &outcome);
        }
    };
    let jobs = match options.jobs {
        0 => thread::available_parallelism().map_or(1, NonZeroUsize::get),
        jobs => jobs,
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| match worker.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })?;
    Ok(begun.elapsed())
}
