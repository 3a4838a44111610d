//! `demo`: the main job in one command. A chain, peers in processes of their own, one fresh node.

mod prepared;
mod scratch;
mod servers;

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

pub(crate) use self::{prepared::Prepared, scratch::WorkDir, servers::Servers};
use super::{
    Answer, Context, Ending, blocking,
    node::{Goal, NodePlan, RunningNode, Watched},
    progress::Progress,
    run::LimitArgs,
    summary::Summary,
};
use alys_sync::{adapters::libp2p::Libp2pOptions, types::BlockRef};

const EXAMPLES: &str = "\
Examples:
  alys-sync demo
  alys-sync demo --blocks 5000 --peers 8 --json
  alys-sync demo --data-dir demo       Ctrl-C, and the same again goes on where it was
  alys-sync demo --chain chain.bin --chain-spec chain.json --peers 3";

/// How many processes serve where nobody chose. Unit: processes. Too low: nothing is shared between
/// peers. Too high: their processes take the cores from the one that syncs.
const PEERS: u8 = 3;

/// What decides the generated chain where nobody chose. Another one gives a chain like it.
const SEED: u64 = 1;

/// The most serving processes. Unit: processes. Source: each connection of the syncing node takes
/// memory, and more than a few dozen processes only measure the machine.
const PEERS_MAX: i64 = 32;

/// The data directory of the syncing node, in the demo's directory.
const NODE_DIR: &str = "node";

/// Make a signed chain, serve it from several processes, and sync a fresh node from them
///
/// Everything is real: processes of their own, sockets on loopback, all checks, a data directory.
/// Ends with 0 only if the node's head is the last block of the chain. Without --data-dir nothing
/// is left behind.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DemoArgs {
    /// How many blocks to make above genesis
    #[arg(
        long, value_name = "N", default_value_t = 10_000, conflicts_with = "chain",
        value_parser = clap::value_parser!(u64).range(1..)
    )]
    blocks: u64,
    /// How many processes serve the chain
    #[arg(
        long, value_name = "N", default_value_t = PEERS,
        value_parser = clap::value_parser!(u8).range(1..=PEERS_MAX)
    )]
    peers: u8,
    /// A chain file to use instead of making one; begins with its genesis block
    #[arg(long, value_name = "FILE", requires = "chain_spec")]
    chain: Option<PathBuf>,
    /// The specification of that chain
    #[arg(long, value_name = "FILE", requires = "chain")]
    chain_spec: Option<PathBuf>,
    /// Where everything is kept, so that an interrupted demo can go on
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Decides the generated chain
    #[arg(long, value_name = "S", default_value_t = SEED, conflicts_with = "chain")]
    seed: u64,
    #[command(flatten)]
    limits: LimitArgs,
}

impl DemoArgs {
    /// A demo of a generated chain of `blocks` blocks that leaves nothing behind.
    pub(crate) fn generated(blocks: u64) -> Self {
        Self {
            blocks,
            peers: PEERS,
            chain: None,
            chain_spec: None,
            data_dir: None,
            seed: SEED,
            limits: LimitArgs::default(),
        }
    }
}

/// What a demo came to.
#[derive(Debug)]
pub(crate) struct Demonstrated {
    pub(crate) summary: Summary,
    /// The last block of the chain.
    pub(crate) expected: BlockRef,
}

/// The node believes it is synced, and is not at the end of the chain.
#[derive(Debug, thiserror::Error)]
#[error("the node's head is {found}, the chain ends with {expected}")]
struct WrongHead {
    found: BlockRef,
    expected: BlockRef,
}

pub(crate) async fn demo(args: DemoArgs, context: Context) -> Result<Answer, Ending> {
    perform(&args, &context).await.map(Answer::from)
}

/// Does all that a demo does.
pub(crate) async fn perform(args: &DemoArgs, context: &Context) -> Result<Demonstrated, Ending> {
    let dir = WorkDir::open(args.data_dir.as_deref())?;
    let keeps = args.data_dir.is_some();
    let prepared = {
        let (path, context) = (dir.path().to_owned(), context.clone());
        let origin = prepared::Wanted::from(args);
        blocking(move || prepared::prepare(&path, &origin, &context)).await?
    };
    let servers = tokio::select! {
        servers = Servers::start(&prepared, args.peers) => servers?,
        () = context.stop.asked() => return Err(Ending::interrupted(advice(keeps))),
    };
    let outcome = sync(args, context, &prepared, &servers, dir.path(), keeps).await;
    servers.stop().await;
    outcome
}

async fn sync(
    args: &DemoArgs,
    context: &Context,
    prepared: &Prepared,
    servers: &Servers,
    dir: &std::path::Path,
    keeps: bool,
) -> Result<Demonstrated, Ending> {
    let plan = NodePlan {
        spec: prepared.spec.clone(),
        genesis: prepared.genesis.clone(),
        data_dir: dir.join(NODE_DIR),
        config: args.limits.config(servers.addresses()),
        network: Libp2pOptions::default(),
        workers: args.limits.workers,
        http: ([127, 0, 0, 1], 0).into(),
    };
    // The height is found by asking the peers, as on a real network.
    let mut node = RunningNode::start(plan, None).await?;
    let mut shown = Progress::bar_or_lines(&context.bars);
    let watched = tokio::select! {
        watched = node.watch(Goal::Synced, &context.stop, &mut shown) => Ok(watched),
        ended = servers.one_ended() => Err(ended),
    };
    drop(shown);
    let mut summary = node.stop().await;
    let (found, expected) = (summary.head, prepared.head);
    summary.synced = matches!(watched, Ok(Watched::Reached)) && found == expected;
    let demonstrated = Demonstrated { summary, expected };
    let ending = match watched {
        Ok(Watched::Reached) if found == expected => return Ok(demonstrated),
        Ok(Watched::Reached) => Ending::failed(WrongHead { found, expected }),
        Ok(Watched::Stopped) => Ending::interrupted(advice(keeps)),
        Ok(Watched::Failed(failure)) => Ending::failed(failure),
        Err(ended) => Ending::failed(ended),
    };
    Err(ending.with(demonstrated.into()))
}

impl From<Demonstrated> for Answer {
    fn from(Demonstrated { summary, expected }: Demonstrated) -> Self {
        let mut answer = Self::from(summary);
        answer.json.insert("expected_head".to_owned(), json!(expected.root));
        answer
    }
}

const fn advice(keeps: bool) -> &'static str {
    if keeps {
        "run it again with the same --data-dir to go on from this height"
    } else {
        "nothing is kept; with --data-dir it could go on from here"
    }
}
