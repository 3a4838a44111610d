//! Rows of the table of recovery, each caused for real: the disk, the link, the peers, the parts
//! and the files of a real node are broken, and what it says and does is compared with what is
//! promised.
//!
//! Some rows need root (mounts) or `strace`; where that is missing they are left out, and said to
//! be.

mod disk;
mod lies;
mod memory;
mod parts;
mod peer;
mod stored;
mod watched;

use std::{collections::BTreeSet, time::Duration};

use alys_sync::resilience::{ErrorClass, RECOVERY_TABLE};
use serde::Serialize;
use tokio::time::Instant;

use crate::processes::{
    SceneError,
    scene::{NodeOptions, Scene},
};

/// Blocks of the chain. Source: a sync of some seconds, and a few MiB.
const BLOCKS: u64 = 2_000;

/// How long a node would take for the chain where something is to happen meanwhile; what is left
/// then is done by another, at full speed. Unit: time. Source: a request fails after eight seconds,
/// and machines stand still for some. Too low: the sync is over before. Too high: its first blocks
/// are waited for.
const SLOWLY: Duration = Duration::from_secs(30);

/// One row: what was done to a node, and what it did.
#[derive(Debug, Clone, Serialize)]
pub struct RowReport {
    /// The class of the error.
    pub row: ErrorClass,
    /// How it was caused.
    pub caused_by: &'static str,
    /// What the node has to do about it.
    pub promised: &'static str,
    /// What the node said of it.
    pub told: String,
    /// Whether it said and did what is promised.
    pub kept: bool,
    /// What of it did not happen.
    pub broken: Vec<&'static str>,
    /// Whether the sync came to its end, with each block as the network has it.
    pub completed: bool,
    /// How long the row took. Unit: seconds.
    pub seconds: f64,
}

/// A row that was not caused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// The class of the error.
    pub row: ErrorClass,
    /// Why not.
    pub why: &'static str,
}

/// What came of all rows.
#[derive(Debug, Clone, Default, Serialize)]
pub struct TableReport {
    /// The rows that were caused.
    pub rows: Vec<RowReport>,
    /// The rows that were not, and what they need.
    pub left_out: Vec<LeftOut>,
    /// How long it all took. Unit: seconds.
    pub seconds: f64,
}

impl TableReport {
    /// Whether every row that was caused went as promised, and each class was caused or said to be
    /// left out.
    pub fn is_kept(&self) -> bool {
        let caused = self.rows.iter().map(|row| row.row);
        let known: BTreeSet<_> = caused.chain(self.left_out.iter().map(|out| out.row)).collect();
        !self.rows.is_empty()
            && self.rows.iter().all(|row| row.kept && row.completed)
            && RECOVERY_TABLE.iter().all(|row| known.contains(&row.class))
    }
}

/// What came of one row.
struct Outcome {
    told: String,
    broken: Vec<&'static str>,
    completed: bool,
}

impl Outcome {
    /// Of a node that `told` this, and kept those of its `promises` that come with `true`.
    fn new(
        told: impl ToString,
        completed: bool,
        promises: impl IntoIterator<Item = (&'static str, bool)>,
    ) -> Self {
        let broken = promises.into_iter().filter(|(_, kept)| !kept).map(|(promise, _)| promise);
        Self { told: told.to_string(), broken: broken.collect(), completed }
    }
}

/// Causes the rows of the classes in `only`, each that can be caused here; all, if it is empty.
/// `done` is called after each.
///
/// # Errors
/// [`SceneError`]. A broken promise is none: it is in the report.
pub async fn run_table(
    only: &[ErrorClass],
    done: impl Fn(&RowReport),
) -> Result<TableReport, SceneError> {
    let begun = Instant::now();
    let scene = Scene::set(BLOCKS).await?;
    let mut table = Table { only, done: &done, report: TableReport::default() };
    disk::rows(&mut table, &scene).await?;
    stored::rows(&mut table, &scene).await?;
    memory::rows(&mut table, &scene).await?;
    parts::rows(&mut table, &scene).await?;
    peer::rows(&mut table, &scene).await?;
    lies::rows(&mut table, &scene).await?;
    let seconds = begun.elapsed().as_secs_f64();
    Ok(TableReport { seconds, ..table.report })
}

/// The rows so far.
struct Table<'a> {
    only: &'a [ErrorClass],
    done: &'a dyn Fn(&RowReport),
    report: TableReport,
}

impl Table<'_> {
    /// Causes one row, if it is asked for.
    async fn row(
        &mut self,
        row: ErrorClass,
        caused_by: &'static str,
        promised: &'static str,
        outcome: impl Future<Output = Result<Outcome, SceneError>>,
    ) -> Result<(), SceneError> {
        if !self.only.is_empty() && !self.only.contains(&row) {
            self.leave_out(row, "it was not asked for");
            return Ok(());
        }
        let begun = Instant::now();
        let Outcome { told, broken, completed } = outcome.await?;
        let (kept, seconds) = (broken.is_empty(), begun.elapsed().as_secs_f64());
        let report = RowReport { row, caused_by, promised, told, kept, broken, completed, seconds };
        (self.done)(&report);
        self.report.rows.push(report);
        Ok(())
    }

    fn leave_out(&mut self, row: ErrorClass, why: &'static str) {
        let left_out = LeftOut { row, why };
        if !self.report.left_out.contains(&left_out) {
            self.report.left_out.push(left_out);
        }
    }
}

/// A node that would take [`SLOWLY`].
fn slow(scene: &Scene) -> NodeOptions {
    let bytes_per_second = Some(scene.bytes_per_second(SLOWLY));
    NodeOptions { bytes_per_second, ..NodeOptions::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(row: ErrorClass) -> RowReport {
        RowReport {
            row,
            caused_by: "",
            promised: "",
            told: String::new(),
            kept: true,
            broken: Vec::new(),
            completed: true,
            seconds: 0.0,
        }
    }

    #[test]
    fn run_is_only_kept_if_each_class_was_caused_or_said_to_be_left_out() {
        let mut report = TableReport::default();
        assert!(!report.is_kept(), "nothing was caused");
        report.rows = RECOVERY_TABLE.iter().map(|of| row(of.class)).collect();
        assert!(report.is_kept());
        let missing = report.rows.pop().unwrap().row;
        assert!(!report.is_kept(), "{missing} was forgotten");
        report.left_out.push(LeftOut { row: missing, why: "mounts need root" });
        assert!(report.is_kept());
        report.rows[0].kept = false;
        assert!(!report.is_kept(), "a promise was broken");
    }

    #[test]
    fn only_the_promises_that_were_not_kept_are_broken() {
        let outcome = Outcome::new("told", true, [("one", true), ("other", false)]);
        assert_eq!(outcome.broken, ["other"]);
    }
}
