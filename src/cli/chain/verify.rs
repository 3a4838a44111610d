//! `chain verify`: all checks of a full node, nothing written.

use std::{path::PathBuf, time::Instant};

use alys_sync::{
    adapters::{chain_file::PlacedBlocks, sled::ChainStore},
    consensus::LinkPoint,
    ports::BlockSource as _,
    types::Height,
    wire::chain_file::ChainFileError,
};
use bytes::Bytes;
use clap::Args;
use serde_json::json;

use super::checking::{Batch, Checked, Checker, Place};
use crate::cli::{
    Answer, Context, Ending, blocking,
    input::{Source, SourceArgs, load_genesis, load_spec, open_existing_store},
    progress::Progress,
    run::workers,
};

const EXAMPLES: &str = "\
Examples:
  alys-sync chain verify --chain chain.bin --chain-spec chain.json
  alys-sync chain verify --data-dir node --chain-spec chain.json --workers 1";

/// Blocks read from a data directory at once. Unit: blocks.
const READ_BLOCKS: usize = 512;

/// Bytes after which no further block is read at once.
const READ_BYTES: usize = 8 << 20;

/// Verify every block of a chain file or data directory: encoding, links, majority, signature,
/// slot, execution block hash
///
/// Ends with 0 if all hold, else with 1 and the place of the first block that fails.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    source: SourceArgs,
    /// The chain specification: the node's own chain.json
    #[arg(long, value_name = "FILE")]
    chain_spec: PathBuf,
    /// The genesis block that the chain has to begin with; without it any will do
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,
    /// Threads that verify blocks; 0 for one on each core
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = workers)]
    workers: usize,
}

#[derive(Debug, thiserror::Error)]
#[error("the chain file {} is broken", path.display())]
struct BrokenFile {
    path: PathBuf,
    #[source]
    source: ChainFileError,
}

type Blocks = Box<dyn Iterator<Item = Result<(Place, Bytes), Ending>>>;

pub(super) async fn verify(args: VerifyArgs, context: Context) -> Result<Answer, Ending> {
    blocking(move || {
        let spec = load_spec(&args.chain_spec)?;
        let synthetic_payloads = spec.synthetic_payloads;
        let (blocks, tip) = open(args.source.into(), args.genesis)?;
        let mut checker = Checker::new(spec, tip, args.workers)?;
        let began = Instant::now();
        let verified = check_all(blocks, &mut checker, &context)?;
        let seconds = began.elapsed().as_secs_f64();
        let head = checker.tip().map(|tip| tip.block_ref());
        let speed = if seconds > 0.0 { verified as f64 / seconds } else { 0.0 };
        let at = head.map_or_else(|| "no block".to_owned(), |head| head.to_string());
        let text = format!(
            "valid: {verified} blocks above genesis in {seconds:.1} s, {speed:.0} blocks/s\n\
             head  {at}"
        );
        let json = json!({
            "valid": true,
            "blocks": verified,
            "height": head.map(|head| head.height),
            "head": head.map(|head| head.root),
            "seconds": seconds,
            "blocks_per_second": speed,
            "synthetic_payloads": synthetic_payloads,
        });
        Ok(Answer::new(text, json))
    })
    .await
}

/// How many blocks passed, if all did.
fn check_all(blocks: Blocks, checker: &mut Checker, context: &Context) -> Result<u64, Ending> {
    let mut shown = Progress::bar_or_lines(&context.bars);
    let mut verified = 0;
    let mut check = |batch| {
        context.stop.check()?;
        let Checked { good, bad } = checker.check(batch)?;
        verified += good.len() as u64;
        shown.count("verifying", verified);
        bad.map_or(Ok(()), |bad| Err(Ending::failed(bad)))
    };
    let mut batch = Batch::default();
    for placed in blocks {
        match placed {
            Ok((place, raw)) => batch.push(place, raw),
            Err(error) => {
                // A bad block before the broken place is what to mend first.
                check(batch)?;
                return Err(error);
            }
        }
        if batch.is_full() {
            check(std::mem::take(&mut batch))?;
        }
    }
    check(batch)?;
    Ok(verified)
}

/// The blocks in order, and what the first of them must follow.
fn open(source: Source, genesis: Option<PathBuf>) -> Result<(Blocks, Option<LinkPoint>), Ending> {
    match source {
        Source::File(path) => {
            let given = genesis.map(|path| load_genesis(&path)).transpose()?;
            let blocks = PlacedBlocks::open(&path).map_err(Ending::bad_input)?;
            let blocks = blocks.map(move |placed| match placed {
                Ok((place, raw)) => Ok((Place::Record(place), raw)),
                Err(source) => Err(Ending::failed(BrokenFile { path: path.clone(), source })),
            });
            Ok((Box::new(blocks), given.map(|genesis| genesis.link_point())))
        }
        Source::DataDir(dir) => {
            let (store, genesis) = open_existing_store(&dir, genesis.as_deref())?;
            Ok((Box::new(Stored::new(store)), Some(genesis.link_point())))
        }
    }
}

/// The blocks of a data directory in order.
struct Stored {
    store: ChainStore,
    next: Option<Height>,
    read: std::vec::IntoIter<Bytes>,
}

impl Stored {
    fn new(store: ChainStore) -> Self {
        let next = Some(store.oldest());
        Self { store, next, read: Vec::new().into_iter() }
    }
}

impl Iterator for Stored {
    type Item = Result<(Place, Bytes), Ending>;

    fn next(&mut self) -> Option<Self::Item> {
        let height = self.next?;
        if self.read.len() == 0 {
            match self.store.read(height, READ_BLOCKS, READ_BYTES) {
                Ok(blocks) => self.read = blocks.into_iter(),
                Err(error) => {
                    self.next = None;
                    return Some(Err(Ending::failed(error)));
                }
            }
        }
        let raw = self.read.next()?;
        self.next = height.next();
        Some(Ok((Place::Stored(height), raw)))
    }
}
