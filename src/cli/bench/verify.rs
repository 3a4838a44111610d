//! `bench verify`: what verification costs, as ratios within one run.

use clap::Args;

use super::{
    pool,
    report::Report,
    rounds::Rounds,
    scan::{self, Scanned},
    signatures,
};
use crate::cli::{
    Answer, Context, Ending, blocking,
    demo::{self, DemoArgs},
    progress::Progress,
    run::workers,
};

const EXAMPLES: &str = "\
Examples:
  alys-sync bench verify
  alys-sync bench verify --json
  alys-sync bench verify --workers 1,2,4,8     how verification scales with cores
  alys-sync bench verify --rounds 1 --blocks 500";

/// Measure what verification costs: signatures one by one, in blst's batch and grouped; wrong ones
/// among them; reading a block; the whole pool; its share of a sync
///
/// Ratios are taken within each round, where everything runs in turn, and the median over all
/// rounds is told. Everything but the pool is CPU time, so it holds on a busy machine too. The pool
/// is wall time: its figures mean little where the cores used are fewer than the workers. The last
/// part is a demo: a fresh node that syncs a generated chain from three processes. Ends with 0
/// however fast it was.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct VerifyArgs {
    /// Numbers of worker threads to measure the pool with, beside one
    #[arg(
        long, value_name = "N,N", value_delimiter = ',', default_values_t = [1, 2],
        value_parser = some_workers
    )]
    workers: Vec<usize>,
    /// How often everything is measured
    #[arg(
        long, value_name = "N", default_value_t = 7,
        value_parser = clap::value_parser!(u32).range(1..=ROUNDS_MAX)
    )]
    rounds: u32,
    /// How many blocks the pool verifies in a round, and the demo syncs
    #[arg(
        long, value_name = "N", default_value_t = 5_000,
        value_parser = clap::value_parser!(u64).range(128..=BLOCKS_MAX)
    )]
    blocks: u64,
}

/// The most rounds. Unit: rounds. Source: some minutes of measuring. Higher: mistyped.
const ROUNDS_MAX: i64 = 100;

/// The longest chain. Unit: blocks. Source: the pool's blocks are held in memory, about 5 kB each.
/// Higher: a mistyped number exhausts it.
const BLOCKS_MAX: u64 = 200_000;

/// Reads a number of threads that is not left to the machine.
fn some_workers(text: &str) -> Result<usize, String> {
    match workers(text)? {
        0 => Err("say how many: at least 1".to_owned()),
        count => Ok(count),
    }
}

pub(super) async fn verify(args: VerifyArgs, context: Context) -> Result<Answer, Ending> {
    let VerifyArgs { workers, rounds: count, blocks } = args;
    let (rows, wrong, Scanned { rows: scan, over_verify }) = {
        let Context { stop, bars } = context.clone();
        blocking(move || {
            let mut shown = Progress::bar_or_lines(&bars);
            let mut rounds = Rounds { count, stop: &stop, shown: &mut shown };
            let rows = signatures::measure(&mut rounds)?;
            let wrong = signatures::measure_wrong(&mut rounds)?;
            Ok((rows, wrong, scan::measure(&mut rounds)?))
        })
        .await?
    };
    let pool = pool::measure(&workers, blocks, count, &context).await?;
    let demo = demo::perform(&DemoArgs::generated(blocks), &context).await?.summary;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let report =
        Report { cores, rounds: count, signatures: rows, wrong, scan, over_verify, pool, demo };
    Ok(Answer::new(report.to_string(), report.json()))
}
