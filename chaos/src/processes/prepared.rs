//! What all processes of a measurement share: a chain on disk, and a store that holds part of it.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};

use alys_sync::{
    adapters::sled::{ChainStore, OpenError, StoreOptions},
    consensus::{
        BlockFault, ChainSpec, ChainSpecError, Genesis, GenesisError, VerifiedBlock, Verifier,
        generate::{GenerateError, GenerateOptions, generate},
    },
    ports::{Chain as _, ChainError},
    types::Height,
    wire::{
        block::{BlockError, EncodedBlock},
        chain_file::{ChainFileError, ChainFileReader, ChainFileWriter},
    },
};

use crate::fixture::Fork;

/// Blocks of one append while the store is filled. Unit: blocks. Too low: a disk sync for few
/// blocks. Too high: memory.
const APPEND_BLOCKS: usize = 512;

/// Threads that verify what the store is filled with. Source: more than a measurement is made with
/// elsewhere would not be quicker.
const VERIFYING_THREADS: usize = 2;

/// Why there is nothing to work on.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The options are out of range.
    #[error("the chain cannot be made")]
    Generate(#[from] GenerateError),
    /// It does not start with a genesis block.
    #[error("the chain has no genesis")]
    Genesis(#[from] GenesisError),
    /// A block that was made is not valid.
    #[error("a generated block is not valid")]
    Block(#[from] BlockFault),
    /// A block cannot be read back.
    #[error("a generated block cannot be read")]
    Decode(#[from] BlockError),
    /// The chain file is broken.
    #[error("the chain file is broken")]
    ChainFile(#[from] ChainFileError),
    /// The specification cannot be read back.
    #[error("the chain specification cannot be read")]
    Spec(#[from] ChainSpecError),
    /// The store cannot be opened.
    #[error("the store cannot be opened")]
    Open(#[from] OpenError),
    /// The store cannot be filled.
    #[error("the store cannot be filled")]
    Store(#[from] ChainError),
    /// The disk.
    #[error("the files cannot be written or read")]
    Io(#[from] io::Error),
}

/// The files, in a directory of their own.
#[derive(Debug, Clone)]
pub(crate) struct Prepared {
    dir: PathBuf,
}

impl Prepared {
    /// Makes a chain in `dir`, and a store that holds the first `held` blocks of it.
    pub(crate) fn make(
        dir: &Path,
        options: GenerateOptions,
        held: u64,
    ) -> Result<Self, PrepareError> {
        let prepared = Self { dir: dir.to_owned() };
        let chain = generate(options)?;
        fs::write(prepared.spec_file(), chain.spec().to_json())?;
        let mut writer = ChainFileWriter::new(BufWriter::new(File::create(prepared.chain_file())?));
        writer.write(chain.genesis().raw())?;
        let genesis = Genesis::from_block(chain.genesis().clone())?;
        let store = ChainStore::open(&prepared.store_dir(), &genesis, StoreOptions::default())?;
        let verifier = Verifier::new(Arc::clone(chain.spec()));
        let mut ready = Vec::with_capacity(APPEND_BLOCKS);
        for block in chain.blocks() {
            writer.write(block.raw())?;
            let last = block.height() == Height::new(held);
            if block.height() <= Height::new(held) {
                ready.push(block);
            }
            if ready.len() == APPEND_BLOCKS || last {
                store.append(&verified(&verifier, std::mem::take(&mut ready))?)?;
            }
        }
        writer.into_inner().flush()?;
        Ok(prepared)
    }

    /// What was made in `dir` before.
    pub(crate) fn open(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// Its directory.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The whole chain.
    pub(crate) fn chain_file(&self) -> PathBuf {
        self.dir.join("chain.bin")
    }

    /// A chain that parts from the whole one.
    pub(crate) fn fork_file(&self) -> PathBuf {
        self.dir.join("fork.bin")
    }

    /// Makes a fork that the same authorities signed: it has the blocks up to `parts_above`, and
    /// others from there to `head`.
    pub(crate) fn make_fork(&self, parts_above: Height, head: Height) -> Result<(), PrepareError> {
        let options = GenerateOptions { blocks: head.get(), ..GenerateOptions::default() };
        let chain = generate(options)?;
        let blocks: Vec<_> = chain.blocks().collect();
        let fork = Fork::new(&blocks, chain.authorities(), parts_above, 0);
        let mut writer = ChainFileWriter::new(BufWriter::new(File::create(self.fork_file())?));
        writer.write(chain.genesis().raw())?;
        for block in &blocks {
            writer.write(fork.block(block.height()).unwrap_or(block).raw())?;
        }
        writer.into_inner().flush()?;
        Ok(())
    }

    fn spec_file(&self) -> PathBuf {
        self.dir.join("chain.json")
    }

    /// The store that it was made with.
    pub(crate) fn store_dir(&self) -> PathBuf {
        self.dir.join("store")
    }

    /// The rules.
    pub(crate) fn spec(&self) -> Result<Arc<ChainSpec>, PrepareError> {
        Ok(Arc::new(ChainSpec::from_json(&fs::read_to_string(self.spec_file())?)?))
    }

    /// Block 0.
    pub(crate) fn genesis(&self) -> Result<Genesis, PrepareError> {
        let mut file = ChainFileReader::new(File::open(self.chain_file())?);
        let first = file.next().ok_or(io::Error::from(io::ErrorKind::UnexpectedEof))??;
        Ok(Genesis::from_block(EncodedBlock::decode(first)?)?)
    }

    /// A copy of the store, to be written to and thrown away.
    pub(crate) fn copy_store(&self, name: &str) -> Result<PathBuf, PrepareError> {
        let copy = self.dir.join(name);
        copy_dir(&self.store_dir(), &copy)?;
        Ok(copy)
    }
}

fn verified(
    verifier: &Verifier,
    blocks: Vec<EncodedBlock>,
) -> Result<Vec<VerifiedBlock>, BlockFault> {
    let part = blocks.len().div_ceil(VERIFYING_THREADS).max(1);
    thread::scope(|scope| {
        let parts = blocks.chunks(part).map(|part| {
            scope.spawn(|| part.iter().cloned().map(|block| verifier.verify(block)).collect())
        });
        let parts: Vec<_> = parts.collect();
        let mut all = Vec::with_capacity(blocks.len());
        for part in parts {
            let part: Result<Vec<_>, BlockFault> =
                part.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            all.extend(part?);
        }
        Ok(all)
    })
}

/// Copies a directory with all below it to `to`, which does not exist.
pub(crate) fn copy_dir(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_dir(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
