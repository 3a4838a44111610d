//! What operators give: specifications, genesis blocks, addresses, data directories.

use std::{
    fs::File,
    io::{self, BufReader, Read as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use alys_sync::{
    adapters::sled::{ChainStore, OpenError, StoreOptions},
    checkpoint::Recovery,
    consensus::{ChainSpec, ChainSpecError, Genesis, GenesisError},
    types::Multiaddr,
    wire::{
        block::{BlockError, EncodedBlock},
        chain_file::{ChainFileError, ChainFileReader},
    },
};

use super::{
    ending::Ending,
    files::{WriteFileError, write_file},
};

/// The longest specification that is read. Unit: bytes. A real one has 2 kB; fifteen authorities a
/// hundred times over fit. Too low: a long history is refused. Too high: memory for a wrong file.
const SPEC_BYTES_MAX: u64 = 1 << 20;

/// The genesis block in a data directory, so that commands that only read it need no `--genesis`.
const GENESIS_COPY: &str = "genesis.bin";

/// Where the blocks of a chain are.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub(crate) struct SourceArgs {
    /// A chain file, as `chain generate` writes it
    #[arg(long, value_name = "FILE")]
    chain: Option<PathBuf>,
    /// The data directory of a node that does not run
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

/// Where the blocks of a chain are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// In a chain file.
    File(PathBuf),
    /// In a data directory.
    DataDir(PathBuf),
}

impl From<SourceArgs> for Source {
    fn from(args: SourceArgs) -> Self {
        match (args.chain, args.data_dir) {
            (Some(file), _) => Self::File(file),
            (None, dir) => Self::DataDir(dir.expect("the command line requires one of the two")),
        }
    }
}

/// Why what was given cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InputError {
    #[error("cannot read the {what} {}", path.display())]
    Read {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the chain specification {} has more than {SPEC_BYTES_MAX} bytes", path.display())]
    SpecTooLong { path: PathBuf },
    #[error("the chain specification {} cannot be used", path.display())]
    Spec {
        path: PathBuf,
        #[source]
        source: ChainSpecError,
    },
    #[error(
        "the genesis file {} is broken: give a file with one block, such as \
         `alys-sync chain generate --genesis-out` writes",
        path.display()
    )]
    GenesisRecord {
        path: PathBuf,
        #[source]
        source: ChainFileError,
    },
    #[error("the genesis file {} holds no block", path.display())]
    GenesisEncoding {
        path: PathBuf,
        #[source]
        source: BlockError,
    },
    #[error("the block in {} is no genesis block", path.display())]
    NotGenesis {
        path: PathBuf,
        #[source]
        source: GenesisError,
    },
    #[error(
        "{} is no data directory that `run` or `chain import` has made: it keeps no genesis block. \
         Give such a directory, or the genesis block with --genesis",
        dir.display()
    )]
    NoDataDir { dir: PathBuf },
}

impl From<InputError> for Ending {
    fn from(error: InputError) -> Self {
        Self::bad_input(error)
    }
}

/// Reads a chain specification, and warns when it gives up a check.
pub(crate) fn load_spec(path: &Path) -> Result<Arc<ChainSpec>, InputError> {
    let what = "chain specification";
    let failed = |source| InputError::Read { what, path: path.to_owned(), source };
    let mut text = String::new();
    let file = File::open(path).map_err(failed)?;
    let read = file.take(SPEC_BYTES_MAX + 1).read_to_string(&mut text).map_err(failed)?;
    if read as u64 > SPEC_BYTES_MAX {
        return Err(InputError::SpecTooLong { path: path.to_owned() });
    }
    let spec = ChainSpec::from_json(&text)
        .map_err(|source| InputError::Spec { path: path.to_owned(), source })?;
    if spec.synthetic_payloads {
        eprintln!(
            "WARNING: {} says syntheticPayloads: the hashes of execution blocks are NOT checked. \
             Never use it for a live chain.",
            path.display()
        );
    }
    Ok(Arc::new(spec))
}

