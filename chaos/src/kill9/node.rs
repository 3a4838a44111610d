//! The node that is killed: it says what it has, what it has acknowledged, and when it is done.

use std::{error::Error, path::Path, sync::Arc, time::Duration};

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

use crate::processes::{
    conversation::{Conversation, say},
    loopback::any_port,
    prepared::Prepared,
};

/// How long the node may take to stop. Unit: time.
const STOPS_WITHIN: Duration = Duration::from_secs(10);

/// What the node says, a line each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Said {
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
    /// It is at the head of the network.
    Synced {
        /// All blocks that it received since it started. Unit: bytes.
        received_bytes: u64,
    },
}

pub(super) async fn play(dir: &Path, store: &Path, peer: Multiaddr) -> Result<(), Box<dyn Error>> {
    let prepared = Prepared::open(dir);
    let (spec, genesis) = (prepared.spec()?, prepared.genesis()?);
    let store = ChainStore::open(store, &genesis, StoreOptions::default())?;
    let head = store.head();
    let mut conversation = Conversation::begin(&Said::Opened { height: head.height })?;
    let options = Libp2pOptions { listen: any_port(), ..Libp2pOptions::default() };
    let mut config = SyncConfig::default();
    config.peers.bootnodes = vec![peer];
    let ports = Ports {
        verifier: Arc::new(Verifier::new(Arc::clone(&spec))),
        spec,
        journal: Arc::new(store.records()?),
        chain: Arc::new(store),
        network: Arc::new(Libp2pStarter::new(options, Keypair::generate_ed25519())),
        compute: Arc::new(RayonCompute::new(0)?),
        entropy: Arc::new(OsEntropy),
        clock: Arc::new(SystemClock::start()),
        resources: Arc::new(SystemResources::new(dir)),
    };
    let node = Node::start(config, ports).await?;
    node.start_sync(None).await?;
    tell(&node, head.height).await?;
    while conversation.asked().await?.is_some() {}
    node.shutdown(STOPS_WITHIN).await?;
    Ok(())
}

async fn tell(node: &Node, mut told: Height) -> Result<(), Box<dyn Error>> {
    let (mut status, mut downloads) = (node.watch(), false);
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
        status.changed().await?;
    }
}
