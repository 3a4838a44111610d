//! Many runs with killed children, and the report on them.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use serde::Serialize;

use crate::{
    invariants::{Facts, back_times, dropped, imported_twice, thrown_out_without_a_lie},
    many::{ManyError, Options, run_many},
    plan::Scenario,
    run::Outcome,
    trace::Event,
};

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

/// Runs all of them and reports; `done` is called after each run, in no particular order.
///
/// # Errors
/// [`ManyError`]. A broken invariant is none: it is in the report.
pub fn run_all(
    options: Options,
    done: impl Fn(&Outcome) + Sync,
) -> Result<ChildrenReport, ManyError> {
    let tally = Mutex::new(Tally::default());
    let took = run_many(Scenario::Children, options, |facts, outcome| {
        done(outcome);
        tally.lock().unwrap_or_else(PoisonError::into_inner).add(facts, outcome);
    })?;
    let tally = tally.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(tally.report(took))
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
        report.honest_banned += thrown_out_without_a_lie(facts, &outcome.events).len() as u64;
        let dropped = dropped(&outcome.events).into_iter();
        report.liars_out += dropped.filter(|peer| facts.is_liar(*peer)).count() as u64;
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
