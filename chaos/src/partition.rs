//! Many runs with a cut, and the report on them: how soon it was noticed, and who suffered for it.
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a report is about few events, and a new one concerns those that name it"
)]

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use serde::Serialize;

use crate::{
    invariants::Facts,
    many::{ManyError, Options, run_many},
    plan::{Course, Scenario},
    run::Outcome,
    trace::{Event, PeerIndex, Stamped},
};

/// By how much a score may be lower than before the cut. Unit: thousandths. Source: the product's
/// promise; scores drift a little by themselves.
const SCORE_SLACK: u16 = 5;

/// How soon a cut must be noticed while there is something to download. Unit: virtual time. Source:
/// the product's promise.
const NOTICED_WITHIN: Duration = Duration::from_secs(5);

/// The same for a node that has all there is. Unit: virtual time. Source: the product's promise:
/// two empty slots of 5 s, and a probe of 5 s.
const IDLE_NOTICED_WITHIN: Duration = Duration::from_secs(15);

/// What one run came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CutSeen {
    /// From the cut to the node's saying so. `None`: it did not.
    pub noticed: Option<Duration>,
    /// From the moment at which the way was back to the node's saying so. `None` where it did not,
    /// or had not noticed the cut.
    pub healed: Option<Duration>,
    /// How often the node said that its link is cut although it was not, and it had several peers.
    pub false_alarms: u64,
    /// How often it took that back and said it again while its link was cut.
    pub flaps: u64,
    /// Peers that it thinks less of than before.
    pub penalised: Vec<PeerIndex>,
    /// Peers that it keeps out.
    pub banned: Vec<PeerIndex>,
    /// From the moment at which the way was back to the next import.
    pub progress: Option<Duration>,
}

/// What the trace of a run tells about its cut.
pub fn cut_seen(facts: &Facts, events: &[Stamped]) -> CutSeen {
    let (mut seen, mut cut_at, mut back_at) = (CutSeen::default(), None, None);
    let (mut whole, mut told) = (false, 0);
    let mut before = BTreeMap::new();
    for Stamped { at, event } in events {
        let since = |then: Option<Duration>| then.map(|then| at.saturating_sub(then));
        match event {
            Event::Cut { peers } => {
                cut_at = Some(*at);
                whole = *peers == facts.roles.len();
            }
            Event::LinkBack => back_at = Some(*at),
            Event::Partition { told: true } if whole && back_at.is_none() => {
                seen.flaps += u64::from(told > 0);
                told += 1;
                seen.noticed = seen.noticed.or(since(cut_at));
            }
            // The silence of the only peer is the link's by definition: nobody else can tell.
            Event::Partition { told: true } => {
                seen.false_alarms += u64::from(facts.roles.len() > 1);
            }
            Event::Partition { told: false } if seen.noticed.is_some() => {
                seen.healed = seen.healed.or(since(back_at));
            }
            Event::Judged { peer, score, .. } if back_at.is_none() => {
                before.insert(*peer, *score);
            }
            Event::Judged { peer, score, banned } => {
                let before = before.get(peer).copied().unwrap_or_default();
                if score.saturating_add(SCORE_SLACK) < before {
                    seen.penalised.push(*peer);
                }
                if *banned {
                    seen.banned.push(*peer);
                }
            }
            Event::Appended { .. } => seen.progress = seen.progress.or(since(back_at)),
            _ => {}
        }
    }
    seen
}

/// What came of all runs.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct PartitionReport {
    /// How many took place.
    pub seeds: u64,
    /// How many of them synced the whole chain.
    pub completed: u64,
    /// Runs in which the way to all peers was cut.
    pub cuts: u64,
    /// Those of them in which the node never said so.
    pub unnoticed: u64,
    /// The longest time until it said so, where there was something to download. Unit: seconds of
    /// virtual time, as all times here.
    pub noticed_seconds_max: f64,
    /// The same where the node had all there was.
    pub idle_noticed_seconds_max: f64,
    /// The longest time until it said that its link works again.
    pub healed_seconds_max: f64,
    /// How often a node said that its link is cut although it was not, or for half of its peers
    /// only.
    pub false_alarms: u64,
    /// How often a node took it back and said it again during one cut.
    pub flaps: u64,
    /// Peers that a node thought less of, or kept out, 5 s after a cut from all of them.
    pub penalised: u64,
    /// Peers kept out after any cut.
    pub banned: u64,
    /// The longest time from the end of a cut from all peers to the next import.
    pub progress_seconds_max: f64,
    /// The median of those times.
    pub progress_seconds_median: f64,
    /// The seeds of the runs in which an invariant or a bound broke.
    pub failed_seeds: Vec<u64>,
    /// How long it all took. Unit: seconds.
    pub seconds: f64,
}

