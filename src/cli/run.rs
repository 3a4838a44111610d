//! `run`: a full node.

use std::{net::SocketAddr, num::NonZeroU64, path::PathBuf};

use alys_sync::{
    config::SyncConfig,
    scheduler::Allocation,
    selection::{SelectionStrategy, ip_of},
    types::{Height, Multiaddr},
};
use clap::{Args, ValueEnum};

use super::{
    Answer, Context, Ending,
    connections::ConnectionArgs,
    input::{load_genesis, load_spec, multiaddr},
    node::{Goal, NodePlan, RunningNode, Watched},
    progress::Progress,
    quota::QuotaArgs,
};

const EXAMPLES: &str = "\
Examples:
  alys-sync run --chain-spec chain.json --genesis genesis.bin --data-dir node \\
    --bootnode /ip4/203.0.113.7/tcp/9000/p2p/12D3KooW...
  alys-sync run ... --until-synced --json      end with 0 at the head of the network
  alys-sync run ... --until-synced --target 5000
  alys-sync status --data-dir node             ask the running node";

/// Run a full node: sync to the head of the network, stay there, serve blocks to others
///
/// It follows the network until it is stopped, unless --until-synced says when to end. Started
/// again with the same data directory it goes on where it was.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RunArgs {
    /// The chain specification: the node's own chain.json
    #[arg(long, value_name = "FILE")]
    chain_spec: PathBuf,
    /// The genesis block, as a chain file of one record
    #[arg(long, value_name = "FILE")]
    genesis: PathBuf,
    /// Where everything is kept; made if it is missing
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// Peers to connect to, with or without /p2p/PEER at the end
    ///
    /// Addresses with the same /p2p/PEER are one peer's. Where it answers over both TCP and QUIC,
    /// the one measured faster is used.
    #[arg(
        long, value_name = "MULTIADDR", num_args = 1.., value_parser = multiaddr,
        required_unless_present_any = ["listen", "mdns"]
    )]
    bootnode: Vec<Multiaddr>,
    /// Where to accept connections, such as /ip4/0.0.0.0/tcp/9000 or /ip4/0.0.0.0/udp/9000/quic-v1
    #[arg(long, value_name = "MULTIADDR", num_args = 1.., value_parser = multiaddr)]
    listen: Vec<Multiaddr>,
    /// End with 0 when synced, or with 1 and the reason when that cannot be
    #[arg(long)]
    until_synced: bool,
    /// Sync to this height and no further, instead of to the head of the network
    #[arg(long, value_name = "HEIGHT")]
    target: Option<u64>,
    /// Where to serve the status; there is no authentication, so keep it on loopback
    ///
    /// With port 0 a free one is taken. The data directory says which, in the file status.addr.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:0")]
    http: SocketAddr,
    #[command(flatten)]
    connections: ConnectionArgs,
    #[command(flatten)]
    limits: LimitArgs,
    #[command(flatten)]
    quota: QuotaArgs,
}

/// What the sync may use of the machine.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct LimitArgs {
    /// Threads that verify blocks; 0 for one on each core
    #[arg(
        long, value_name = "N", default_value_t = Self::default().workers, value_parser = workers
    )]
    pub(crate) workers: usize,
    /// Blocks downloaded and not yet imported take at most this much memory, in MiB
    #[arg(
        long, value_name = "N", default_value_t = Self::default().memory_mb,
        value_parser = clap::value_parser!(u64).range(8..=65_536)
    )]
    pub(crate) memory_mb: u64,
    /// The whole process should take at most so much memory, in MiB; 0 for no limit
    ///
    /// Near it less is downloaded ahead. What holds the memory may be something else, so it is no
    /// hard limit.
    #[arg(
        long, value_name = "N", default_value_t = Self::default().process_memory_mb,
        value_parser = process_memory_mb
    )]
    pub(crate) process_memory_mb: u64,
    /// Nothing is imported while the disk has less than this left, in MiB
    #[arg(
        long, value_name = "N", default_value_t = Self::default().disk_reserve_mb,
        value_parser = clap::value_parser!(u64).range(0..=1 << 40)
    )]
    pub(crate) disk_reserve_mb: u64,
    /// All downloads together take at most so many megabits a second; no limit if not given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(crate) download_mbit: Option<u64>,
    /// How downloads are divided between peers
    #[arg(long, value_name = "HOW", value_enum, default_value_t = Divided::ByPerformance)]
    pub(crate) divide: Divided,
    /// Who is asked first of the peers that may be asked: a strategy, and what differs from its
    /// defaults
    ///
    /// adaptive:learning_rate=N (thousandths), highest-reputation, lowest-latency, most-reliable,
    /// round-robin, weighted, diversified:max_per_region=N (peers of one IPv4 /16 or IPv6 /32),
    /// load-balanced:target_utilization=N (thousandths), or proximity:from=IP (our own address;
    /// that of --listen if not given).
    #[arg(
        long, value_name = "STRATEGY[:NAME=VALUE,...]",
        default_value_t = Self::default().select, hide_default_value = true
    )]
    pub(crate) select: SelectionStrategy,
}

/// How downloads are divided between peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Divided {
    /// The same for each, whatever it could give
    Equally,
    /// In proportion to what each delivers
    ByPerformance,
    /// Peers with the best scores first
    ByPriority,
    /// The same for each, and what one cannot give goes to others
    AsTheyCanUseIt,
}

