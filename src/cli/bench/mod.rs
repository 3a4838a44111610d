//! `bench`: what the parts of a sync cost on this machine, and how good its choices are.

mod bakeoff;
mod headline;
mod pool;
mod pool_load;
mod report;
mod rounds;
mod scan;
mod signature_load;
mod signatures;
mod sync;
mod verify;

use clap::{Args, Subcommand};

use super::{Answer, Context, Ending};

const EXAMPLES: &str = "\
Examples:
  alys-sync bench verify
  alys-sync bench verify --workers 1,2,4,8 --json
  alys-sync bench bakeoff --seeds 20
  alys-sync bench sync
  alys-sync bench sync --quick --only old,peers --json";

/// Measure what the parts of a sync cost on this machine, and compare who is asked for what
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    command: BenchCommand,
}

#[derive(Debug, Subcommand)]
enum BenchCommand {
    Verify(verify::VerifyArgs),
    Bakeoff(bakeoff::BakeoffArgs),
    Sync(sync::SyncArgs),
    #[command(hide = true)]
    SyncNode(sync::NodeChildArgs),
    #[command(hide = true)]
    SyncServer(sync::FaultyServerArgs),
}

pub(crate) async fn bench(args: BenchArgs, context: Context) -> Result<Answer, Ending> {
    match args.command {
        BenchCommand::Verify(args) => verify::verify(args, context).await,
        BenchCommand::Bakeoff(args) => bakeoff::bakeoff(args, context).await,
        BenchCommand::Sync(args) => sync::sync(args, context).await,
        BenchCommand::SyncNode(args) => sync::sync_node(args, context).await,
        BenchCommand::SyncServer(args) => sync::sync_server(args, context).await,
    }
}