impl PartitionReport {
    /// Whether all bounds were kept.
    pub fn is_kept(&self) -> bool {
        self.completed == self.seeds && self.failed_seeds.is_empty()
    }
}

/// Runs all of them and reports; `done` is called after each run, in no particular order, with the
/// bounds that it broke, for people.
///
/// # Errors
/// [`ManyError`]. A broken bound is none: it is in the report.
pub fn run_partition(
    options: Options,
    done: impl Fn(&Outcome, &[String]) + Sync,
) -> Result<PartitionReport, ManyError> {
    let tally = Mutex::new(Tally::default());
    let took = run_many(Scenario::Partition, options, |facts, outcome| {
        let seen = cut_seen(facts, &outcome.events);
        let broken = broken_bounds(outcome, &seen);
        done(outcome, &broken);
        tally.lock().unwrap_or_else(PoisonError::into_inner).add(facts, outcome, (&seen, &broken));
    })?;
    let tally = tally.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(tally.report(took))
}

/// Whether the cut of a run was one from all peers, and whether the node was idle then.
fn kind(outcome: &Outcome) -> (bool, bool) {
    match outcome.plan.course {
        Course::Cut(cut) => (cut.peers == outcome.plan.peers.len(), cut.is_idle()),
        Course::Healing { .. } | Course::Unhealed => (false, false),
    }
}

fn broken_bounds(outcome: &Outcome, seen: &CutSeen) -> Vec<String> {
    let (whole, idle) = kind(outcome);
    let within = if idle { IDLE_NOTICED_WITHIN } else { NOTICED_WITHIN };
    let mut broken = Vec::new();
    let mut demand = |kept: bool, what: String| {
        if !kept {
            broken.push(what);
        }
    };
    if whole {
        let soon = seen.noticed.is_some_and(|noticed| noticed <= within);
        demand(soon, format!("noticed after {:?}, not within {within:?}", seen.noticed));
        demand(seen.healed.is_some(), "the way is back and the node never says so".to_owned());
        demand(seen.penalised.is_empty(), format!("worse off: {:?}", seen.penalised));
    }
    demand(seen.banned.is_empty(), format!("kept out: {:?}", seen.banned));
    demand(seen.false_alarms == 0, format!("{} false alarms", seen.false_alarms));
    demand(seen.flaps == 0, format!("taken back {} times while cut", seen.flaps));
    broken
}

#[derive(Default)]
struct Tally {
    report: PartitionReport,
    progress: Vec<Duration>,
}

impl Tally {
    fn add(&mut self, facts: &Facts, outcome: &Outcome, (seen, broken): (&CutSeen, &[String])) {
        let report = &mut self.report;
        let (whole, idle) = kind(outcome);
        report.seeds += 1;
        report.completed +=
            u64::from(outcome.events.iter().any(
                |stamped| matches!(stamped.event, Event::Synced { head } if head == facts.head),
            ));
        if !outcome.broken.is_empty() || !broken.is_empty() {
            report.failed_seeds.push(outcome.plan.seed);
        }
        report.false_alarms += seen.false_alarms;
        report.flaps += seen.flaps;
        report.banned += seen.banned.len() as u64;
        if !whole {
            return;
        }
        report.cuts += 1;
        report.unnoticed += u64::from(seen.noticed.is_none());
        let noticed = seen.noticed.unwrap_or_default().as_secs_f64();
        let longest = if idle {
            &mut report.idle_noticed_seconds_max
        } else {
            &mut report.noticed_seconds_max
        };
        *longest = longest.max(noticed);
        let healed = seen.healed.unwrap_or_default().as_secs_f64();
        report.healed_seconds_max = report.healed_seconds_max.max(healed);
        let banned_only = seen.banned.iter().filter(|peer| !seen.penalised.contains(peer)).count();
        report.penalised += (seen.penalised.len() + banned_only) as u64;
        self.progress.extend(seen.progress);
    }

    fn report(mut self, took: Duration) -> PartitionReport {
        self.progress.sort_unstable();
        self.report.failed_seeds.sort_unstable();
        let seconds = |time: Option<&Duration>| time.map_or(0.0, Duration::as_secs_f64);
        self.report.progress_seconds_max = seconds(self.progress.last());
        self.report.progress_seconds_median = seconds(self.progress.get(self.progress.len() / 2));
        self.report.seconds = took.as_secs_f64();
        self.report
    }
}

#[cfg(test)]
mod tests;
