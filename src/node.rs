//! A syncing node: the tree with its ports, and the handle an embedding program holds.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use supervisors::{
    CallError, ChildView, ReportStream, ShutdownError, StartError, Strike, Supervisor,
    SupervisorExit, SupervisorHandle,
};
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

use crate::{
    checkpoint::{
        CheckedCheckpoint, CheckedJournal, Checkpoint, CheckpointError, RecoverError, Restored,
        RunState, SetBack, SyncProgress,
    },
    config::{ConfigError, SyncConfig},
    consensus::{ChainSpec, Verifier},
    coordinator::{Command, CommandError, Gate, LastLook, SyncStatus},
    flow::{BudgetGauge, ByteBudget},
    ports::{
        Chain, Clock, Compute, Entropy, Journal, Lent, Loan, NetworkStarter, Resources,
        WorkersError,
    },
    reputation::BanStatus,
    resilience::{
        BreakerState, BreakerStatus, BreakerTotals, GuardedSource, NetworkSlot, PeerCaller,
    },
    scheduler::WindowGauge,
    selection::SelectionStrategy,
    tree::{Child, Children, Shared, specification},
    types::{Height, Multiaddr, PeerId},
    validation::{Meter, VerificationGauge},
};

/// What a node needs from the outside.
#[derive(Clone)]
pub struct Ports {
    /// The rules of the chain.
    pub spec: Arc<ChainSpec>,
    /// The same, ready to verify.
    pub verifier: Arc<Verifier>,
    /// The chain.
    pub chain: Arc<dyn Chain>,
    /// Durable checkpoints.
    pub journal: Arc<dyn Journal>,
    /// The network.
    pub network: Arc<dyn NetworkStarter>,
    /// Where CPU work runs.
    pub compute: Arc<dyn Compute>,
    /// Where the weights of signature batches come from.
    pub entropy: Arc<dyn Entropy>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// What the machine has left.
    pub resources: Arc<dyn Resources>,
}

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// A setting cannot work.
    #[error("the configuration cannot work")]
    Config(#[from] ConfigError),
    /// A child did not start.
    #[error("the sync did not start")]
    Start(#[from] StartError),
}

/// Why a node did not stop in order.
#[derive(Debug, thiserror::Error)]
pub enum StopError {
    /// Children did not.
    #[error(transparent)]
    Children(#[from] ShutdownError),
    /// All children have ended, but something on a blocking thread still uses a port, which a disk
    /// that hangs does: what lies behind it cannot be opened again before that ends.
    #[error("the node has stopped, but its {port} is still in use after {waited:?}")]
    StillInUse {
        /// Which port.
        port: &'static str,
        /// How long the stop has taken.
        waited: Duration,
    },
}

/// A running node. Dropping it does not stop it: call [`Node::shutdown`].
pub struct Node {
    tree: SupervisorHandle,
    children: Children,
    status: watch::Receiver<SyncStatus>,
    last_look: LastLook,
    clock: Arc<dyn Clock>,
    budget: ByteBudget,
    network: Arc<dyn NetworkStarter>,
    compute: Arc<dyn Compute>,
    meter: Arc<Meter>,
    caller: PeerCaller,
    /// Kept by those that serve it, and no longer.
    source: Weak<GuardedSource>,
    selection: SelectionStrategy,
    restored: Restored,
    /// Of the chain and the journal.
    loans: [(&'static str, Loan); 2],
}

impl Node {
    /// Starts the tree. The node listens, serves and connects; it syncs once it is told to.
    ///
    /// # Errors
    /// [`NodeError`], with nothing left running.
    pub async fn start(config: SyncConfig, mut ports: Ports) -> Result<Self, NodeError> {
        config.validate()?;
        let head = ports.chain.head();
        let (publish, status) = watch::channel(SyncStatus::at_start(ports.chain.genesis(), head));
        let (chain, chain_loan) = Lent::new(ports.chain);
        let (journal, journal_loan) = Lent::new(ports.journal);
        (ports.chain, ports.journal) = (chain, journal);
        let slot = NetworkSlot::default();
        let caller = PeerCaller::new(
            slot.clone(),
            Arc::clone(&ports.clock),
            config.download.bytes_per_second_max,
            config.seed,
        );
        let source = GuardedSource::new(
            Arc::clone(&ports.chain) as _,
            Arc::clone(&ports.clock),
            config.seed,
        );
        let source = Arc::new(source);
        let (selection, served) = (config.selection.strategy, Arc::downgrade(&source));
        let budget = ByteBudget::new(config.memory_bytes);
        let children = Children::new();
        let network = Arc::clone(&ports.network);
        let compute = Arc::clone(&ports.compute);
        let meter = Arc::<Meter>::default();
        let (clock, last_look) = (Arc::clone(&ports.clock), LastLook::default());
        let shared = Shared {
            config,
            ports,
            budget: budget.clone(),
            meter: Arc::clone(&meter),
            slot,
            caller: caller.clone(),
            source,
            status: publish,
            last_look: last_look.clone(),
            restored: Restored::default(),
        };
        let restored = Arc::clone(&shared.restored);
        let tree = Supervisor::start(specification(shared, &children)).await?;
        let loans = [("chain", chain_loan), ("journal", journal_loan)];
        Ok(Self {
            tree,
            children,
            status,
            last_look,
            clock,
            budget,
            network,
            compute,
            meter,
            caller,
            source: served,
            selection,
            restored,
            loans,
        })
    }

    /// Syncs to `target`, or to the head of the network and stays there.
    ///
    /// # Errors
    /// [`CommandError::Refused`] when it is syncing already.
    pub async fn start_sync(&self, target: Option<Height>) -> Result<(), CommandError> {
        self.children.coordinator().command(Command::Start { target }).await
    }

    /// Does `command`. After [`Command::Stop`] there is a checkpoint of the head, durably.
    ///
    /// # Errors
    /// [`CommandError::Refused`] where it makes no sense now; nothing changed then.
    /// [`CommandError::NoCheckpoint`] where the sync has stopped and the checkpoint failed.
    pub async fn command(&self, command: Command) -> Result<(), CommandError> {
        self.children.coordinator().command(command).await?;
        if command == Command::Stop {
            self.children.checkpoints().sync_stopped().await.map_err(CommandError::NoCheckpoint)?;
        }
        Ok(())
    }

    /// How far the sync was and what it was told to do when the node started, by its newest
    /// checkpoint; none if there was none.
    pub fn restored(&self) -> Option<SyncProgress> {
        self.restored.get().copied().flatten()
    }

    /// Does what the sync was told to do before the node stopped: nothing, to sync to the target it
    /// was given, or to hold on the way there. For embedders whose own commands are not repeated
    /// when the process starts again.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn go_on(&self) -> Result<RunState, CommandError> {
        let Some(progress) = self.restored() else { return Ok(RunState::Idle) };
        let target = progress.target_given.then_some(progress.target_height);
        match progress.run_state {
            RunState::Idle => {}
            RunState::Running => self.start_sync(target).await?,
            RunState::Paused => {
                self.start_sync(target).await?;
                self.command(Command::Pause).await?;
            }
        }
        Ok(progress.run_state)
    }

    /// The latest status. Never waits.
    pub fn status(&self) -> SyncStatus {
        let status = self.status.borrow().clone();
        SyncStatus { production: self.as_of_now(status.production), ..status }
    }

    /// The status as it changes. Its gate is that of then: before producing ask
    /// [`can_produce_blocks`](Self::can_produce_blocks).
    pub fn watch(&self) -> watch::Receiver<SyncStatus> {
        self.status.clone()
    }

    /// Whether the node may produce blocks now, and why not.
    pub fn can_produce_blocks(&self) -> Gate {
        self.as_of_now(self.status.borrow().production)
    }

    /// A coordinator that hangs closes nothing any more.
    fn as_of_now(&self, found: Gate) -> Gate {
        if self.last_look.counts(self.clock.now()) { found } else { Gate::NotFollowing }
    }

    /// Keeps a connection to the peer at `address`.
    ///
    /// # Errors
    /// [`supervisors::SendError`] while the network restarts.
    pub fn peer_discovered(&self, address: Multiaddr) -> Result<(), supervisors::SendError> {
        self.children.network().dial(address)
    }

    /// The addresses peers can dial.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn listening(&self) -> Result<Vec<Multiaddr>, CallError> {
        self.children.network().listening().await
    }

    /// Keeps `peer` out for `length`, or as long as a liar; known or not. Survives a restart.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn ban_peer(
        &self,
        peer: PeerId,
        length: Option<Duration>,
    ) -> Result<Option<BanStatus>, CallError> {
        self.children.reputation().ban(peer, length).await
    }

    /// Lets `peer` in again and forgets its offences; whether it was kept out.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn lift_ban(&self, peer: PeerId) -> Result<bool, CallError> {
        self.children.reputation().lift_ban(peer).await
    }

    /// How it is chosen whom to ask.
    pub fn selection(&self) -> SelectionStrategy {
        self.selection
    }

    /// The breakers of the peers that were asked lately, at most about a thousand.
    pub fn breakers(&self) -> Vec<BreakerStatus> {
        self.caller.breakers()
    }

    /// How often breakers of peers changed since the node started.
    pub fn breaker_totals(&self) -> BreakerTotals {
        self.caller.breaker_totals()
    }

    /// The breaker around what is read from the chain for peers; none once the tree has ended.
    pub fn serving_breaker(&self) -> Option<BreakerState> {
        self.source.upgrade().map(|source| source.breaker())
    }

    /// Makes a checkpoint of the head.
    ///
    /// # Errors
    /// [`CheckpointError`].
    pub async fn create_checkpoint(&self) -> Result<Checkpoint, CheckpointError> {
        self.children.checkpoints().create().await
    }

    /// All checkpoints, in order of height.
    ///
    /// # Errors
    /// [`CheckpointError`].
    pub async fn list_checkpoints(&self) -> Result<Vec<Checkpoint>, CheckpointError> {
        self.children.checkpoints().list().await
    }

    /// All checkpoints, each compared with the chain: its block is read back.
    ///
    /// # Errors
    /// [`CheckpointError`].
    pub async fn check_checkpoints(&self) -> Result<CheckedJournal, CheckpointError> {
        self.children.checkpoints().check().await
    }

    /// Takes in checkpoints that were brought from elsewhere, as claims: see
    /// [`checkpoint::take_in`](crate::checkpoint::take_in).
    ///
    /// # Errors
    /// [`CheckpointError`].
    pub async fn import_checkpoints(
        &self,
        claims: Vec<Checkpoint>,
    ) -> Result<Vec<CheckedCheckpoint>, CheckpointError> {
        self.children.checkpoints().take_in(claims).await
    }

    /// Forgets a checkpoint that was made by hand, and says whether there was one.
    ///
    /// # Errors
    /// [`CheckpointError`].
    pub async fn remove_checkpoint(&self, height: Height) -> Result<bool, CheckpointError> {
        self.children.checkpoints().remove(height).await
    }

    /// Goes back to the checkpoint at `height`: it is compared with the chain, and its block
    /// becomes the head, durably; what is above is forgotten. The sync goes on as it was told and
    /// downloads that again; a failed one tries anew.
    ///
    /// # Errors
    /// [`RecoverError`].
    pub async fn recover_from_checkpoint(&self, height: Height) -> Result<SetBack, RecoverError> {
        let kept = self.list_checkpoints().await?;
        let done = self.children.importer().set_back(height, kept).await?;
        // It was told before us: once it answers, the status is changed. If it restarts, it reads
        // the head.
        let _ = self.children.coordinator().status().await;
        Ok(done)
    }

    /// The figures of the download window.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn window(&self) -> Result<WindowGauge, CallError> {
        self.children.scheduler().gauge().await
    }

    /// The figures of the byte budget.
    pub fn budget(&self) -> BudgetGauge {
        self.budget.gauge()
    }

    /// What verification has done and cost since the node started.
    pub fn verification(&self) -> VerificationGauge {
        self.meter.gauge()
    }

    /// From now on, `workers` threads verify blocks; 0 means one on each core. What is being
    /// verified goes on.
    ///
    /// # Errors
    /// [`WorkersError`]; nothing changed then.
    pub fn set_workers(&self, workers: usize) -> Result<(), WorkersError> {
        self.compute.set_workers(workers)
    }

    /// The children with their incarnations and restarts.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn children(&self) -> Result<Vec<ChildView>, CallError> {
        self.tree.children().await
    }

    /// How often `child` was started.
    pub fn incarnation(&self, child: Child) -> u64 {
        self.children.incarnation(child)
    }

    /// Kills the present incarnation of `child`, for operators and chaos; whether there was one.
    pub fn kill(&self, child: Child) -> bool {
        self.children.kill(child)
    }

    /// Makes a handler of the present incarnation of `child` panic, fail or hang, for chaos;
    /// whether there was one.
    pub fn strike(&self, child: Child, strike: Strike) -> bool {
        self.children.strike(child, strike)
    }

    /// What the supervisor reports.
    pub fn reports(&self) -> ReportStream {
        self.tree.reports()
    }

    /// Waits until the tree has ended, and says why.
    pub async fn ended(&self) -> SupervisorExit {
        self.tree.wait().await
    }

    /// Stops the children in order, and waits until nothing of them uses the ports any more.
    ///
    /// # Errors
    /// [`StopError`] when `deadline` passed; what was left of the tree was killed.
    pub async fn shutdown(&self, deadline: Duration) -> Result<(), StopError> {
        let ends = Instant::now() + deadline;
        self.tree.shutdown(deadline).await?;
        let in_use = |port| StopError::StillInUse { port, waited: deadline };
        timeout_at(ends, self.network.ended()).await.map_err(|_| in_use("network"))?;
        for (port, loan) in &self.loans {
            timeout_at(ends, loan.given_back()).await.map_err(|_| in_use(port))?;
        }
        Ok(())
    }
}