impl From<Divided> for Allocation {
    fn from(divided: Divided) -> Self {
        match divided {
            Divided::Equally => Self::EqualShare,
            Divided::ByPerformance => Self::Performance,
            Divided::ByPriority => Self::Priority,
            Divided::AsTheyCanUseIt => Self::Dynamic,
        }
    }
}

impl Default for LimitArgs {
    /// One thread on each core, 64 of 512 MiB, 1 GiB of the disk left free, no limit of downloads,
    /// peers by what they turn out to be.
    fn default() -> Self {
        Self {
            workers: 0,
            memory_mb: 64,
            process_memory_mb: 512,
            disk_reserve_mb: 1_024,
            download_mbit: None,
            divide: Divided::ByPerformance,
            select: SelectionStrategy::default(),
        }
    }
}

/// The most threads that verify. Unit: threads. Source: no machine has more cores. Higher: a
/// mistyped number exhausts the system's threads.
const WORKERS_MAX: usize = 1_024;

/// Reads how much memory the process should take.
pub(crate) fn process_memory_mb(text: &str) -> Result<u64, String> {
    let mib = text.parse().ok().filter(|mib| *mib == 0 || (64..=1 << 30).contains(mib));
    mib.ok_or_else(|| "give 0 for no limit, or at least 64".to_owned())
}

/// Reads a number of threads.
pub(crate) fn workers(text: &str) -> Result<usize, String> {
    let count = text.parse().ok().filter(|count| *count <= WORKERS_MAX);
    count.ok_or_else(|| format!("give 0 to {WORKERS_MAX}"))
}

impl LimitArgs {
    /// The default configuration with these limits and peers.
    pub(crate) fn config(self, bootnodes: Vec<Multiaddr>) -> SyncConfig {
        let mut config = SyncConfig { memory_bytes: self.memory_mb << 20, ..SyncConfig::default() };
        config.peers.bootnodes = bootnodes;
        let process_memory = NonZeroU64::new(self.process_memory_mb << 20).map(NonZeroU64::get);
        config.resources.memory_max_bytes = process_memory;
        config.resources.disk_reserve_bytes = self.disk_reserve_mb << 20;
        let bytes_per_second = self.download_mbit.map(|mbit| mbit * 1_000_000 / 8);
        config.download.allocation = self.divide.into();
        config.selection.strategy = self.select;
        config.download.bytes_per_second_max = bytes_per_second.and_then(NonZeroU64::new);
        config
    }
}

/// `strategy`, where one that needs our own address and was not given it takes that of `listen`.
fn located(strategy: SelectionStrategy, listen: &[Multiaddr]) -> SelectionStrategy {
    if strategy != (SelectionStrategy::Proximity { from: None }) {
        return strategy;
    }
    // The address that stands for all of a host's says nothing of where it is.
    let from = listen.iter().filter_map(ip_of).find(|ip| !ip.is_unspecified());
    SelectionStrategy::Proximity { from }
}

pub(crate) async fn run(args: RunArgs, context: Context) -> Result<Answer, Ending> {
    let limits = LimitArgs { select: located(args.limits.select, &args.listen), ..args.limits };
    let goal = if args.until_synced { Goal::Synced } else { Goal::Forever };
    let target = args.target.map(Height::new);
    let plan = NodePlan {
        spec: load_spec(&args.chain_spec)?,
        genesis: load_genesis(&args.genesis)?,
        data_dir: args.data_dir,
        config: limits.config(args.bootnode),
        network: args.connections.options(args.listen, args.quota.options()),
        workers: limits.workers,
        http: args.http,
    };
    let mut node = RunningNode::start(plan, target).await?;
    let mut shown = match goal {
        Goal::Forever => Progress::bar_or_logs(&context.bars),
        Goal::Synced => Progress::bar_or_lines(&context.bars),
    };
    let watched = node.watch(goal, &context.stop, &mut shown).await;
    drop(shown);
    let mut summary = node.stop().await;
    // A given target is reached whatever the phase.
    summary.synced = match &watched {
        Watched::Reached => true,
        Watched::Failed(_) => false,
        Watched::Stopped => summary.synced,
    };
    match watched {
        Watched::Reached => Ok(summary.into()),
        Watched::Stopped if goal == Goal::Forever => Ok(summary.into()),
        Watched::Stopped => {
            let advice = "run it again with the same --data-dir to go on from this height";
            Err(Ending::interrupted(advice).with(summary.into()))
        }
        Watched::Failed(failure) => Err(Ending::failed(failure).with(summary.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proximity_takes_our_address_from_where_we_listen_unless_it_is_given() {
        let listen: Vec<Multiaddr> = ["/ip4/0.0.0.0/tcp/9000", "/ip4/203.0.113.5/tcp/9000"]
            .map(|address| address.parse().unwrap())
            .into();
        let from = |from: &str| SelectionStrategy::Proximity { from: from.parse().ok() };
        assert_eq!(located(from(""), &listen), from("203.0.113.5"));
        assert_eq!(located(from("198.51.100.7"), &listen), from("198.51.100.7"));
        assert_eq!(located(from(""), &listen[..1]), from(""));
        assert_eq!(located(SelectionStrategy::Weighted, &listen), SelectionStrategy::Weighted);
    }
}
