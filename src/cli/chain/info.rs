//! `chain info`: what a chain file or data directory holds.

use std::path::PathBuf;

use alys_sync::{
    adapters::chain_file::ChainFile,
    ports::{BlockSource, Chain as _, Journal as _},
    types::Height,
    wire::block::EncodedBlock,
};
use clap::Args;
use serde_json::json;

use crate::cli::{
    Answer, Ending, blocking,
    input::{Source, SourceArgs, open_existing_store},
};

const EXAMPLES: &str = "\
Examples:
  alys-sync chain info --chain chain.bin
  alys-sync chain info --data-dir node --json";

/// Describe a chain file or data directory
///
/// Of a chain file it checks that each block is canonical and follows the one before; `chain
/// verify` checks signatures.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct InfoArgs {
    #[command(flatten)]
    source: SourceArgs,
    /// The genesis block of the data directory, where none is kept in it
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,
}

pub(super) async fn info(args: InfoArgs) -> Result<Answer, Ending> {
    blocking(move || match args.source.into() {
        Source::File(path) => {
            let file = ChainFile::open(&path).map_err(Ending::bad_input)?;
            Ok(of_file(&file))
        }
        Source::DataDir(dir) => of_data_dir(&dir, args.genesis),
    })
    .await
}

fn of_file(file: &ChainFile) -> Answer {
    let (first, last) = (file.first(), file.last());
    let genesis = (first.height() == Height::GENESIS).then(|| first.root());
    let blocks = file.count();
    let bytes = file.block_bytes();
    let [from, to] = [first, last].map(EncodedBlock::timestamp);
    let text = format!(
        "blocks   {blocks}, {bytes} bytes\nheights  {} to {}\ngenesis  {}\nhead     {}\n\
         made     {from} to {to} (seconds since 1970)",
        first.height(),
        last.height(),
        genesis.map_or_else(|| "not in this file".to_owned(), |root| root.to_string()),
        last.root(),
    );
    let json = json!({
        "blocks": blocks,
        "bytes": bytes,
        "oldest": first.height(),
        "height": last.height(),
        "head": last.root(),
        "genesis": genesis,
        "first_timestamp": from,
        "last_timestamp": to,
    });
    Answer::new(text, json)
}

fn of_data_dir(dir: &std::path::Path, genesis: Option<PathBuf>) -> Result<Answer, Ending> {
    let (store, _) = open_existing_store(dir, genesis.as_deref())?;
    let (head, oldest) = (store.head(), store.oldest());
    let blocks = head.height.blocks_above(oldest).saturating_add(1);
    let journal = store.records().map_err(Ending::failed)?;
    let (checkpoints, damaged) = journal.checkpoints().map_err(Ending::failed)?;
    let newest = checkpoints.last().map(|newest| newest.height);
    let text = format!(
        "blocks       {blocks}\nheights      {oldest} to {}\ngenesis      {}\nhead         {}\n\
         checkpoints  {}, {} damaged",
        head.height,
        store.genesis(),
        head.root,
        checkpoints.len(),
        damaged.len(),
    );
    let json = json!({
        "blocks": blocks,
        "oldest": oldest,
        "height": head.height,
        "head": head.root,
        "genesis": store.genesis(),
        "checkpoints": checkpoints.len(),
        "damaged_checkpoints": damaged.len(),
        "last_checkpoint": newest,
    });
    Ok(Answer::new(text, json))
}
