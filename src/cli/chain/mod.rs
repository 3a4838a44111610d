//! `chain`: chains in files and data directories, without a network.

mod checking;
mod generate;
mod import;
mod info;
mod reindex;
mod truncate;
mod verify;

use clap::{Args, Subcommand};

use super::{Answer, Context, Ending};

pub(crate) use generate::write_chain;

const EXAMPLES: &str = "\
Examples:
  alys-sync chain generate --blocks 10000 --out chain.bin --spec-out chain.json \\
    --genesis-out genesis.bin
  alys-sync chain verify --chain chain.bin --chain-spec chain.json
  alys-sync chain import --chain chain.bin --chain-spec chain.json --data-dir node
  alys-sync chain info --data-dir node

A chain file holds blocks one after another, each with four bytes of little-endian length in
front.";

/// Make, import, verify, describe, cut and index chains
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ChainArgs {
    #[command(subcommand)]
    command: ChainCommand,
}

#[derive(Debug, Subcommand)]
enum ChainCommand {
    Generate(generate::GenerateArgs),
    Import(import::ImportArgs),
    Verify(verify::VerifyArgs),
    Info(info::InfoArgs),
    Truncate(truncate::TruncateArgs),
    Reindex(reindex::ReindexArgs),
}

pub(crate) async fn chain(args: ChainArgs, context: Context) -> Result<Answer, Ending> {
    match args.command {
        ChainCommand::Generate(args) => generate::generate(args, context).await,
        ChainCommand::Import(args) => import::import(args, context).await,
        ChainCommand::Verify(args) => verify::verify(args, context).await,
        ChainCommand::Info(args) => info::info(args).await,
        ChainCommand::Truncate(args) => truncate::truncate(args).await,
        ChainCommand::Reindex(args) => reindex::reindex(args).await,
    }
}
