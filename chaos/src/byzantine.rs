//! Many runs among byzantine peers, and the report on them.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a report is about few events, and a new one concerns those that name it"
)]

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use serde::Serialize;

use crate::{
    invariants::{BAD_REPLIES_MAX, Facts, dropped, liars_seen, thrown_out_without_a_lie},
    many::{ManyError, Options, run_many},
    plan::Scenario,
    run::Outcome,
    trace::Event,
};

/// What came of all runs.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ByzantineReport {
    /// How many took place.
    pub seeds: u64,
    /// How many of them synced the whole chain among the byzantine peers.
    pub completed: u64,
    /// Peers that never sent a provable lie, and were thrown out.
    pub honest_banned: u64,
    /// Peers that sent as many bad replies as convict, and were not out when the sync was over.
    pub liars_left: u64,
    /// The most bad replies of one peer before it was out.
    pub max_bad_replies_before_ban: usize,
    /// Peers that sent at least one provable lie, all runs together.
    pub liars: u64,
    /// Those of them that were thrown out. The others did not come to a third bad reply.
    pub liars_out: u64,
    /// The seeds of the runs in which an invariant broke.
    pub failed_seeds: Vec<u64>,
    /// The median of the times until the node was synced. Unit: seconds of virtual time.
    pub median_sync_seconds: f64,
    /// The longest of them.
    pub max_sync_seconds: f64,
    /// The seed of that one.
    pub slowest_seed: u64,
    /// How long it all took. Unit: seconds.
    pub seconds: f64,
}

impl ByzantineReport {
    /// Whether all bounds were kept.
    pub fn is_kept(&self) -> bool {
        self.completed == self.seeds
            && self.honest_banned == 0
            && self.liars_left == 0
            && self.max_bad_replies_before_ban <= BAD_REPLIES_MAX
            && self.failed_seeds.is_empty()
    }
}

/// Runs all of them and reports; `done` is called after each run, in no particular order.
///
/// # Errors
/// [`ManyError`]. A broken bound is none: it is in the report.
pub fn run_byzantine(
    options: Options,
    done: impl Fn(&Outcome) + Sync,
) -> Result<ByzantineReport, ManyError> {
    let tally = Mutex::new(Tally::default());
    let took = run_many(Scenario::Byzantine, options, |facts, outcome| {
        done(outcome);
        tally.lock().unwrap_or_else(PoisonError::into_inner).add(facts, outcome);
    })?;
    let tally = tally.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(tally.report(took))
}

#[derive(Default)]
struct Tally {
    report: ByzantineReport,
    /// With the seed of each.
    syncs: Vec<(Duration, u64)>,
}

impl Tally {
    fn add(&mut self, facts: &Facts, outcome: &Outcome) {
        let report = &mut self.report;
        report.seeds += 1;
        let seed = outcome.plan.seed;
        if !outcome.broken.is_empty() {
            report.failed_seeds.push(seed);
        }
        for stamped in &outcome.events {
            if let Event::Synced { head } = stamped.event
                && head == facts.head
            {
                report.completed += 1;
                self.syncs.push((stamped.at, seed));
            }
        }
        let innocent = thrown_out_without_a_lie(facts, &outcome.events);
        let innocent: BTreeSet<_> = innocent.into_iter().map(|(_, peer)| peer).collect();
        report.honest_banned += innocent.len() as u64;
        let out: BTreeSet<_> = dropped(&outcome.events).into_iter().collect();
        report.liars_out += out.difference(&innocent).count() as u64;
        let lied = outcome.events.iter().filter_map(|stamped| match stamped.event {
            Event::Delivered { peer, lie: true, .. } => Some(peer),
            _ => None,
        });
        report.liars += lied.collect::<BTreeSet<_>>().len() as u64;
        let liars = liars_seen(facts, &outcome.events);
        report.liars_left += liars.left as u64;
        report.max_bad_replies_before_ban =
            report.max_bad_replies_before_ban.max(liars.most_bad_replies);
    }

    fn report(mut self, took: Duration) -> ByzantineReport {
        self.syncs.sort_unstable();
        self.report.failed_seeds.sort_unstable();
        if let Some((median, _)) = self.syncs.get(self.syncs.len() / 2) {
            self.report.median_sync_seconds = median.as_secs_f64();
        }
        if let Some((longest, seed)) = self.syncs.last() {
            self.report.max_sync_seconds = longest.as_secs_f64();
            self.report.slowest_seed = *seed;
        }
        self.report.seconds = took.as_secs_f64();
        self.report
    }
}
