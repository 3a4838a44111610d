//! `chain truncate`: makes a lower block the head of a data directory.

use std::path::PathBuf;

use alys_sync::{
    adapters::sled::{ChainStore, StoreOptions},
    ports::BlockSource as _,
    types::Height,
};
use clap::Args;
use serde_json::json;

use crate::cli::{
    Answer, Ending, blocking,
    input::{existing_genesis, refused},
};

const EXAMPLES: &str = "\
Examples:
  alys-sync chain truncate --data-dir node --to 120000";

/// Make a lower block the head of a data directory, and forget everything above it
///
/// The way on when the block a chain ends with is damaged: the error names the newest height that
/// is whole. What is forgotten is downloaded again by the next `run`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct TruncateArgs {
    /// The data directory; no node may be running in it
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// The height of the block that becomes the head
    #[arg(long, value_name = "HEIGHT")]
    to: u64,
    /// The genesis block of the data directory, where none is kept in it
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,
}

pub(super) async fn truncate(args: TruncateArgs) -> Result<Answer, Ending> {
    blocking(move || {
        let genesis = existing_genesis(&args.data_dir, args.genesis.as_deref())?;
        let to = Height::new(args.to);
        let options = StoreOptions::default();
        let store =
            ChainStore::open_truncated(&args.data_dir, &genesis, options, to).map_err(refused)?;
        let head = store.head();
        let text = format!("head  {} {}", head.height, head.root);
        Ok(Answer::new(text, json!({ "height": head.height, "head": head.root })))
    })
    .await
}
