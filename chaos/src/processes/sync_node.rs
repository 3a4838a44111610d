//! A node as its own process: it says what it has, what it has acknowledged, what it is short of,
//! and when it is done.

use std::{error::Error, path::PathBuf, sync::Arc, time::Duration};

use alys_sync::{
    adapters::{
        SystemResources,
        libp2p::{Keypair, Libp2pOptions, Libp2pStarter},
        sled::{ChainStore, StoreOptions},
    },
    config::SyncConfig,
    consensus::Verifier,
    coordinator::Phase,
    node::{Node, Ports},
    ports::{BlockSource as _, OsEntropy, RayonCompute, SystemClock},
    types::{Height, Multiaddr},
};
use serde::{Deserialize, Serialize};
use supervisors::SupervisorExit;

use super::{
    conversation::{Conversation, say},
    loopback::any_port,
    prepared::Prepared,
    server,
};

/// How long the node may take to stop. Unit: time.
const STOPS_WITHIN: Duration = Duration::from_secs(10);

/// What the node says, a line each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Said {
    /// Its store is open.
    Opened {
        /// The head.
        height: Height,
    },
    /// It knows where the network is, and downloads what it lacks.
    Downloads,
    /// Blocks up to this one are imported, which is a promise.
    Imported {
        /// The head.
        height: Height,
    },
    /// What it is short of has changed.
    Short {
        /// What, in the words of the status; nothing if it is short of nothing.
        of: Vec<String>,
    },
    /// It takes its own link for cut.
    LinkCut {
        /// In the words of the status.
        told: String,
    },
    /// The sync has ended by itself, or never began.
    Ended {
        /// Why.
        why: String,
    },
    /// It is at the head of the network.
    Synced {
        /// All blocks that it received since it started. Unit: bytes.
        received_bytes: u64,
    },
}

/// The command that plays this.
pub(super) const SYNC_ROLE: &str = "sync-role";

/// A process of a run, as it is started.
#[derive(Debug, Clone, clap::Args)]
pub struct SyncRoleArgs {
    /// Where the files are
    #[arg(long)]
    dir: PathBuf,
    /// The node's store; without it, this is the server
    #[arg(long, requires = "peer")]
    store: Option<PathBuf>,
    /// Whom the node syncs from
    #[arg(long)]
    peer: Option<Multiaddr>,
    /// What the node leaves free on the disk, in bytes
    #[arg(long)]
    disk_reserve: Option<u64>,
}

/// Plays the server or the node, until standard input ends.
///
/// # Errors
/// Whatever keeps the process from playing it.
pub fn play(args: SyncRoleArgs) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let played = runtime.block_on(async {
        match args.store.clone().zip(args.peer.clone()) {
            Some((store, peer)) => sync(args, store, peer).await,
            None => server::play(&args.dir).await,
        }
    });
    // A thread that waits for standard input cannot be waited for.
    runtime.shutdown_background();
    played
}

async fn sync(args: SyncRoleArgs, dir: PathBuf, peer: Multiaddr) -> Result<(), Box<dyn Error>> {
    let prepared = Prepared::open(&args.dir);
    let (spec, genesis) = (prepared.spec()?, prepared.genesis()?);
    let opened = ChainStore::open_recovering(&dir, &genesis, StoreOptions::default());
    let store = match opened {
        Ok((store, _)) => store,
        Err(error) => return Ok(say(&Said::Ended { why: in_full(&error) })?),
    };
    let head = store.head();
    let mut conversation = Conversation::begin(&Said::Opened { height: head.height })?;
    let options = Libp2pOptions { listen: any_port(), ..Libp2pOptions::default() };
    let mut config = SyncConfig::default();
    config.peers.bootnodes = vec![peer];
    if let Some(reserve) = args.disk_reserve {
        config.resources.disk_reserve_bytes = reserve;
    }
    let ports = Ports {
        verifier: Arc::new(Verifier::new(Arc::clone(&spec))),
        spec,
        journal: Arc::new(store.records()?),
        chain: Arc::new(store),
        network: Arc::new(Libp2pStarter::new(options, Keypair::generate_ed25519())),
        compute: Arc::new(RayonCompute::new(0)?),
        entropy: Arc::new(OsEntropy),
        clock: Arc::new(SystemClock::start()),
        resources: Arc::new(SystemResources::new(&dir)),
    };
    let node = Node::start(config, ports).await?;
    node.start_sync(None).await?;
    tokio::select! {
        told = tell(&node, head.height) => told?,
        exit = node.ended() => say(&Said::Ended { why: reason(exit) })?,
    }
    while conversation.asked().await?.is_some() {}
    node.shutdown(STOPS_WITHIN).await?;
    Ok(())
}

/// Why the tree has ended.
fn reason(exit: SupervisorExit) -> String {
    match exit {
        SupervisorExit::Escalated(escalation) => in_full(&escalation),
        SupervisorExit::Shutdown | SupervisorExit::Lost => format!("{exit:?}"),
    }
}

fn in_full(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

async fn tell(node: &Node, mut told: Height) -> Result<(), Box<dyn Error>> {
    let (mut status, mut downloads, mut cut) = (node.watch(), false, false);
    let mut short_of = Vec::new();
    loop {
        let now = status.borrow_and_update().clone();
        let has_target = match now.phase {
            Phase::DownloadingBlocks { .. } | Phase::CatchingUp { .. } | Phase::Synced { .. } => {
                true
            }
            Phase::Idle | Phase::Discovering { .. } | Phase::Failed { .. } | Phase::Paused => false,
        };
        if has_target && !downloads {
            downloads = true;
            say(&Said::Downloads)?;
        }
        if let Some(link) = now.link_cut.filter(|_| !cut) {
            cut = true;
            say(&Said::LinkCut { told: link.to_string() })?;
        }
        let short: Vec<_> = now.short_of.iter().map(ToString::to_string).collect();
        if short != short_of {
            short_of.clone_from(&short);
            say(&Said::Short { of: short })?;
        }
        if now.current_height > told {
            told = now.current_height;
            say(&Said::Imported { height: told })?;
        }
        if matches!(now.phase, Phase::Synced { .. }) {
            let window = node.window().await?;
            return Ok(say(&Said::Synced {
                received_bytes: window.used_bytes + window.unused_bytes,
            })?);
        }
        if status.changed().await.is_err() {
            // The tree has ended, which is said elsewhere.
            std::future::pending().await
        }
    }
}
