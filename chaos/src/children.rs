//! Many runs in which children are struck down, and the report on them.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use alys_sync::tree::Child;
use serde::Serialize;

use crate::{
    invariants::{
        Facts, Fall, dropped, falls, imported_twice, left_alone, thrown_out_without_a_lie,
    },
    many::{ManyError, Options, run_many},
    plan::{Scenario, Way},
    run::{AT_WORK_SEGMENTS, Outcome},
    trace::Event,
};

/// The share of the victims' blows that has to meet a node at work. Unit: hundredths. Source: 99.6
/// in 16,000 blows; the others come when a sync has ended before the last of its blows. Too low:
/// blows that hit idle nodes show nothing, and nobody notices. Too high: a few early syncs fail a
/// short measurement.
const AT_WORK_PERCENT_MIN: u64 = 95;

/// What came of the blows that one child got in one way, or in all of them.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct BlowFigures {
    /// How often it was struck.
    pub struck: u64,
    /// How often while at least four segments were in flight.
    pub at_work: u64,
    /// How often it was followed by an incarnation with a higher number.
    pub incarnation_risen: u64,
    /// Runs that it was struck in.
    pub runs: u64,
    /// Those of them that synced the whole chain.
    pub completed: u64,
    /// The median of the times until it was back; for one that hung, from when that was noticed.
    /// Unit: milliseconds of virtual time, as all that follow.
    pub median_back_ms: f64,
    /// The time that one in a hundred took longer for.
    pub p99_back_ms: f64,
    /// The longest of them.
    pub max_back_ms: f64,
    /// The longest time for which it hung unnoticed.
    pub max_unnoticed_ms: f64,
    /// The longest time for which nobody worked on the range at the front, if it was in flight.
    pub max_left_alone_ms: f64,
    /// Blocks imported more than once.
    pub imported_twice: u64,
    /// Tasks, open replies and bytes of permits that were left after the end.
    pub leaked: u64,
}

/// What came of striking one child.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ChildRow {
    /// Who.
    pub child: &'static str,
    /// All ways together.
    #[serde(flatten)]
    pub all: BlowFigures,
    /// Each way.
    pub ways: BTreeMap<Way, BlowFigures>,
}

/// What came of all runs.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ChildrenReport {
    /// A row for each child: those runs in which it was the victim, and the blows that it got
    /// there.
    pub children: Vec<ChildRow>,
    /// How many runs took place.
    pub runs: u64,
    /// How many of them synced the whole chain.
    pub completed: u64,
    /// The seeds of those in which an invariant broke.
    pub failed_seeds: Vec<u64>,
    /// All blows, those beside the victims' included.
    pub blows: u64,
    /// Children that came back.
    pub restarts: u64,
    /// Blocks imported more than once.
    pub imported_twice: u64,
    /// Tasks, open replies and bytes of permits that were left after the end.
    pub leaked: u64,
    /// Peers thrown out that never sent a provable lie.
    pub honest_banned: u64,
    /// Liars thrown out.
    pub liars_out: u64,
    /// The longest sync. Unit: seconds of virtual time.
    pub max_sync_seconds: f64,
    /// How long it all took. Unit: seconds.
    pub seconds: f64,
}

impl ChildrenReport {
    /// Whether every child came back every time, and every sync to its end, and the blows hit nodes
    /// at work.
    pub fn is_kept(&self) -> bool {
        let (at_work, struck) = self.children.iter().fold((0, 0), |(at_work, struck), row| {
            (at_work + row.all.at_work, struck + row.all.struck)
        });
        self.failed_seeds.is_empty()
            && self.completed == self.runs
            && self.restarts == self.blows
            && at_work * 100 >= struck * AT_WORK_PERCENT_MIN
    }
}

/// Runs each child as the victim `options.runs` times, and reports; `done` is called after each
/// run, in no particular order.
///
/// # Errors
/// [`ManyError`]. A broken invariant is none: it is in the report.
pub fn run_all(
    options: Options,
    done: impl Fn(&Outcome) + Sync,
) -> Result<ChildrenReport, ManyError> {
    let runs = options.runs.saturating_mul(Child::ALL.len() as u64);
    let tally = Mutex::new(Tally::default());
    let took = run_many(Scenario::Children, Options { runs, ..options }, |facts, outcome| {
        done(outcome);
        tally.lock().unwrap_or_else(PoisonError::into_inner).add(facts, outcome);
    })?;
    let tally = tally.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(tally.report(took))
}

