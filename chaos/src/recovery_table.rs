//! Rows of the table of recovery, each caused for real: the disk, the link and the files of a real
//! node are broken, and what it says and does is compared with what is promised.
//!
//! Some rows need root (mounts) or `strace`; where that is missing they are left out, and said to
//! be.

mod disk;
mod peer;

use std::{io, time::Duration};

use serde::Serialize;
use tokio::time::{Instant, timeout};

use self::disk::SmallDisk;
use crate::processes::{SceneError, process::Process, scene::Scene, sync_node::Said};

/// Blocks of the chain. Source: a sync of some seconds, and a few MiB.
const BLOCKS: u64 = 4_000;

/// How long a node may take to say what is promised. Unit: time. Too low: a busy machine looks like
/// a broken promise. Too high: one that never says it is waited for.
const SAYS_WITHIN: Duration = Duration::from_secs(60);

/// One row: what was done to a node, and what it did.
#[derive(Debug, Clone, Serialize)]
pub struct RowReport {
    /// The class of the error.
    pub row: &'static str,
    /// How it was caused.
    pub caused_by: &'static str,
    /// What the node has to do about it.
    pub promised: &'static str,
    /// What the node said of it.
    pub told: String,
    /// Whether it said and did what is promised.
    pub kept: bool,
    /// Whether the sync came to its end, with each block as the network has it.
    pub completed: bool,
    /// How long the row took. Unit: seconds.
    pub seconds: f64,
}

/// What came of all rows.
#[derive(Debug, Clone, Serialize)]
pub struct TableReport {
    /// The rows that were caused.
    pub rows: Vec<RowReport>,
    /// The rows that were not, and what they need.
    pub left_out: Vec<&'static str>,
    /// How long it all took. Unit: seconds.
    pub seconds: f64,
}

impl TableReport {
    /// Whether every row that was caused went as promised.
    pub fn is_kept(&self) -> bool {
        !self.rows.is_empty() && self.rows.iter().all(|row| row.kept && row.completed)
    }
}

/// What a row promises, and what came of it.
struct Outcome {
    told: String,
    kept: bool,
    completed: bool,
}

/// Causes each row that can be caused here. `done` is called after each.
///
/// # Errors
/// [`SceneError`]. A broken promise is none: it is in the report.
pub async fn run_table(done: impl Fn(&RowReport)) -> Result<TableReport, SceneError> {
    let begun = Instant::now();
    let scene = Scene::set(BLOCKS).await?;
    let (mut rows, mut left_out) = (Vec::new(), Vec::new());
    let mut add = |row: RowReport| {
        done(&row);
        rows.push(row);
    };
    match SmallDisk::mount(&scene.path("small")) {
        Ok(disk) => {
            add(row("capacity", "a disk with less left than its reserve", disk::HOLDS, {
                disk::short_of_room(&scene, &disk).await
            })?);
            add(row("storage_failure", "a disk that is full", disk::ENDS, {
                disk::full(&scene, &disk).await
            })?);
            add(row("storage_failure", "a disk that is mounted read-only", disk::REFUSES, {
                disk::read_only(&scene, &disk).await
            })?);
        }
        Err(_) => left_out.push("capacity, storage_failure: mounts need root"),
    }
    if crate::kill9::can_trace() {
        add(row("storage_failure", "an I/O error of fdatasync", disk::ENDS, {
            disk::io_error(&scene).await
        })?);
    } else {
        left_out.push("storage_failure by an I/O error: needs strace");
    }
    add(row("partition", "the only peer stopped for 12 s", peer::WAITS, {
        peer::stopped_for_a_while(&scene).await
    })?);
    Ok(TableReport { rows, left_out, seconds: begun.elapsed().as_secs_f64() })
}

fn row(
    row: &'static str,
    caused_by: &'static str,
    promised: &'static str,
    outcome: Result<(Outcome, Duration), SceneError>,
) -> Result<RowReport, SceneError> {
    let (Outcome { told, kept, completed }, took) = outcome?;
    Ok(RowReport { row, caused_by, promised, told, kept, completed, seconds: took.as_secs_f64() })
}

/// What `node` says next that is `wanted`; `None` if it ends, or says nothing of the kind in time.
async fn said(
    node: &mut Process,
    wanted: impl Fn(&Said) -> bool,
) -> Result<Option<Said>, SceneError> {
    let hearing = async {
        while let Some(said) = node.hear_until_end::<Said>().await? {
            if wanted(&said) {
                return Ok(Some(said));
            }
        }
        Ok(None)
    };
    timeout(SAYS_WITHIN, hearing).await.unwrap_or(Ok(None))
}

fn is_synced(said: &Said) -> bool {
    matches!(said, Said::Synced { .. })
}

/// What a program of the system did not do.
fn failed(program: &'static str, told: impl ToString) -> SceneError {
    SceneError::Program { program, told: told.to_string() }
}

fn not_run(program: &'static str) -> impl FnOnce(io::Error) -> SceneError {
    move |error| failed(program, error)
}
