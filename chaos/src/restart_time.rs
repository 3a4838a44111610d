//! How long a killed child of a real node is away, by the clock.
//!
//! Everything is real: processes, sockets on loopback, the disk. A node syncs, and each child of
//! its tree is killed once while blocks come in; what is measured is the time from the kill to the
//! report of the supervisor that the next one is up: its pause, what it reads from the disk, the
//! sockets it opens. How many runs simulated time allows, [`crate::children`] does; it cannot see
//! what a start costs.

use std::{fs, time::Duration};

use alys_sync::tree::Child;
use serde::Serialize;
use tokio::time::Instant;

use crate::processes::{
    SceneError,
    process::Process,
    said::{Blow, Order, Said},
    scene::{NodeOptions, Scene},
};

/// How long a sync would take; once all were killed, another node does the rest at full speed.
/// Unit: time. Source: each child is killed after an import of its own, of which there are some in
/// a second. Too low: it is over before all were killed, which ends the measurement with an error.
/// Too high: imports are waited for.
const SYNC_TAKES: Duration = Duration::from_secs(40);

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestartTimeOptions {
    /// Syncs, each with every child killed once; at least 1.
    pub runs: u64,
    /// Blocks of the chain.
    pub blocks: u64,
}

/// How long one child was away.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RestartTime {
    /// Its name.
    pub child: &'static str,
    /// How often it was killed, and was back.
    pub kills: usize,
    /// The median. Unit: milliseconds.
    pub median_ms: f64,
    /// The longest. Unit: milliseconds.
    pub max_ms: f64,
}

/// What came of all runs.
#[derive(Debug, Clone, Serialize)]
pub struct RestartTimeReport {
    /// Syncs.
    pub runs: u64,
    /// Those that completed with the whole chain on the disk.
    pub completed: u64,
    /// A row for each child.
    pub children: Vec<RestartTime>,
    /// Of all kills: 99 of 100 were away no longer than this. Unit: milliseconds.
    pub p99_ms: f64,
    /// How long it all took. Unit: seconds.
    pub seconds: f64,
}

impl RestartTimeReport {
    /// Whether everybody was back each time, and no sync lost anything.
    pub fn is_kept(&self) -> bool {
        let kills = usize::try_from(self.runs).unwrap_or(usize::MAX);
        self.completed == self.runs && self.children.iter().all(|child| child.kills == kills)
    }
}

/// Measures. `done` is called after each run.
///
/// # Errors
/// [`SceneError`]. A sync that does not complete is none: it is in the report.
pub async fn measure(
    options: RestartTimeOptions,
    done: impl Fn(u64),
) -> Result<RestartTimeReport, SceneError> {
    let begun = Instant::now();
    let scene = Scene::set(options.blocks).await?;
    let mut away: Vec<Vec<f64>> = vec![Vec::new(); Child::ALL.len()];
    let mut completed = 0;
    for run in 0..options.runs {
        completed += u64::from(sync(&scene, run, &mut away).await?);
        done(run);
    }
    let mut all: Vec<_> = away.concat();
    let row = |(child, times): (Child, &mut Vec<f64>)| RestartTime {
        child: child.id(),
        kills: times.len(),
        median_ms: at(times, 50),
        max_ms: at(times, 100),
    };
    Ok(RestartTimeReport {
        runs: options.runs,
        completed,
        children: Child::ALL.into_iter().zip(&mut away).map(row).collect(),
        p99_ms: at(&mut all, 99),
        seconds: begun.elapsed().as_secs_f64(),
    })
}

/// What so many percent of the values are not above; 0 of none.
fn at(values: &mut [f64], percent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    let nth = (values.len() * percent).div_ceil(100);
    values.get(nth.saturating_sub(1)).copied().unwrap_or_default()
}

/// One sync with every child killed once; whether the whole chain is on the disk in the end.
async fn sync(scene: &Scene, run: u64, away: &mut [Vec<f64>]) -> Result<bool, SceneError> {
    let store = scene.new_store("node")?;
    let bytes_per_second = Some(scene.bytes_per_second(SYNC_TAKES));
    let mut node =
        scene.start(&store, NodeOptions { bytes_per_second, ..NodeOptions::default() })?;
    for nth in 0..Child::ALL.len() {
        // Another order in each run: none is always struck right after the same other one.
        let child = (nth + usize::try_from(run).unwrap_or_default()) % Child::ALL.len();
        imported(&mut node).await?;
        let name = Child::ALL[child].id();
        node.order(&Order::Strike { child: name.to_owned(), blow: Blow::Kill }).await?;
        away[child].push(back(&mut node, name).await?);
    }
    node.stop().await?;
    let mut node = scene.start(&store, NodeOptions::default())?;
    while !matches!(hear(&mut node).await?, Said::Synced { .. }) {}
    node.stop().await?;
    let whole = scene.is_whole_chain(&store).await?;
    fs::remove_dir_all(&store)?;
    Ok(whole)
}

/// Waits for the next import: a node that is synced before has nobody at work to kill.
async fn imported(node: &mut Process) -> Result<(), SceneError> {
    loop {
        let said = hear(node).await?;
        if matches!(said, Said::Imported { .. }) {
            return Ok(());
        }
        if matches!(said, Said::Synced { .. }) {
            let said = Some("that it is synced before all were killed".to_owned());
            return Err(SceneError::Unexpected { said });
        }
    }
}

/// How long the child that is called `name` was away. Unit: milliseconds.
async fn back(node: &mut Process, name: &str) -> Result<f64, SceneError> {
    loop {
        if let Said::Back { child, away_ms } = hear(node).await?
            && child == name
        {
            return Ok(away_ms);
        }
    }
}

async fn hear(node: &mut Process) -> Result<Said, SceneError> {
    let said = node.hear().await?;
    if let Said::Ended { why } = said {
        return Err(SceneError::Unexpected { said: Some(why) });
    }
    Ok(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let mut values: Vec<_> = (1..=200).rev().map(f64::from).collect();
        assert_eq!(
            (at(&mut values, 50), at(&mut values, 99), at(&mut values, 100)),
            (100.0, 198.0, 200.0)
        );
        assert_eq!((at(&mut [7.0], 50), at(&mut [], 50)), (7.0, 0.0));
    }
}
