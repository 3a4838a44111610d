//! The chain that a demo serves: made once and kept in the demo's directory, or the operator's.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use alys_sync::{
    adapters::chain_file::ChainFile,
    consensus::{
        ChainSpec, Genesis, GenesisError,
        generate::{GenerateOptions, generate},
    },
    ports::BlockSource as _,
    types::BlockRef,
};
use serde::{Deserialize, Serialize};

use super::{Context, DemoArgs, Ending};
use crate::cli::{chain::write_chain, files::write_file, input::load_spec, progress::Progress};

/// Says what the demo in a directory is about.
const MARKER: &str = "demo.json";
/// The generated chain and its specification, in the demo's directory.
const CHAIN: &str = "chain.bin";
const SPEC: &str = "chain.json";

/// The chain to serve and to sync.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) chain: PathBuf,
    pub(crate) spec_file: PathBuf,
    pub(crate) spec: Arc<ChainSpec>,
    pub(crate) genesis: Genesis,
    /// The last block.
    pub(crate) head: BlockRef,
}

/// Which chain is wanted.
#[derive(Debug, Clone)]
pub(super) enum Wanted {
    Generated { blocks: u64, seed: u64 },
    Given { chain: PathBuf, spec: PathBuf },
}

impl From<&DemoArgs> for Wanted {
    fn from(args: &DemoArgs) -> Self {
        match (&args.chain, &args.chain_spec) {
            (Some(chain), Some(spec)) => Self::Given { chain: chain.clone(), spec: spec.clone() },
            (None, _) | (_, None) => Self::Generated { blocks: args.blocks, seed: args.seed },
        }
    }
}

/// Which chain a directory is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "chain", rename_all = "snake_case")]
enum Marker {
    Generated { blocks: u64, seed: u64 },
    Given { head: BlockRef },
}

/// Why a demo cannot be prepared.
#[derive(Debug, thiserror::Error)]
enum PrepareError {
    #[error("{} is not empty and holds no demo: choose a new or empty directory", dir.display())]
    NotADemo { dir: PathBuf },
    #[error(
        "{} holds a demo of another chain ({found}): give the same options as before, or another \
         directory",
        dir.display()
    )]
    OtherDemo { dir: PathBuf, found: String },
    #[error("cannot read {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} cannot be understood: choose a new or empty directory", path.display())]
    BadMarker {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
    #[error("the chain in {} does not begin with its genesis block", chain.display())]
    NoGenesis {
        chain: PathBuf,
        #[source]
        source: GenesisError,
    },
}

/// Makes or finds the chain. Blocks on disk and on the processor.
pub(super) fn prepare(dir: &Path, wanted: &Wanted, context: &Context) -> Result<Prepared, Ending> {
    let found = read_marker(dir).map_err(Ending::bad_input)?;
    match wanted {
        Wanted::Given { chain, spec } => {
            let prepared = open(chain, spec)?;
            check_or_mark(dir, found, &Marker::Given { head: prepared.head })?;
            Ok(prepared)
        }
        Wanted::Generated { blocks, seed } => {
            let marker = Marker::Generated { blocks: *blocks, seed: *seed };
            let (chain, spec) = (dir.join(CHAIN), dir.join(SPEC));
            if found.is_none() {
                make(&chain, &spec, *blocks, *seed, context)?;
            }
            check_or_mark(dir, found, &marker)?;
            open(&chain, &spec)
        }
    }
}

fn make(
    chain_file: &Path,
    spec_file: &Path,
    blocks: u64,
    seed: u64,
    context: &Context,
) -> Result<(), Ending> {
    let options = GenerateOptions { blocks, seed, ..GenerateOptions::default() };
    let chain = generate(options).map_err(Ending::bad_input)?;
    let mut shown = Progress::bar_or_lines(&context.bars);
    write_chain(&chain, chain_file, &context.stop, &mut shown)?;
    write_file(spec_file, chain.spec().to_json().as_bytes()).map_err(Ending::failed)
}

fn open(chain: &Path, spec_file: &Path) -> Result<Prepared, Ending> {
    let spec = load_spec(spec_file)?;
    let file = ChainFile::open(chain).map_err(Ending::bad_input)?;
    let genesis = Genesis::from_block(file.first().clone()).map_err(|source| {
        Ending::bad_input(PrepareError::NoGenesis { chain: chain.to_owned(), source })
    })?;
    let head = file.head();
    let (chain, spec_file) = (chain.to_owned(), spec_file.to_owned());
    Ok(Prepared { chain, spec_file, spec, genesis, head })
}

fn check_or_mark(dir: &Path, found: Option<Marker>, marker: &Marker) -> Result<(), Ending> {
    match found {
        Some(found) if found == *marker => Ok(()),
        Some(found) => {
            let found = match found {
                Marker::Generated { blocks, seed } => format!("{blocks} blocks, seed {seed}"),
                Marker::Given { head } => format!("a given one that ends with {head}"),
            };
            Err(Ending::bad_input(PrepareError::OtherDemo { dir: dir.to_owned(), found }))
        }
        None => {
            let text = serde_json::to_vec(marker).map_err(Ending::failed)?;
            write_file(&dir.join(MARKER), &text).map_err(Ending::failed)
        }
    }
}

/// What the directory is about; nothing if it is new. What a demo leaves that ended before it could
/// say so counts as new.
fn read_marker(dir: &Path) -> Result<Option<Marker>, PrepareError> {
    let path = dir.join(MARKER);
    match fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text)
            .map(Some)
            .map_err(|source| PrepareError::BadMarker { path, source }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => refuse_content(dir).map(|()| None),
        Err(source) => Err(PrepareError::Read { path, source }),
    }
}

fn refuse_content(dir: &Path) -> Result<(), PrepareError> {
    let failed = |source| PrepareError::Read { path: dir.to_owned(), source };
    for entry in fs::read_dir(dir).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let name = name.to_string_lossy();
        let ours = [MARKER, CHAIN, SPEC].iter().any(|ours| {
            name == *ours || (name.starts_with(&format!("{ours}.")) && name.ends_with(".tmp"))
        });
        if !ours {
            return Err(PrepareError::NotADemo { dir: dir.to_owned() });
        }
    }
    Ok(())
}
