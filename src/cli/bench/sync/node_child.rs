//! `bench sync-node`: the node that is measured, in a process of its own, so that CPU time and peak
//! memory are its own. For `bench sync` only.

use std::{num::NonZeroU64, path::PathBuf, sync::Arc, time::Duration};

use alys_sync::{
    adapters::libp2p::Libp2pOptions,
    types::{Height, Multiaddr},
};
use clap::Args;
use serde::{Deserialize, Serialize};

use super::metered_chain::{ImportMeter, MeteredChain};
use crate::cli::{
    Answer, Context, Ending,
    input::{load_genesis, load_spec, multiaddr},
    node::{Goal, NodePlan, RunningNode, Watched},
    progress::Progress,
    run::LimitArgs,
};

/// A fresh node that syncs and tells what it cost
#[derive(Debug, Args)]
pub(crate) struct NodeChildArgs {
    #[arg(long)]
    chain_spec: PathBuf,
    #[arg(long)]
    genesis: PathBuf,
    #[arg(long)]
    data_dir: PathBuf,
    #[arg(long, num_args = 1.., value_parser = multiaddr)]
    bootnode: Vec<Multiaddr>,
    /// The height that it has to find
    #[arg(long)]
    head: u64,
    /// Import no faster than this
    #[arg(long)]
    import_bytes_per_second: Option<NonZeroU64>,
}

/// What the node tells. Times are since its start, before it dials. Unit: seconds and bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct NodeFigures {
    /// Until the last block was imported.
    pub(super) seconds: f64,
    /// Until the first blocks were imported.
    pub(super) first_import_seconds: f64,
    /// CPU time until it called itself synced. `None` where the system does not tell; so below.
    pub(super) cpu_seconds: Option<f64>,
    /// Of that, the part that was verification: 0 to 1.
    pub(super) verification_cpu_share: Option<f64>,
    pub(super) peak_memory_bytes: Option<u64>,
    /// How often the front was asked of a second peer.
    pub(super) hedges_sent: u64,
    /// How often the second peer was first.
    pub(super) hedges_won: u64,
}

/// Why the measured node has nothing to tell.
#[derive(Debug, thiserror::Error)]
enum NodeChildError {
    #[error("the node stopped at block {found}, the chain ends with block {wanted}")]
    WrongHeight { found: Height, wanted: u64 },
    #[error("the node does not say what it asked for")]
    NoWindow,
    #[error("the node imported nothing")]
    NothingImported,
}

pub(crate) async fn sync_node(args: NodeChildArgs, context: Context) -> Result<Answer, Ending> {
    context.stop.with_stdin();
    let limits = LimitArgs::default();
    let plan = NodePlan {
        spec: load_spec(&args.chain_spec)?,
        genesis: load_genesis(&args.genesis)?,
        data_dir: args.data_dir,
        config: limits.config(args.bootnode),
        network: Libp2pOptions::default(),
        workers: limits.workers,
        http: ([127, 0, 0, 1], 0).into(),
    };
    let meter = ImportMeter::start();
    let (watching, rate) = (meter.clone(), args.import_bytes_per_second);
    let chain = |store| Arc::new(MeteredChain::new(store, watching, rate)) as Arc<_>;
    let mut node = RunningNode::start_over(plan, None, chain).await?;
    let mut shown = Progress::bar_or_logs(&context.bars);
    let watched = node.watch(Goal::Synced, &context.stop, &mut shown).await;
    let window = node.window().await;
    let summary = node.stop().await;
    match watched {
        Watched::Reached => {}
        Watched::Stopped => context.stop.check()?,
        Watched::Failed(failure) => return Err(Ending::failed(failure)),
    }
    if summary.head.height.get() != args.head {
        let (found, wanted) = (summary.head.height, args.head);
        return Err(Ending::failed(NodeChildError::WrongHeight { found, wanted }));
    }
    let window = window.ok_or_else(|| Ending::failed(NodeChildError::NoWindow))?;
    let times = meter.times();
    let imported = times.first.zip(times.last);
    let (first, last) = imported.ok_or_else(|| Ending::failed(NodeChildError::NothingImported))?;
    let figures = NodeFigures {
        seconds: last.as_secs_f64(),
        first_import_seconds: first.as_secs_f64(),
        cpu_seconds: summary.cost.cpu.as_ref().map(Duration::as_secs_f64),
        verification_cpu_share: summary.verification_cpu_share(),
        peak_memory_bytes: summary.peak_memory_bytes,
        hedges_sent: window.hedges_sent,
        hedges_won: window.hedges_won,
    };
    let json = serde_json::to_value(figures).map_err(Ending::failed)?;
    Ok(Answer::new(String::new(), json))
}