#[derive(Default)]
struct Tally {
    report: ChildrenReport,
    rows: BTreeMap<Child, Row>,
    longest_sync: Duration,
}

#[derive(Default)]
struct Row {
    all: Cell,
    ways: BTreeMap<Way, Cell>,
}

/// The blows of one place in the table.
#[derive(Default)]
struct Cell {
    figures: BlowFigures,
    aways: Vec<Duration>,
    unnoticed: Duration,
    left_alone: Duration,
}

/// What is true of a run as a whole.
#[derive(Clone, Copy)]
struct Whole {
    completed: bool,
    imported_twice: u64,
    leaked: u64,
}

impl Tally {
    fn add(&mut self, facts: &Facts, outcome: &Outcome) {
        let events = &outcome.events;
        let mut whole =
            Whole { completed: false, imported_twice: imported_twice(events), leaked: 0 };
        for stamped in events {
            if let Event::Synced { head } = stamped.event {
                whole.completed = head == facts.head;
                self.longest_sync = self.longest_sync.max(stamped.at);
            }
            if let Event::Ended { budget, tasks, replies } = stamped.event {
                whole.leaked = budget.used + (tasks + replies) as u64;
            }
        }
        let falls = falls(events);
        let report = &mut self.report;
        report.runs += 1;
        report.completed += u64::from(whole.completed);
        report.imported_twice += whole.imported_twice;
        report.leaked += whole.leaked;
        report.blows += falls.len() as u64;
        report.restarts += falls.iter().filter(|fall| fall.back_at.is_some()).count() as u64;
        report.honest_banned += thrown_out_without_a_lie(facts, events).len() as u64;
        let dropped = dropped(events).into_iter();
        report.liars_out += dropped.filter(|peer| facts.is_liar(*peer)).count() as u64;
        if !outcome.broken.is_empty() {
            report.failed_seeds.push(outcome.plan.seed);
        }
        let Some(victim) = outcome.plan.victim else { return };
        let row = self.rows.entry(victim).or_default();
        row.all.ran(whole);
        for fall in falls.iter().filter(|fall| fall.child == victim) {
            let left_alone = left_alone(facts, fall, events);
            row.all.fell(fall, left_alone);
            let way = row.ways.entry(fall.way).or_default();
            way.ran(whole);
            way.fell(fall, left_alone);
        }
    }

    fn report(mut self, took: Duration) -> ChildrenReport {
        self.report.failed_seeds.sort_unstable();
        self.report.max_sync_seconds = self.longest_sync.as_secs_f64();
        self.report.seconds = took.as_secs_f64();
        let row = |(child, row): (Child, Row)| ChildRow {
            child: child.id(),
            all: row.all.figures(),
            ways: row.ways.into_iter().map(|(way, cell)| (way, cell.figures())).collect(),
        };
        self.report.children = self.rows.into_iter().map(row).collect();
        self.report
    }
}

impl Cell {
    fn ran(&mut self, whole: Whole) {
        self.figures.runs += 1;
        self.figures.completed += u64::from(whole.completed);
        self.figures.imported_twice += whole.imported_twice;
        self.figures.leaked += whole.leaked;
    }

    fn fell(&mut self, fall: &Fall, left_alone: Duration) {
        self.figures.struck += 1;
        self.figures.at_work += u64::from(fall.segments >= AT_WORK_SEGMENTS);
        self.figures.incarnation_risen += u64::from(fall.back_at.is_some());
        self.aways.extend(fall.away());
        self.unnoticed = self.unnoticed.max(fall.unnoticed());
        self.left_alone = self.left_alone.max(left_alone);
    }

    fn figures(mut self) -> BlowFigures {
        let millis = |time: Duration| time.as_secs_f64() * 1e3;
        self.aways.sort();
        let at = |hundredths: usize| {
            let last = self.aways.len().saturating_sub(1);
            let index = (self.aways.len() * hundredths / 100).min(last);
            self.aways.get(index).map_or(0.0, |time| millis(*time))
        };
        let (median_back_ms, p99_back_ms, max_back_ms) = (at(50), at(99), at(100));
        BlowFigures {
            median_back_ms,
            p99_back_ms,
            max_back_ms,
            max_unnoticed_ms: millis(self.unnoticed),
            max_left_alone_ms: millis(self.left_alone),
            ..self.figures
        }
    }
}
