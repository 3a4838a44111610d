//! `bench`: what the parts of a sync cost on this machine.

mod pool;
mod pool_load;
mod report;
mod rounds;
mod scan;
mod signature_load;
mod signatures;
mod verify;

use clap::{Args, Subcommand};

use super::{Answer, Context, Ending};

const EXAMPLES: &str = "\
Examples:
  alys-sync bench verify
  alys-sync bench verify --workers 1,2,4,8 --json";

/// Measure what the parts of a sync cost on this machine
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    command: BenchCommand,
}

#[derive(Debug, Subcommand)]
enum BenchCommand {
    Verify(verify::VerifyArgs),
}

pub(crate) async fn bench(args: BenchArgs, context: Context) -> Result<Answer, Ending> {
    match args.command {
        BenchCommand::Verify(args) => verify::verify(args, context).await,
    }
}
