//! `chain import`: a chain file into a data directory, every block fully verified.

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use alys_sync::{
    adapters::{chain_file::PlacedBlocks, sled::ChainStore},
    consensus::Genesis,
    ports::{BlockSource as _, Chain as _},
    types::{BlockRoot, Height},
    wire::{block::EncodedBlock, chain_file::ChainFileError},
};
use clap::Args;
use serde_json::json;

use super::checking::{Batch, Checked, Checker, Place};
use crate::cli::{
    Answer, Context, Ending, blocking,
    input::{load_genesis, load_spec, open_store},
    progress::Progress,
    run::workers,
    stop::Stopped,
};

const EXAMPLES: &str = "\
Examples:
  alys-sync chain import --chain chain.bin --chain-spec chain.json --data-dir node";

/// Import a chain file into a data directory, every block fully verified
///
/// Blocks that the directory has already are compared and skipped, so an import that was cut off
/// goes on where it was. At the first bad block it ends with 1 and names it; the good ones before
/// it stay.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ImportArgs {
    /// The chain file
    #[arg(long, value_name = "FILE")]
    chain: PathBuf,
    /// The chain specification: the node's own chain.json
    #[arg(long, value_name = "FILE")]
    chain_spec: PathBuf,
    /// The genesis block; without it the first block of the chain file, which is not signed
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,
    /// Where the chain goes; made if it is missing
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// Threads that verify blocks; 0 for one on each core
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = workers)]
    workers: usize,
}

/// Why an import ended early.
#[derive(Debug, thiserror::Error)]
enum ImportFailure {
    #[error("the chain file {} is broken", path.display())]
    Broken {
        path: PathBuf,
        #[source]
        source: ChainFileError,
    },
    #[error("{place} holds block {height} {found}, the data directory has {stored} there")]
    OtherBlock { place: Place, height: Height, found: BlockRoot, stored: BlockRoot },
}

/// An import at work.
struct Import {
    store: ChainStore,
    checker: Checker,
    head_before: Height,
    skipped: u64,
    blocks_in_file: u64,
    began: Instant,
    shown: Progress,
}

pub(super) async fn import(args: ImportArgs, context: Context) -> Result<Answer, Ending> {
    blocking(move || {
        let spec = load_spec(&args.chain_spec)?;
        let synthetic_payloads = spec.synthetic_payloads;
        let genesis = match &args.genesis {
            Some(path) => load_genesis(path)?,
            None => first_block(&args.chain)?,
        };
        let store = open_store(&args.data_dir, &genesis)?;
        let tip = store.tip().map_err(Ending::failed)?;
        let mut import = Import {
            checker: Checker::new(spec, Some(tip), args.workers)?,
            head_before: tip.height,
            store,
            skipped: 0,
            blocks_in_file: 0,
            began: Instant::now(),
            shown: Progress::bar_or_lines(&context.bars),
        };
        let outcome = import.take_in(&args.chain, || context.stop.check());
        let answer = import.answer(synthetic_payloads);
        match outcome {
            Ok(()) => Ok(answer),
            Err(ending) => Err(ending.with(answer)),
        }
    })
    .await
}

fn first_block(path: &Path) -> Result<Genesis, Ending> {
    let mut blocks = PlacedBlocks::open(path).map_err(Ending::bad_input)?;
    let broken =
        |source| Ending::bad_input(ImportFailure::Broken { path: path.to_owned(), source });
    let Some(first) = blocks.next() else {
        let fault = alys_sync::wire::chain_file::RecordFault::Missing;
        return Err(broken(ChainFileError { record: 0, offset: 0, fault }));
    };
    let (_, raw) = first.map_err(broken)?;
    let block = EncodedBlock::decode(raw).map_err(Ending::bad_input)?;
    Genesis::from_block(block).map_err(Ending::bad_input)
}

impl Import {
    fn take_in(
        &mut self,
        path: &Path,
        stop: impl Fn() -> Result<(), Stopped>,
    ) -> Result<(), Ending> {
        let mut batch = Batch::default();
        let mut broken = None;
        for placed in PlacedBlocks::open(path).map_err(Ending::bad_input)? {
            let (place, raw) = match placed {
                Ok(placed) => placed,
                Err(source) => {
                    broken = Some(ImportFailure::Broken { path: path.to_owned(), source });
                    break;
                }
            };
            self.blocks_in_file += 1;
            if self.skip(Place::Record(place), &raw)? {
                continue;
            }
            batch.push(Place::Record(place), raw);
            if batch.is_full() {
                stop()?;
                self.append(std::mem::take(&mut batch))?;
            }
        }
        stop()?;
        self.append(batch)?;
        broken.map_or(Ok(()), |failure| Err(Ending::failed(failure)))
    }

    /// Whether the directory has this block already. Blocks that cannot be decoded are not skipped:
    /// the checks name their fault.
    fn skip(&mut self, place: Place, raw: &bytes::Bytes) -> Result<bool, Ending> {
        // Once past the old head nothing is decoded twice.
        if self.checker.tip().is_some_and(|tip| tip.height > self.head_before) {
            return Ok(false);
        }
        let Ok(block) = EncodedBlock::decode(raw.clone()) else { return Ok(false) };
        let (height, found) = (block.height(), block.root());
        if height > self.head_before {
            return Ok(false);
        }
        let stored = self.store.link_point(height).map_err(Ending::failed)?.root;
        if found != stored {
            return Err(Ending::failed(ImportFailure::OtherBlock { place, height, found, stored }));
        }
        self.skipped += 1;
        Ok(true)
    }

    fn append(&mut self, batch: Batch) -> Result<(), Ending> {
        let Checked { good, bad } = self.checker.check(batch)?;
        let head = self.store.append(&good).map_err(Ending::failed)?;
        self.shown.count("importing", head.height.get());
        bad.map_or(Ok(()), |bad| Err(Ending::failed(bad)))
    }

    fn answer(&self, synthetic_payloads: bool) -> Answer {
        let head = self.store.head();
        let imported = head.height.blocks_above(self.head_before);
        let seconds = self.began.elapsed().as_secs_f64();
        let text = format!(
            "imported {imported} blocks in {seconds:.1} s; {} were there already\nhead  {head}",
            self.skipped,
        );
        let json = json!({
            "imported": imported,
            "skipped": self.skipped,
            "height": head.height,
            "head": head.root,
            "genesis": self.store.genesis(),
            "seconds": seconds,
            "synthetic_payloads": synthetic_payloads,
        });
        Answer::new(text, json)
    }
}
