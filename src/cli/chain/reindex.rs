//! `chain reindex`: makes the index of a data directory anew.

use std::path::PathBuf;

use alys_sync::{
    adapters::sled::{ChainStore, StoreOptions},
    ports::BlockSource as _,
};
use clap::Args;
use serde_json::json;

use crate::cli::{
    Answer, Ending, blocking,
    input::{existing_genesis, refused},
};

const EXAMPLES: &str = "\
Examples:
  alys-sync chain reindex --data-dir node";

/// Make the index of a data directory anew from its blocks
///
/// The way on when the index is damaged: every block is read once. What was the index is moved to
/// the quarantine, with the checkpoints and what is known of peers. What does not continue the
/// chain goes there, too, and is downloaded again by the next `run`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ReindexArgs {
    /// The data directory; no node may be running in it
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// The genesis block of the data directory, where none is kept in it
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,
}

pub(super) async fn reindex(args: ReindexArgs) -> Result<Answer, Ending> {
    blocking(move || {
        let genesis = existing_genesis(&args.data_dir, args.genesis.as_deref())?;
        let opened = ChainStore::open_reindexed(&args.data_dir, &genesis, StoreOptions::default());
        let (store, moved) = opened.map_err(refused)?;
        let head = store.head();
        let mut text = format!("head  {} {}", head.height, head.root);
        if let Some(moved) = &moved {
            text.push_str(&format!("\nwhat was the index is in {}", moved.display()));
        }
        let json = json!({ "height": head.height, "head": head.root, "moved_to": moved });
        Ok(Answer::new(text, json))
    })
    .await
}
