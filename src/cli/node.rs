//! A whole node as `run` and `demo` use it: data directory, network, tree and status server put
//! together, watched until its goal is reached, and stopped in order.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use alys_sync::{
    adapters::{
        SystemResources,
        libp2p::{Libp2pOptions, Libp2pStarter, load_or_create},
        sled::ChainStore,
    },
    config::SyncConfig,
    consensus::{ChainSpec, Genesis, Verifier},
    coordinator::{FailureReason, Phase, SyncStatus},
    http::StatusServer,
    node::{Node, NodeError, Ports},
    ports::{BlockSource as _, Chain, OsEntropy, RayonCompute, SystemClock},
    scheduler::WindowGauge,
    types::{BlockRef, Height},
    validation::process_cpu,
};
use libp2p::identity::Keypair;
use supervisors::{Escalation, SupervisorExit};
use tokio::time::timeout;

use super::{
    blocking,
    ending::Ending,
    files::FileWhileRunning,
    input::open_store_recovering,
    peak_memory,
    progress::Progress,
    stop::Stop,
    summary::{Cost, Summary},
};

/// The key of the node, in its data directory.
pub(crate) const NODE_KEY: &str = "node.key";

/// Where the status of the running node is served, in its data directory.
pub(crate) const STATUS_ADDRESS: &str = "status.addr";

/// How long an orderly stop may take. Too low: work under way is repeated by the next run. Too
/// high: an operator waits for a node that hangs.
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// How long the figures of the peers may take to catch up with the imported blocks. Unit: time.
/// Source: they come with the next tick of who counts them, a quarter of a second later at most;
/// the rest is for a machine that stands still. Too low: the shares are those of a moment ago. Too
/// high: the end is late after a restart of who counts, which may have lost the last of them.
const FIGURES_WITHIN: Duration = Duration::from_secs(3);

/// What node to run.
#[derive(Debug, Clone)]
pub(crate) struct NodePlan {
    pub(crate) spec: Arc<ChainSpec>,
    pub(crate) genesis: Genesis,
    pub(crate) data_dir: PathBuf,
    pub(crate) config: SyncConfig,
    pub(crate) network: Libp2pOptions,
    /// Threads that verify; 0 means one for each core.
    pub(crate) workers: usize,
    pub(crate) http: SocketAddr,
}

/// When the work is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Goal {
    /// Never.
    Forever,
    /// At the target, or at the head of the network where none was given.
    Synced,
}

/// How the watch over a node ended.
#[derive(Debug)]
pub(crate) enum Watched {
    /// The goal is reached.
    Reached,
    /// It was asked to stop.
    Stopped,
    /// It cannot go on.
    Failed(NodeFailure),
}

/// Why a node cannot go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NodeFailure {
    #[error("the sync cannot go on")]
    Sync(#[source] FailureReason),
    #[error(
        "no peer served a block: empty replies do not show that the network is at genesis; if it \
         is, say --target 0"
    )]
    NothingServed,
    #[error("the sync has ended")]
    Escalated(#[source] Escalation),
    #[error("the sync has ended without a reason")]
    Lost,
}

/// A node at work.
pub(crate) struct RunningNode {
    node: Arc<Node>,
    store: ChainStore,
    start: BlockRef,
    began: Instant,
    /// CPU time of the process when it began.
    cpu_before: Option<Duration>,
    /// What it cost to the goal, once that is reached.
    cost: Option<Cost>,
    target: Option<Height>,
    synthetic_payloads: bool,
    /// Ends, in this order, before the node does.
    _status_file: FileWhileRunning,
    _status_server: StatusServer,
}

impl RunningNode {
    /// Starts a node that syncs to `target`, or to the head of the network.
    pub(crate) async fn start(plan: NodePlan, target: Option<Height>) -> Result<Self, Ending> {
        Self::start_over(plan, target, |store| Arc::new(store)).await
    }

    /// The same over the chain that `chain_of` makes of its store.
    pub(crate) async fn start_over(
        plan: NodePlan,
        target: Option<Height>,
        chain_of: impl FnOnce(ChainStore) -> Arc<dyn Chain>,
    ) -> Result<Self, Ending> {
        let (dir, genesis) = (plan.data_dir.clone(), plan.genesis.clone());
        let (store, recovery, journal, key) = blocking(move || {
            let (store, recovery) = open_store_recovering(&dir, &genesis)?;
            let journal = store.records().map_err(Ending::failed)?;
            let key = load_or_create(&dir.join(NODE_KEY)).map_err(Ending::bad_input)?;
            Ok((store, recovery, journal, key))
        })
        .await?;
        peak_memory::reset();
        let (began, cpu_before, start) = (Instant::now(), process_cpu(), store.head());
        let seed = seed_of(&key);
        let synthetic_payloads = plan.spec.synthetic_payloads;
        let ports = Ports {
            verifier: Arc::new(Verifier::new(Arc::clone(&plan.spec))),
            spec: plan.spec,
            chain: chain_of(store.clone()),
            journal: Arc::new(journal),
            network: Arc::new(Libp2pStarter::new(plan.network, key)),
            compute: Arc::new(RayonCompute::new(plan.workers).map_err(Ending::failed)?),
            entropy: Arc::new(OsEntropy),
            clock: Arc::new(SystemClock::start()),
            resources: Arc::new(SystemResources::new(&plan.data_dir)),
        };
        let config = SyncConfig { seed, ..plan.config };
        let node = Arc::new(Node::start(config, ports).await.map_err(not_started)?);
        let served =
            StatusServer::start(Arc::clone(&node), synthetic_payloads, recovery, plan.http);
        let status_server = match served.await {
            Ok(server) => server,
            Err(error) => return Err(give_up(&node, Ending::bad_input(error)).await),
        };
        let address = status_server.address().to_string();
        let status_file = match FileWhileRunning::write(plan.data_dir.join(STATUS_ADDRESS), address)
        {
            Ok(file) => file,
            Err(error) => return Err(give_up(&node, Ending::failed(error)).await),
        };
        if let Err(error) = node.start_sync(target).await {
            return Err(give_up(&node, Ending::failed(error)).await);
        }
        Ok(Self {
            node,
            store,
            start,
            began,
            cpu_before,
            cost: None,
            target,
            synthetic_payloads,
            _status_file: status_file,
            _status_server: status_server,
        })
    }

