//! The old algorithm: what today's node does to sync, with our wire client in its loop.
//!
//! It asks one peer for the 1,024 blocks after its head, takes them in one by one in the order they
//! come, and asks for the next when all of them are in. Fewer than it asked for are the end to it.
//! Its network task decodes what arrives while its sync task verifies: so here.

use std::{fs, path::Path, sync::Arc, time::Duration};

use alys_sync::{
    adapters::{
        libp2p::{Keypair, Libp2pOptions, Libp2pStarter},
        memory::MemoryChain,
    },
    ports::{NetworkEvent, NetworkEvents, NetworkStarter as _, RequestError, SystemClock},
    resilience::{NetworkSlot, PeerCaller, RangeCall},
    types::{HeightRange, Multiaddr, PeerId},
    validation::process_cpu,
};
use tokio::{
    sync::mpsc,
    task::{JoinError, block_in_place},
    time::Instant,
};

use super::{
    chains::{BenchChain, unless_stopped},
    old_execution::{ExecutionClient, ExecutionError},
    old_import::{DecodedBlock, OldImportError, OldImporter},
    old_store::OldStore,
};
use crate::cli::{Context, Ending};

/// Asked for at once. Unit: blocks. Source: today's node.
const REQUEST_BLOCKS: u64 = 1024;

/// How long the next block of a reply may take. Source: today's node. Other values: as it, only
/// that it tells nobody.
const BLOCK_DEADLINE: Duration = Duration::from_secs(180);

/// Decoded blocks between its network task and its sync task. Unit: blocks. Source: today's node.
const DECODED_MAX: usize = 1024;

/// Reports of the network that wait. Unit: reports. One peer makes a few.
const REPORTS_MAX: usize = 64;

/// What the old algorithm came to.
#[derive(Debug, Clone, Copy)]
pub(super) struct OldRun {
    /// From before it dials to the last block.
    pub(super) took: Duration,
    /// CPU time of this process meanwhile. `None` where the system does not tell.
    pub(super) cpu_seconds: Option<f64>,
}

/// Why it did not sync.
#[derive(Debug, thiserror::Error)]
enum OldSyncError {
    #[error("the old algorithm's request failed")]
    Request(#[from] RequestError),
    #[error(transparent)]
    Import(#[from] OldImportError),
    #[error(transparent)]
    Execution(#[from] ExecutionError),
    #[error("the old algorithm did not connect: {0}")]
    NotConnected(String),
    #[error("the network task of the old algorithm ended early")]
    Task(#[from] JoinError),
    #[error("the old algorithm ended at block {found} of {wanted}")]
    EndedEarly { found: u64, wanted: u64 },
}

/// The parts that take in blocks.
struct OldNode {
    importer: OldImporter,
    execution: Option<ExecutionClient>,
}

struct Reports(mpsc::Sender<NetworkEvent>);

impl NetworkEvents for Reports {
    fn on_event(&self, event: NetworkEvent) {
        // Only the first connection is waited for.
        let _ = self.0.try_send(event);
    }
}

/// Syncs `chain` from the peer at `server`. The store is in a file of `dir` that is removed again.
/// `executes` says whether it asks an execution client about each block, as today's node must.
pub(super) async fn sync(
    chain: &BenchChain,
    server: &Multiaddr,
    executes: bool,
    dir: &Path,
    context: &Context,
) -> Result<OldRun, Ending> {
    let path = dir.join("old-blocks");
    let store = OldStore::create(&path).map_err(Ending::failed)?;
    let (spec, genesis) = (Arc::clone(&chain.prepared.spec), &chain.prepared.genesis);
    let importer = OldImporter::new(spec, genesis, store).map_err(Ending::failed)?;
    let execution =
        if executes { Some(ExecutionClient::start().await.map_err(Ending::failed)?) } else { None };
    let mut node = OldNode { importer, execution };
    let (began, cpu_before) = (Instant::now(), process_cpu());
    unless_stopped(context, async {
        sync_all(chain, server, &mut node).await.map_err(Ending::failed)
    })
    .await?;
    let (took, cpu_after) = (began.elapsed(), process_cpu());
    fs::remove_file(&path).map_err(Ending::failed)?;
    let (found, wanted) = (node.importer.head().get(), chain.blocks());
    if found != wanted {
        return Err(Ending::failed(OldSyncError::EndedEarly { found, wanted }));
    }
    let cpu = cpu_before.zip(cpu_after).map(|(before, after)| after.saturating_sub(before));
    Ok(OldRun { took, cpu_seconds: cpu.map(|cpu| cpu.as_secs_f64()) })
}

async fn sync_all(
    chain: &BenchChain,
    server: &Multiaddr,
    node: &mut OldNode,
) -> Result<(), OldSyncError> {
    let starter = Libp2pStarter::new(Libp2pOptions::default(), Keypair::generate_ed25519());
    let (report, mut reports) = mpsc::channel(REPORTS_MAX);
    let source = Arc::new(MemoryChain::new(&chain.prepared.genesis));
    let not_connected = |reason: String| OldSyncError::NotConnected(reason);
    let network = starter.start(source, Arc::new(Reports(report))).await;
    // Dropping the network ends it.
    let network = network.map_err(|error| not_connected(error.to_string()))?;
    let slot = NetworkSlot::default();
    slot.publish(&network);
    let caller = PeerCaller::outside_a_node(slot, Arc::new(SystemClock::start()));
    network.dial(vec![server.clone()]);
    let peer = loop {
        match reports.recv().await {
            Some(NetworkEvent::Connected { peer, .. }) => break peer,
            Some(NetworkEvent::DialFailed { reason, .. } | NetworkEvent::Stopped { reason }) => {
                return Err(not_connected(reason));
            }
            Some(
                NetworkEvent::Listening { .. }
                | NetworkEvent::Disconnected { .. }
                | NetworkEvent::Moved { .. }
                | NetworkEvent::Discovered { .. }
                | NetworkEvent::Expired { .. }
                | NetworkEvent::Misused { .. },
            ) => {}
            None => return Err(not_connected("the network has ended".to_owned())),
        }
    };
    while request(&caller, peer, node).await? == REQUEST_BLOCKS {}
    Ok(())
}

/// Asks for what follows the head and takes it in; how many blocks that was.
async fn request(
    caller: &PeerCaller,
    peer: PeerId,
    node: &mut OldNode,
) -> Result<u64, OldSyncError> {
    let Some(range) = HeightRange::new(node.importer.head().saturating_add(1), REQUEST_BLOCKS)
    else {
        return Ok(0);
    };
    let reply = caller.range(peer, range, BLOCK_DEADLINE).await?;
    let (decoded, mut blocks) = mpsc::channel(DECODED_MAX);
    let reading = tokio::spawn(decode_all(reply, decoded));
    let mut count = 0;
    while let Some(block) = blocks.recv().await {
        // As long as the old node's sync task is busy with a block, it does nothing else.
        let root = block_in_place(|| node.importer.check(&block))?;
        if let Some(execution) = &mut node.execution {
            execution.take_in(block.payload()).await?;
        }
        block_in_place(|| node.importer.keep(root, &block))?;
        count += 1;
    }
    reading.await?.map(|()| count)
}

async fn decode_all(
    mut reply: RangeCall,
    decoded: mpsc::Sender<DecodedBlock>,
) -> Result<(), OldSyncError> {
    while let Some(raw) = reply.next().await {
        if decoded.send(DecodedBlock::decode(&raw?)?).await.is_err() {
            break;
        }
    }
    Ok(())
}
