//! The node that is measured: it has part of the chain, serves it, and syncs the rest.

use std::{error::Error, fs, sync::Arc, time::Duration};

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
    ports::{OsEntropy, RayonCompute, SystemClock},
    types::{Height, Multiaddr},
    validation::process_cpu,
};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use super::roles::RoleArgs;
use crate::processes::{
    conversation::{Conversation, say},
    loopback::any_port,
    prepared::Prepared,
};

/// How often the node is asked where it listens. Unit: time.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How long the node may take to stop. Unit: time.
const STOPS_WITHIN: Duration = Duration::from_secs(10);

/// What the sync came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct NodeFigures {
    /// From the command to the last import. Unit: seconds.
    pub(super) seconds: f64,
    /// The height that it came to.
    pub(super) height: Height,
    /// CPU time of the process meanwhile, serving included. Unit: seconds; none where the system
    /// does not tell.
    pub(super) cpu_seconds: Option<f64>,
    /// The most memory that the process had since it started. Unit: bytes; as above.
    pub(super) peak_memory_bytes: Option<u64>,
}

pub(super) async fn play(args: &RoleArgs) -> Result<(), Box<dyn Error>> {
    let prepared = Prepared::open(&args.dir);
    let (spec, genesis) = (prepared.spec()?, prepared.genesis()?);
    let dir = args.store.as_deref().ok_or("a node needs --store")?;
    let store = ChainStore::open(dir, &genesis, StoreOptions::default())?;
    let options = Libp2pOptions { listen: any_port(), ..Libp2pOptions::default() };
    let mut config = SyncConfig::default();
    config.peers.bootnodes = args.peer.iter().cloned().collect();
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
    let mut conversation = Conversation::begin(&listening(&node).await)?;
    if conversation.asked().await?.is_some() {
        say(&sync(&node).await?)?;
        while conversation.asked().await?.is_some() {}
    }
    node.shutdown(STOPS_WITHIN).await?;
    Ok(())
}

async fn listening(node: &Node) -> Multiaddr {
    loop {
        // A network that is starting does not answer.
        match node.listening().await.unwrap_or_default().pop() {
            Some(address) => return address,
            None => sleep(LOOK_EVERY).await,
        }
    }
}

async fn sync(node: &Node) -> Result<NodeFigures, Box<dyn Error>> {
    let (begun, cpu_before) = (Instant::now(), process_cpu());
    node.start_sync(None).await?;
    let mut status = node.watch();
    let (mut height, mut last_import) = (node.status().current_height, begun);
    let mut cpu_after = cpu_before;
    loop {
        {
            let status = status.borrow_and_update();
            if status.current_height > height {
                (height, last_import, cpu_after) =
                    (status.current_height, Instant::now(), process_cpu());
            }
            if matches!(status.phase, Phase::Synced { .. }) {
                break;
            }
        }
        status.changed().await?;
    }
    let cpu = cpu_before.zip(cpu_after).map(|(before, after)| after.saturating_sub(before));
    Ok(NodeFigures {
        seconds: last_import.saturating_duration_since(begun).as_secs_f64(),
        height,
        cpu_seconds: cpu.as_ref().map(Duration::as_secs_f64),
        peak_memory_bytes: peak_memory_bytes(),
    })
}

/// Source: proc(5), `VmHWM`.
fn peak_memory_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}