    /// Watches the node until its goal is reached, it cannot go on, or it is asked to stop.
    pub(crate) async fn watch(&mut self, goal: Goal, stop: &Stop, shown: &mut Progress) -> Watched {
        let mut status = self.node.watch();
        loop {
            let now = status.borrow_and_update().clone();
            shown.sync(&now);
            if goal == Goal::Synced
                && let Some(watched) = self.judge(&now)
            {
                self.cost = Some(self.cost_so_far());
                self.figures_of(now.current_height).await;
                return watched;
            }
            tokio::select! {
                changed = status.changed() => if changed.is_err() {
                    return ended(self.node.ended().await);
                },
                exit = self.node.ended() => return ended(exit),
                () = stop.asked() => return Watched::Stopped,
            }
        }
    }

    /// The figures of the download window; `None` while the scheduler does not answer.
    pub(crate) async fn window(&self) -> Option<WindowGauge> {
        self.node.window().await.ok()
    }

    fn cost_so_far(&self) -> Cost {
        let cpu = self.cpu_before.zip(process_cpu());
        Cost {
            took: self.began.elapsed(),
            cpu: cpu.map(|(before, now)| now.saturating_sub(before)),
            verification: self.node.verification(),
        }
    }

    /// Waits a moment until the figures of the peers are those of the blocks up to `height`.
    async fn figures_of(&self, height: Height) {
        let imported = height.blocks_above(self.start.height);
        let mut status = self.node.watch();
        let counted = |status: &SyncStatus| {
            status.peers.iter().map(|peer| peer.blocks).sum::<u64>() >= imported
        };
        // Figures that do not come are shown as they are.
        let _ = timeout(FIGURES_WITHIN, status.wait_for(counted)).await;
    }

    fn judge(&self, now: &SyncStatus) -> Option<Watched> {
        let at_target = self.target.is_some_and(|target| now.current_height >= target);
        match &now.phase {
            // A new network is at genesis, and peers that serve nothing look the same.
            Phase::Synced { head } if *head == Height::GENESIS && !at_target => {
                Some(Watched::Failed(NodeFailure::NothingServed))
            }
            Phase::Synced { .. } => Some(Watched::Reached),
            Phase::Failed { reason, .. } if !at_target => {
                Some(Watched::Failed(NodeFailure::Sync(reason.clone())))
            }
            Phase::Idle
            | Phase::Discovering { .. }
            | Phase::DownloadingBlocks { .. }
            | Phase::CatchingUp { .. }
            | Phase::Failed { .. }
            | Phase::Paused => at_target.then_some(Watched::Reached),
        }
    }

    /// Stops the node in order and tells what it came to.
    pub(crate) async fn stop(self) -> Summary {
        let cost = self.cost.unwrap_or_else(|| self.cost_so_far());
        let children = self.node.children().await;
        let last = self.node.status();
        let synced = matches!(last.phase, Phase::Synced { .. });
        drop((self._status_file, self._status_server));
        shut_down(&self.node).await;
        let mut summary = Summary::new(self.start, self.store.head(), cost, last);
        summary.restarts =
            children.ok().map(|children| children.iter().map(|child| child.restarts).sum());
        summary.synced = synced;
        summary.synthetic_payloads = self.synthetic_payloads;
        summary
    }
}

fn ended(exit: SupervisorExit) -> Watched {
    Watched::Failed(match exit {
        SupervisorExit::Escalated(escalation) => NodeFailure::Escalated(escalation),
        SupervisorExit::Shutdown | SupervisorExit::Lost => NodeFailure::Lost,
    })
}

fn not_started(error: NodeError) -> Ending {
    match error {
        NodeError::Config(_) => Ending::bad_input(error),
        NodeError::Start(_) => Ending::failed(error),
    }
}

/// Chance that differs from node to node, and is the same for a node each time: its identity.
pub(super) fn seed_of(key: &Keypair) -> u64 {
    let mut seed = [0; 8];
    let identity = key.public().to_peer_id().to_bytes();
    seed.iter_mut().zip(identity.iter().rev()).for_each(|(byte, part)| *byte = *part);
    u64::from_le_bytes(seed)
}

async fn give_up(node: &Node, ending: Ending) -> Ending {
    shut_down(node).await;
    ending
}

async fn shut_down(node: &Node) {
    if let Err(error) = node.shutdown(STOP_WITHIN).await {
        tracing::warn!(%error, "the stop was not orderly; what is durable stays durable");
    }
}
