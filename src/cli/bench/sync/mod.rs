//! `bench sync`: whole syncs over real sockets, against the old algorithm and over shaped links.
//!
//! The node that is measured and those that serve are processes of their own, so that CPU time and
//! memory are each one's own; links are relays in this process. All of them share the cores of the
//! machine.

mod chains;
mod faulty_server;
mod faulty_servers;
mod links;
mod memory;
mod metered_chain;
mod node_child;
mod node_run;
mod old_execution;
mod old_import;
mod old_store;
mod old_sync;
mod pacer;
mod report;
mod shaped_link;
mod sizes;
mod speed;
mod usage;

use std::path::Path;

use alys_sync::consensus::generate::Transactions;
use clap::{Args, ValueEnum};

use self::{
    chains::BenchChain,
    report::Report,
    sizes::{LARGE_BLOCK_BYTES, LARGE_BLOCKS, SMALL_BLOCKS, Sizes},
};
use super::{Answer, Context, Ending};
use crate::cli::demo::WorkDir;

pub(super) use faulty_server::{FaultyServerArgs, sync_server};
pub(super) use node_child::{NodeChildArgs, sync_node};

const EXAMPLES: &str = "\
Examples:
  alys-sync bench sync
  alys-sync bench sync --json
  alys-sync bench sync --only links,hanging    measure parts of it
  alys-sync bench sync --quick                 the same with small chains, for a first look";

/// Measure whole syncs: against the old algorithm, over shaped links, with peers that hang or serve
/// one block a request, and how much memory they take
///
/// Everything is real: processes of their own, TCP on loopback, all checks, a data directory. Links
/// are made in user space, with a delay and a rate. Times are from before the node dials to its
/// last import, and so include connecting, checking peers and finding the height. The old algorithm
/// is what today's node does: one peer, 1,024 blocks a request, each verified three times, one
/// after the other; where its speed is not near that of the real node, the answer says so. Figures
/// of a busy machine mean little. Takes some eight minutes and 4 GB of temporary files. Ends with 0
/// if everything was measured, however fast it was.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SyncArgs {
    /// The parts to measure; all of them where none is named
    #[arg(long, value_name = "PART,PART", value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// Small chains: the same parts in less than a minute, with figures that mean little
    #[arg(long)]
    quick: bool,
    /// How often the old algorithm and ours sync in turn
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=ROUNDS_MAX))]
    rounds: Option<u32>,
    /// Blocks of the chain that the old algorithm and ours sync
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=BLOCKS_MAX))]
    blocks: Option<u64>,
    /// Blocks of the chain that is synced over links, of 64 kB each
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=BLOCKS_MAX))]
    link_blocks: Option<u64>,
    /// Blocks of the chain that is served one block a request
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=BLOCKS_MAX))]
    one_block_blocks: Option<u64>,
    /// Size of the chain that a slow store imports
    #[arg(
        long, value_name = "BYTES",
        value_parser = clap::value_parser!(u64).range(1..=MEMORY_BYTES_MAX)
    )]
    memory_bytes_chain: Option<u64>,
}

/// The most rounds. Unit: rounds. Source: hours of measuring. Higher: mistyped.
const ROUNDS_MAX: i64 = 100;

/// The longest chain. Unit: blocks. Source: large ones take 120 GB on the disk. Higher: mistyped.
const BLOCKS_MAX: u64 = 1_000_000;

/// The largest chain. Unit: bytes. Source: as for the longest.
const MEMORY_BYTES_MAX: u64 = 100_000_000_000;

/// What can be measured by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// The old algorithm
    Old,
    /// Ours with one peer and with eight, over the old algorithm
    Peers,
    /// How much of eight links is used, and how much comes twice
    Links,
    /// What it costs when a peer hangs
    Hanging,
    /// Servers that send one block a request
    OneBlock,
    /// Peak memory while the store is slow
    Memory,
}

impl SyncArgs {
    fn wants(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }

    fn sizes(&self) -> Sizes {
        let preset = if self.quick { Sizes::QUICK } else { Sizes::FULL };
        Sizes {
            blocks: self.blocks.unwrap_or(preset.blocks),
            rounds: self.rounds.unwrap_or(preset.rounds),
            link_blocks: self.link_blocks.unwrap_or(preset.link_blocks),
            one_block_blocks: self.one_block_blocks.unwrap_or(preset.one_block_blocks),
            memory_bytes_chain: self.memory_bytes_chain.unwrap_or(preset.memory_bytes_chain),
        }
    }
}

pub(super) async fn sync(args: SyncArgs, context: Context) -> Result<Answer, Ending> {
    let scratch = WorkDir::open(None)?;
    let bench = Bench { sizes: args.sizes(), dir: scratch.path(), context: &context };
    let mut report = Report {
        quick: args.quick,
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        sizes: bench.sizes,
        speeds: None,
        links: None,
        hanging: None,
        one_block: None,
        memory: None,
    };
    bench.measure(&args, &mut report).await?;
    Ok(Answer::new(report.to_string(), report.json()))
}

/// A measurement under way.
struct Bench<'a> {
    sizes: Sizes,
    dir: &'a Path,
    context: &'a Context,
}

impl Bench<'_> {
    /// Measures the parts that are wanted, one after the other.
    async fn measure(&self, args: &SyncArgs, report: &mut Report) -> Result<(), Ending> {
        let (sizes, dir, context) = (self.sizes, self.dir, self.context);
        if args.wants(Part::Old) || args.wants(Part::Peers) {
            let chain = self.chain("small", sizes.blocks, SMALL_BLOCKS).await?;
            let ours = args.wants(Part::Peers);
            report.speeds = Some(speed::measure(&chain, sizes.rounds, ours, dir, context).await?);
        }
        if args.wants(Part::Links) || args.wants(Part::Hanging) {
            let chain = self.chain("large", sizes.link_blocks, LARGE_BLOCKS).await?;
            if args.wants(Part::Links) {
                report.links = Some(links::measure(&chain, dir, context).await?);
            }
            if args.wants(Part::Hanging) {
                report.hanging = Some(links::measure_hanging(&chain, dir, context).await?);
            }
        }
        if args.wants(Part::OneBlock) {
            let chain = self.chain("long", sizes.one_block_blocks, SMALL_BLOCKS).await?;
            report.one_block = Some(faulty_servers::measure_one_block(&chain, dir, context).await?);
        }
        if args.wants(Part::Memory) {
            let blocks = sizes.memory_bytes_chain.div_ceil(LARGE_BLOCK_BYTES);
            let chain = self.chain("memory", blocks, LARGE_BLOCKS).await?;
            report.memory = Some(memory::measure(&chain, dir, context).await?);
        }
        Ok(())
    }

    async fn chain(
        &self,
        name: &'static str,
        blocks: u64,
        transactions: Transactions,
    ) -> Result<BenchChain, Ending> {
        BenchChain::generate(self.dir, name, blocks, transactions, self.context).await
    }
}
