//! The whole pool: blocks a second with one worker and with more.

use std::time::Instant;

use alys_sync::validation::process_cpu;
use serde::Serialize;

use super::{
    pool_load::{ChainLoad, LoadedPool},
    rounds::Samples,
};
use crate::cli::{Context, Ending, blocking, progress::Progress};

/// What one number of workers achieves.
#[derive(Debug, Clone, Serialize)]
pub(super) struct PoolRow {
    pub(super) workers: usize,
    /// Median over all rounds.
    pub(super) blocks_per_second: f64,
    /// Blocks a second over those of one worker, within rounds.
    pub(super) over_one: f64,
    /// CPU time of one block, all threads together. Unit: seconds. `None` where it is not known.
    pub(super) cpu_seconds: Option<f64>,
    /// CPU time over time: how many cores were at work. Fewer than workers says that they waited,
    /// or that others had the cores.
    pub(super) cores_used: Option<f64>,
}

/// A pool with what was measured of it.
struct Measured {
    workers: usize,
    pool: LoadedPool,
    wall: Samples,
    /// `None` where it is not known.
    cpu: Option<Samples>,
}

/// Measures a pool of one worker and one of each of `workers`, over `blocks` blocks a round.
pub(super) async fn measure(
    workers: &[usize],
    blocks: u64,
    rounds: u32,
    context: &Context,
) -> Result<Vec<PoolRow>, Ending> {
    let load = blocking(move || ChainLoad::generate(blocks).map_err(Ending::failed)).await?;
    let mut pools = Vec::new();
    for workers in std::iter::once(1).chain(workers.iter().copied().filter(|count| *count != 1)) {
        let pool = LoadedPool::start(&load, workers).await.map_err(Ending::failed)?;
        let (wall, cpu) = (Samples::default(), Some(Samples::default()));
        pools.push(Measured { workers, pool, wall, cpu });
    }
    let outcome = measure_all(&mut pools, &load, rounds, context).await;
    let one = pools.first().map(|pool| pool.wall.clone()).unwrap_or_default();
    let mut rows = Vec::new();
    for Measured { workers, pool, wall, cpu } in pools {
        pool.stop().await;
        let a_block = 1.0 / load.blocks() as f64;
        rows.push(PoolRow {
            workers,
            blocks_per_second: wall.times(a_block).median().recip(),
            over_one: one.over(&wall),
            cores_used: cpu.as_ref().map(|cpu| cpu.over(&wall)),
            cpu_seconds: cpu.map(|cpu| cpu.times(a_block).median()),
        });
    }
    outcome.map(|()| rows)
}

async fn measure_all(
    pools: &mut [Measured],
    load: &ChainLoad,
    rounds: u32,
    context: &Context,
) -> Result<(), Ending> {
    let mut shown = Progress::bar_or_lines(&context.bars);
    // The first round counts for nothing: threads start, keys are summed.
    for round in 0..=rounds {
        shown.work("the whole pool", round.into(), rounds.into());
        for Measured { pool, wall, cpu, .. } in &mut *pools {
            context.stop.check()?;
            let (began, cpu_before) = (Instant::now(), process_cpu());
            pool.verify(load).await.map_err(Ending::failed)?;
            let (took, cpu_after) = (began.elapsed(), process_cpu());
            if round == 0 {
                continue;
            }
            wall.push(took);
            match (&mut *cpu, cpu_before.zip(cpu_after)) {
                (Some(cpu), Some((before, after))) => cpu.push(after.saturating_sub(before)),
                (unknown, _) => *unknown = None,
            }
        }
    }
    Ok(())
}
