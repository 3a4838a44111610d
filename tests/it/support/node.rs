//! The node under test, with everything real: store on disk, sockets, all cores.

use std::{path::Path, sync::Arc, time::Duration};

use alys_sync::{
    adapters::{
        SystemResources,
        libp2p::{Libp2pOptions, Libp2pStarter, listen_addresses},
        sled::{ChainStore, StoreOptions},
    },
    checkpoint::Recovery,
    config::SyncConfig,
    coordinator::{Phase, SyncStatus},
    node::{Node, Ports},
    ports::{OsEntropy, RayonCompute, SystemClock},
    reputation::PeerState,
    types::Height,
};
use libp2p::identity::Keypair;
use tempfile::TempDir;
use tokio::time::timeout;

use super::{Server, TestChain};

/// Far more than any test needs: a test that hangs ends here.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// Settings for tests: as by default, but quick to give up on silence.
pub fn config(servers: &[&Server]) -> SyncConfig {
    let mut config = SyncConfig::default();
    config.peers.bootnodes = servers.iter().map(|server| server.address.clone()).collect();
    config.peers.redial_first = Duration::from_millis(200);
    config.download.block_deadline = Duration::from_secs(2);
    config.discovery.interval = Duration::from_millis(200);
    config.discovery.probe_deadline = Duration::from_secs(2);
    config.checkpoint.interval_blocks = 1_000;
    // Memory is that of the process, and all tests of this binary are in one.
    config.resources.memory_max_bytes = None;
    config
}

pub struct TestNode {
    pub node: Node,
    pub store: ChainStore,
    /// What was done about a damaged head.
    pub recovery: Option<Recovery>,
    _dir: Option<TempDir>,
}

impl TestNode {
    /// A node with an empty data directory of its own.
    pub async fn fresh(chain: &TestChain, config: SyncConfig) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut node = Self::open(dir.path(), chain, config).await;
        node._dir = Some(dir);
        node
    }

    /// A node over the data directory `dir`.
    pub async fn open(dir: &Path, chain: &TestChain, config: SyncConfig) -> Self {
        let opened = ChainStore::open_recovering(dir, &chain.genesis, StoreOptions::default());
        let (store, recovery) = opened.unwrap();
        let options = Libp2pOptions {
            listen: listen_addresses("127.0.0.1".parse().unwrap(), 0),
            ..Libp2pOptions::default()
        };
        let ports = Ports {
            spec: Arc::clone(&chain.spec),
            verifier: chain.verifier(),
            chain: Arc::new(store.clone()),
            journal: Arc::new(store.records().unwrap()),
            network: Arc::new(Libp2pStarter::new(options, Keypair::generate_ed25519())),
            compute: Arc::new(RayonCompute::new(0).unwrap()),
            entropy: Arc::new(OsEntropy),
            clock: Arc::new(SystemClock::start()),
            resources: Arc::new(SystemResources::new(dir)),
        };
        let node = Node::start(config, ports).await.unwrap();
        Self { node, store, recovery, _dir: None }
    }

    /// Waits until the status is as wanted, and returns it.
    pub async fn until(&self, what: &str, wanted: impl Fn(&SyncStatus) -> bool) -> SyncStatus {
        let mut watch = self.node.watch();
        let found = timeout(DEADLINE, watch.wait_for(|status| wanted(status))).await;
        match found {
            Ok(status) => status.unwrap().clone(),
            Err(_) => panic!(
                "not {what} in {DEADLINE:?}: {:#?}\n{:?}\n{:?}",
                self.node.status(),
                self.node.window().await,
                self.node.budget(),
            ),
        }
    }

    pub async fn until_height(&self, height: u64) -> SyncStatus {
        self.until(&format!("at height {height}"), |status| {
            status.current_height >= Height::new(height)
        })
        .await
    }

    pub async fn until_synced(&self) -> SyncStatus {
        self.until("synced", |status| matches!(status.phase, Phase::Synced { .. })).await
    }

    /// Waits until the peer behind `server` is in the wanted state.
    pub async fn until_state(&self, server: &Server, wanted: impl Fn(&PeerState) -> bool) {
        let peer = server.peer.to_string();
        let is_so = |status: &SyncStatus| {
            status.peers.iter().any(|known| known.peer == peer && wanted(&known.state))
        };
        self.until("a peer in the wanted state", is_so).await;
    }

    /// Waits until the peer behind `server` may be asked.
    pub async fn until_usable(&self, server: &Server) {
        self.until_state(server, |state| *state == PeerState::Usable).await;
    }

    /// Waits until nothing holds memory of the budget; at the head only probes take any, and
    /// give it back at once.
    pub async fn until_budget_is_free(&self) {
        let free = timeout(DEADLINE, async {
            while self.node.budget().used > 0 {
                tokio::task::yield_now().await;
            }
        });
        assert!(free.await.is_ok(), "permits leaked: {:?}", self.node.budget());
    }

    /// Stops the node in order and gives its data directory free. Each child has its own time to
    /// end; all together have far more than they need, as the machine may stand still meanwhile.
    pub async fn stop(self) {
        self.node.shutdown(DEADLINE / 2).await.unwrap();
    }
}
