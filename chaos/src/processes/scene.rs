//! A chain, a server of it, and nodes that sync from there, each a process with a store on a disk.

use std::{
    env,
    ffi::OsString,
    fs::File,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use alys_sync::{
    adapters::sled::{ChainStore, OpenError, StoreOptions},
    checkpoint::{CheckpointKind, KeepError, make},
    consensus::generate::GenerateOptions,
    ports::{BlockSource as _, ChainError},
    types::{Height, Multiaddr},
    wire::chain_file::{ChainFileError, ChainFileReader},
};
use bytes::Bytes;
use tempfile::TempDir;

use super::{
    PrepareError, ProcessError, prepared::Prepared, process::Process, sync_node::SYNC_ROLE,
};

/// Blocks read from a store at once. Unit: blocks.
const READ_BLOCKS: usize = 512;

/// Why there is no scene, or why something of it cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SceneError {
    /// There is nothing to work on.
    #[error("the runs cannot be prepared")]
    Prepare(#[from] PrepareError),
    /// A process is of no use.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// The disk.
    #[error("the files cannot be read or written")]
    Io(#[from] io::Error),
    /// The chain file is broken.
    #[error("the chain file is broken")]
    ChainFile(#[from] ChainFileError),
    /// A checkpoint cannot be made.
    #[error("a checkpoint cannot be made")]
    Checkpoint(#[from] KeepError),
    /// A process said something else than was to be expected.
    #[error("a process said {said:?}")]
    Unexpected {
        /// What it said.
        said: Option<String>,
    },
    /// A program of the system that is needed here failed.
    #[error("{program} failed: {told}")]
    Program {
        /// Which.
        program: &'static str,
        /// What it said.
        told: String,
    },
}

/// What all runs share. Dropping it ends the server and removes the files.
pub(crate) struct Scene {
    prepared: Prepared,
    /// All blocks, from genesis on.
    chain: Vec<Bytes>,
    peer: Multiaddr,
    pub(crate) server: Process,
    dir: TempDir,
}

impl Scene {
    /// Makes a chain of so many blocks and serves it.
    pub(crate) async fn set(blocks: u64) -> Result<Self, SceneError> {
        Self::holding(1, GenerateOptions { blocks, ..GenerateOptions::default() }).await
    }

    /// Makes a chain and serves it; new stores hold the first `held` blocks of it.
    pub(crate) async fn holding(held: u64, options: GenerateOptions) -> Result<Self, SceneError> {
        let dir = tempfile::tempdir()?;
        let prepared = Prepared::make(dir.path(), options, held)?;
        let chain = ChainFileReader::new(File::open(prepared.chain_file())?);
        let chain = chain.collect::<Result<_, _>>()?;
        let serve = [SYNC_ROLE.into(), "--dir".into(), dir.path().into()];
        let (server, peer) = Process::start("server", serve).await?;
        Ok(Self { prepared, chain, peer, server, dir })
    }

    /// A place for files.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// From now on, new stores have a checkpoint at `height`, as a node makes when it passes.
    pub(crate) fn make_checkpoint(&self, height: Height) -> Result<(), SceneError> {
        let (store, genesis) = (self.prepared.store_dir(), self.prepared.genesis()?);
        let store = ChainStore::open(&store, &genesis, StoreOptions::default());
        let store = store.map_err(PrepareError::from)?;
        let journal = store.records().map_err(ChainError::from).map_err(PrepareError::from)?;
        let what = (height, CheckpointKind::Periodic);
        make(&store, &journal, what, Duration::ZERO, None)?;
        Ok(())
    }

    /// A store with the blocks that are held, under a name that is free.
    pub(crate) fn new_store(&self, name: &str) -> Result<PathBuf, SceneError> {
        Ok(self.prepared.copy_store(name)?)
    }

    /// Starts a node over the store in `store`, which leaves `reserve` bytes of its disk free;
    /// under `strace`, if there are arguments for it.
    pub(crate) fn start(
        &self,
        store: &Path,
        reserve: Option<u64>,
        strace: Option<Vec<OsString>>,
    ) -> Result<Process, SceneError> {
        let mut node: Vec<OsString> = vec![SYNC_ROLE.into(), "--dir".into()];
        node.extend([self.dir.path().into(), "--store".into(), store.into()]);
        node.extend(["--peer".into(), self.peer.to_string().into()]);
        if let Some(reserve) = reserve {
            node.extend(["--disk-reserve".into(), reserve.to_string().into()]);
        }
        let program = env::current_exe()?;
        Ok(match strace {
            None => Process::run("node", program, node)?,
            Some(strace) => {
                let arguments = strace.into_iter().chain([program.into()]).chain(node);
                Process::run("node", "strace", arguments)?
            }
        })
    }

    /// All blocks above `height`. Unit: bytes.
    pub(crate) fn bytes_above(&self, height: Height) -> u64 {
        let above = self.chain.iter().zip(0_u64..).filter(|(_, at)| *at > height.get());
        above.map(|(block, _)| block.len() as u64).sum()
    }

    /// Whether the store holds the chain, block by block, to its end.
    pub(crate) async fn is_whole_chain(&self, store: &Path) -> Result<bool, SceneError> {
        let (genesis, store, chain) =
            (self.prepared.genesis()?, store.to_owned(), self.chain.clone());
        let compared = tokio::task::spawn_blocking(move || {
            let store = ChainStore::open(&store, &genesis, StoreOptions::default())?;
            Ok::<_, Mismatch>(holds(&store, &chain)?)
        });
        // A store that cannot be read is not the chain.
        Ok(matches!(compared.await, Ok(Ok(true))))
    }
}

/// Why a store could not be compared.
#[derive(Debug, thiserror::Error)]
enum Mismatch {
    #[error("it does not open")]
    Open(#[from] OpenError),
    #[error("it cannot be read")]
    Read(#[from] ChainError),
}

fn holds(store: &ChainStore, chain: &[Bytes]) -> Result<bool, ChainError> {
    let mut at = 0;
    while at < chain.len() {
        let blocks = store.read(Height::new(at as u64), READ_BLOCKS, usize::MAX)?;
        if blocks.is_empty() || chain.get(at..at + blocks.len()) != Some(&blocks) {
            return Ok(false);
        }
        at += blocks.len();
    }
    Ok(store.head().height.get() + 1 == chain.len() as u64)
}
