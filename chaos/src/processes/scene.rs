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
    checkpoint::{CheckpointKind, make},
    consensus::generate::GenerateOptions,
    ports::{BlockSource as _, ChainError},
    types::{Height, Multiaddr},
    wire::chain_file::{ChainFileError, ChainFileReader},
};
use bytes::Bytes;
use clap::ValueEnum as _;
use tempfile::TempDir;

use super::{
    PrepareError, ProcessError, bad_server::Behaviour, prepared::Prepared, process::Process,
    role::SYNC_ROLE,
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
    /// The records of a store are of no use.
    #[error("the records of a store cannot be read or written")]
    Records(#[source] Box<dyn std::error::Error + Send + Sync>),
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
    /// Serves all of them.
    pub(crate) server: Server,
    dir: TempDir,
}

/// A process that serves the chain, or what is to pass for it.
pub(crate) struct Server {
    pub(crate) process: Process,
    pub(crate) address: Multiaddr,
}

impl Server {
    /// How its peers call it.
    pub(crate) fn name(&self) -> String {
        let address = self.address.to_string();
        address.rsplit('/').next().unwrap_or_default().to_owned()
    }

    /// Where it listens, without who it is.
    pub(crate) fn place(&self) -> Multiaddr {
        let address = self.address.to_string();
        let (place, _) = address.rsplit_once("/p2p/").unwrap_or((&address, ""));
        place.parse().expect("an address without its last part is an address")
    }
}

/// How a server is not as others are.
#[derive(Debug, Clone, Default)]
pub(crate) struct ServerOptions {
    /// What it does with what it is asked for.
    pub(crate) behaviour: Behaviour,
    /// Where it listens; none for a free port.
    pub(crate) listen: Option<Multiaddr>,
    /// Which of the identities that are always the same it has; none for a new one.
    pub(crate) identity: Option<u8>,
}

/// How a node is not as others are.
#[derive(Debug, Clone, Default)]
pub(crate) struct NodeOptions {
    /// Whom it syncs from; the scene's server if nobody is named.
    pub(crate) peers: Vec<Multiaddr>,
    /// Where to; none for the head of the network.
    pub(crate) target: Option<Height>,
    /// What all its downloads bring at most. Unit: bytes a second.
    pub(crate) bytes_per_second: Option<u64>,
    /// What it leaves free on its disk. Unit: bytes.
    pub(crate) reserve: Option<u64>,
    /// What its process should use of memory. Unit: bytes.
    pub(crate) memory_max: Option<u64>,
    /// What its process holds of memory besides. Unit: bytes.
    pub(crate) ballast: Option<u64>,
    /// Where it logs warnings.
    pub(crate) log: Option<PathBuf>,
    /// Arguments of `strace`, if it runs under that.
    pub(crate) strace: Option<Vec<OsString>>,
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
        let server = serve(dir.path(), ServerOptions::default()).await?;
        Ok(Self { prepared, chain, server, dir })
    }

    /// Starts a further server.
    pub(crate) async fn serve(&self, options: ServerOptions) -> Result<Server, SceneError> {
        serve(self.dir.path(), options).await
    }

    /// The files that all processes share.
    pub(crate) const fn prepared(&self) -> &Prepared {
        &self.prepared
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
        let journal = store.records().map_err(|error| SceneError::Records(error.into()))?;
        let what = (height, CheckpointKind::Periodic);
        let made = make(&store, &journal, what, Duration::ZERO, None);
        made.map(drop).map_err(|error| SceneError::Records(error.into()))
    }

    /// A store with the blocks that are held, under a name that is free.
    pub(crate) fn new_store(&self, name: &str) -> Result<PathBuf, SceneError> {
        Ok(self.prepared.copy_store(name)?)
    }

    /// Starts a node over the store in `store`.
    pub(crate) fn start(&self, store: &Path, options: NodeOptions) -> Result<Process, SceneError> {
        let mut node: Vec<OsString> = vec![SYNC_ROLE.into(), "--dir".into()];
        node.extend([self.dir.path().into(), "--store".into(), store.into()]);
        let mut add = |name: &str, value: Option<OsString>| {
            node.extend(value.map(|value| [name.into(), value]).into_iter().flatten());
        };
        let NodeOptions { mut peers, .. } = options;
        if peers.is_empty() {
            peers.push(self.server.address.clone());
        }
        for peer in peers {
            add("--peer", Some(peer.to_string().into()));
        }
        let number = |number: Option<u64>| number.map(|number| number.to_string().into());
        add("--target", number(options.target.map(Height::get)));
        add("--bytes-per-second", number(options.bytes_per_second));
        add("--disk-reserve", number(options.reserve));
        add("--memory-max", number(options.memory_max));
        add("--ballast", number(options.ballast));
        add("--log", options.log.map(Into::into));
        let program = env::current_exe()?;
        Ok(match options.strace {
            None => Process::run("node", program, node)?,
            Some(strace) => {
                let arguments = strace.into_iter().chain([program.into()]).chain(node);
                Process::run("node", "strace", arguments)?
            }
        })
    }

    /// How fast a node may download for the whole chain to take it so long. Unit: bytes a second.
    pub(crate) fn bytes_per_second(&self, whole: Duration) -> u64 {
        let bytes = u128::from(self.bytes_above(Height::GENESIS)) * 1_000;
        u64::try_from(bytes / whole.as_millis().max(1)).unwrap_or(u64::MAX)
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

async fn serve(dir: &Path, options: ServerOptions) -> Result<Server, SceneError> {
    let mut arguments: Vec<OsString> = vec![SYNC_ROLE.into(), "--dir".into(), dir.into()];
    if let Some(behaviour) = options.behaviour.to_possible_value() {
        arguments.extend(["--behaviour".into(), behaviour.get_name().into()]);
    }
    if let Some(listen) = options.listen {
        arguments.extend(["--listen".into(), listen.to_string().into()]);
    }
    if let Some(identity) = options.identity {
        arguments.extend(["--identity".into(), identity.to_string().into()]);
    }
    let (process, address) = Process::start("server", arguments).await?;
    Ok(Server { process, address })
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
