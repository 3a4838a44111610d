//! Many runs with killed children, and the report on them.

use std::{
    num::NonZeroUsize,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde::Serialize;

use crate::{
    fixture::{Fixture, FixtureError},
    invariants::{Facts, back_times, dropped, imported_twice},
    plan::Plan,
    run::{Outcome, RunError, run},
    trace::Event,
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

/// What came of all runs.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ChildrenReport {
    /// How many took place.
    pub runs: u64,
    /// How many of them synced the whole chain.
    pub completed: u64,
    /// The seeds of those in which an invariant broke.
    pub failed_seeds: Vec<u64>,
    /// Children killed.
    pub kills: u64,
    /// Of those, killed while blocks were on their way through the node.
    pub busy_kills: u64,
    /// Children that came back.
    pub restarts: u64,
    /// The median of the times until a killed child was back. Unit: milliseconds of virtual time.
    pub median_back_ms: f64,
    /// The longest of them.
    pub max_back_ms: f64,
    /// Blocks imported more than once.
    pub imported_twice: u64,
    /// Bytes that permits held after the end.
    pub leaked_bytes: u64,
    /// Peers thrown out that never sent a provable lie.
    pub honest_banned: u64,
    /// Liars thrown out.
    pub liars_out: u64,
    /// The longest sync. Unit: seconds of virtual time.
    pub max_sync_seconds: f64,
    /// How long it all took. Unit: seconds.
    pub seconds: f64,
}

/// Why the runs did not take place.
#[derive(Debug, thiserror::Error)]
pub enum ChildrenError {
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

/// Runs all of them and reports; `done` is called after each run, in no particular order.
///
/// # Errors
/// [`ChildrenError`]. A broken invariant is none: it is in the report.
pub fn run_all(
    options: Options,
    done: impl Fn(&Outcome) + Sync,
) -> Result<ChildrenReport, ChildrenError> {
    let begun = Instant::now();
    let fixture = Arc::new(Fixture::new(options.blocks)?);
    let tally = Mutex::new(Tally::default());
    let next = AtomicU64::new(0);
    let work = || -> Result<(), ChildrenError> {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= options.runs {
                return Ok(());
            }
            let seed = options.seed.wrapping_add(index);
            let outcome = run(&Plan::from_seed(seed, options.blocks), &fixture, None)
                .map_err(|source| ChildrenError::Run { seed, source })?;
            done(&outcome);
            let facts = Facts::of(&outcome.plan, fixture.head, None);
            tally.lock().unwrap_or_else(PoisonError::into_inner).add(&facts, &outcome);
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
    let tally = tally.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(tally.report(begun.elapsed()))
}

#[derive(Default)]
struct Tally {
    report: ChildrenReport,
    backs: Vec<Duration>,
    longest_sync: Duration,
}

impl Tally {
    fn add(&mut self, facts: &Facts, outcome: &Outcome) {
        let report = &mut self.report;
        report.runs += 1;
        if !outcome.broken.is_empty() {
            report.failed_seeds.push(outcome.plan.seed);
        }
        for stamped in &outcome.events {
            if let Event::Killed { busy, .. } = stamped.event {
                report.kills += 1;
                report.busy_kills += u64::from(busy);
            }
            if let Event::Synced { head } = stamped.event {
                report.completed += u64::from(head == facts.head);
                self.longest_sync = self.longest_sync.max(stamped.at);
            }
            if let Event::Ended { budget, .. } = stamped.event {
                report.leaked_bytes += budget.used;
            }
        }
        report.imported_twice += imported_twice(&outcome.events);
        for peer in dropped(&outcome.events) {
            if facts.is_liar(peer) {
                report.liars_out += 1;
            } else {
                report.honest_banned += 1;
            }
        }
        let backs = back_times(&outcome.events);
        report.restarts += backs.len() as u64;
        self.backs.extend(backs);
    }

    fn report(mut self, took: Duration) -> ChildrenReport {
        let millis = |time: Option<&Duration>| time.map_or(0.0, |time| time.as_secs_f64() * 1e3);
        self.backs.sort();
        self.report.failed_seeds.sort_unstable();
        self.report.median_back_ms = millis(self.backs.get(self.backs.len() / 2));
        self.report.max_back_ms = millis(self.backs.last());
        self.report.max_sync_seconds = self.longest_sync.as_secs_f64();
        self.report.seconds = took.as_secs_f64();
        self.report
    }
}