/// Reads a file that holds the genesis block and nothing else.
pub(crate) fn load_genesis(path: &Path) -> Result<Genesis, InputError> {
    let what = "genesis file";
    let file = File::open(path).map_err(|source| InputError::Read {
        what,
        path: path.to_owned(),
        source,
    })?;
    let raw = ChainFileReader::only(BufReader::new(file))
        .map_err(|source| InputError::GenesisRecord { path: path.to_owned(), source })?;
    let block = EncodedBlock::decode(raw)
        .map_err(|source| InputError::GenesisEncoding { path: path.to_owned(), source })?;
    Genesis::from_block(block)
        .map_err(|source| InputError::NotGenesis { path: path.to_owned(), source })
}

/// Opens or makes the data directory `dir` of the chain that begins with `genesis`, and keeps the
/// genesis block in it. Blocks on disk.
pub(crate) fn open_store(dir: &Path, genesis: &Genesis) -> Result<ChainStore, Ending> {
    let store = ChainStore::open(dir, genesis, StoreOptions::default()).map_err(refused)?;
    keep_genesis(dir, genesis)?;
    Ok(store)
}

/// The same, but where the head is damaged it goes on from a whole block, says so in the log, and
/// returns what was done.
pub(crate) fn open_store_recovering(
    dir: &Path,
    genesis: &Genesis,
) -> Result<(ChainStore, Option<Recovery>), Ending> {
    let (store, recovery) =
        ChainStore::open_recovering(dir, genesis, StoreOptions::default()).map_err(refused)?;
    if let Some(recovery) = &recovery {
        let Recovery { damage, quarantine, .. } = recovery;
        let moved = quarantine.as_ref().map(|moved| moved.dir.as_str());
        tracing::warn!(%recovery, damage, moved_to = moved, "recovered from a damaged head");
    }
    keep_genesis(dir, genesis)?;
    Ok((store, recovery))
}

fn keep_genesis(dir: &Path, genesis: &Genesis) -> Result<(), Ending> {
    let copy = dir.join(GENESIS_COPY);
    if !copy.exists() {
        write_genesis(&copy, genesis).map_err(Ending::failed)?;
    }
    Ok(())
}

/// Opens a data directory that exists, with the genesis block given or the one kept in it. Blocks
/// on disk.
pub(crate) fn open_existing_store(
    dir: &Path,
    genesis: Option<&Path>,
) -> Result<(ChainStore, Genesis), Ending> {
    let genesis = existing_genesis(dir, genesis)?;
    Ok((open_store(dir, &genesis)?, genesis))
}

/// The genesis block of a data directory that exists: the one given, or the one kept in it.
pub(crate) fn existing_genesis(dir: &Path, given: Option<&Path>) -> Result<Genesis, InputError> {
    let copy = dir.join(GENESIS_COPY);
    match given {
        Some(path) if dir.is_dir() => load_genesis(path),
        None if copy.exists() => load_genesis(&copy),
        Some(_) | None => Err(InputError::NoDataDir { dir: dir.to_owned() }),
    }
}

/// Writes the genesis block as a file of one record.
pub(crate) fn write_genesis(path: &Path, genesis: &Genesis) -> Result<(), WriteFileError> {
    let raw = genesis.raw();
    let length = u32::try_from(raw.len()).expect("a decoded block has at most a few MiB");
    write_file(path, &[&length.to_le_bytes(), raw.as_ref()].concat())
}

/// What a data directory is refused for is the operator's to choose, or the disk's fault.
pub(crate) fn refused(error: OpenError) -> Ending {
    match error {
        OpenError::NotADataDirectory { .. }
        | OpenError::Locked { .. }
        | OpenError::OtherChain { .. }
        | OpenError::OtherVersion { .. }
        | OpenError::BadMarker { .. }
        | OpenError::OutOfRange { .. } => Ending::bad_input(error),
        OpenError::CorruptBlock { .. }
        | OpenError::CorruptIndex { .. }
        | OpenError::CorruptSegments { .. }
        | OpenError::Io { .. } => Ending::failed(error),
    }
}

/// Reads an address of the command line.
pub(crate) fn multiaddr(text: &str) -> Result<Multiaddr, String> {
    text.parse().map_err(|error| {
        format!(
            "{error}; give a multiaddr such as /ip4/127.0.0.1/tcp/9000, with /p2p/PEER if known"
        )
    })
}
