//! The supervision tree as one table: who is started in which order, and what follows when one
//! ends.
//!
//! ```text
//! SyncSupervisor
//! ├── ResourceMonitor    memory, disk and queues against their limits
//! ├── CheckpointStore    durable checkpoints, and what is known of peers
//! ├── PeerReputation     who may be asked
//! ├── ValidatorPool      stateless verification on all cores
//! ├── PeerNetwork        connections
//! ├── BlockImporter      the one owner of the chain
//! ├── DownloadScheduler  which range from whom
//! └── SyncCoordinator    phases, target, progress
//! ```
//!
//! Started top to bottom, stopped bottom to top. Each child is restarted by itself: no protocol
//! between them depends on a message that died with one. Whoever starts announces itself, and
//! those it depends on tell it the present state. `limits.rs` has how often, how fast, and when one
//! that hangs is noticed.

mod handover;
mod limits;

use std::{fmt, sync::Arc};

use ractor::Actor;
use supervisors::{
    ChildExit, ChildHandle, ChildSpec, Directive, Strategy, Strike, SupervisorSpec, Vital,
};
use tokio::sync::watch;

use self::{
    handover::Handover,
    limits::{HEARTBEAT, Patience, RESTARTS_MAX, STARTS_WITHIN},
};
use crate::{
    checkpoint::{
        CheckpointArgs, CheckpointHandle, CheckpointMsg, CheckpointStore, JournalFailure, Restored,
    },
    config::SyncConfig,
    coordinator::{
        CoordinatorArgs, CoordinatorHandle, CoordinatorMsg, LastCommand, LastLook, SyncCoordinator,
        SyncStatus,
    },
    flow::ByteBudget,
    importer::{BlockImporter, ImporterArgs, ImporterHandle, ImporterMsg, StoreFailure},
    network::{NetworkArgs, NetworkHandle, NetworkMsg, NetworkOrders, PeerNetworkActor},
    node::Ports,
    reputation::{PeerReputation, ReputationArgs, ReputationHandle, ReputationMsg},
    resilience::{ErrorClass, GuardedSource, NetworkSlot, PeerCaller, Prober, Step},
    resources::{ImportGate, ResourceArgs, ResourceMonitor, ResourceMsg},
    scheduler::{DownloadScheduler, SchedulerArgs, SchedulerHandle, SchedulerMsg},
    validation::{Meter, ValidatorArgs, ValidatorHandle, ValidatorMsg, ValidatorPool},
};

/// The children by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Child {
    /// Memory, disk and queues against their limits.
    ResourceMonitor,
    /// Durable checkpoints.
    CheckpointStore,
    /// Who may be asked.
    PeerReputation,
    /// Stateless verification.
    ValidatorPool,
    /// Connections.
    PeerNetwork,
    /// The owner of the chain.
    BlockImporter,
    /// Which range from whom.
    DownloadScheduler,
    /// Phases, target, progress.
    SyncCoordinator,
}

impl Child {
    /// All of them, in order of start.
    pub const ALL: [Self; 8] = [
        Self::ResourceMonitor,
        Self::CheckpointStore,
        Self::PeerReputation,
        Self::ValidatorPool,
        Self::PeerNetwork,
        Self::BlockImporter,
        Self::DownloadScheduler,
        Self::SyncCoordinator,
    ];

    /// The name, as in reports and logs.
    pub const fn id(self) -> &'static str {
        match self {
            Self::ResourceMonitor => "ResourceMonitor",
            Self::CheckpointStore => "CheckpointStore",
            Self::PeerReputation => "PeerReputation",
            Self::ValidatorPool => "ValidatorPool",
            Self::PeerNetwork => "PeerNetwork",
            Self::BlockImporter => "BlockImporter",
            Self::DownloadScheduler => "DownloadScheduler",
            Self::SyncCoordinator => "SyncCoordinator",
        }
    }
}

impl fmt::Display for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.id())
    }
}

/// The stable addresses of the children.
#[derive(Clone)]
pub(crate) struct Children {
    resources: ChildHandle<ResourceMsg>,
    checkpoint: ChildHandle<CheckpointMsg>,
    reputation: ChildHandle<ReputationMsg>,
    validator: ChildHandle<ValidatorMsg>,
    network: ChildHandle<NetworkMsg>,
    importer: ChildHandle<ImporterMsg>,
    scheduler: ChildHandle<SchedulerMsg>,
    coordinator: ChildHandle<CoordinatorMsg>,
}

impl Children {
    pub(crate) fn new() -> Self {
        Self {
            resources: ChildHandle::new(Child::ResourceMonitor.id()),
            checkpoint: ChildHandle::new(Child::CheckpointStore.id()),
            reputation: ChildHandle::new(Child::PeerReputation.id()),
            validator: ChildHandle::new(Child::ValidatorPool.id()),
            network: ChildHandle::new(Child::PeerNetwork.id()),
            importer: ChildHandle::new(Child::BlockImporter.id()),
            scheduler: ChildHandle::new(Child::DownloadScheduler.id()),
            coordinator: ChildHandle::new(Child::SyncCoordinator.id()),
        }
    }

    pub(crate) fn kill(&self, child: Child) -> bool {
        match child {
            Child::ResourceMonitor => self.resources.kill(),
            Child::CheckpointStore => self.checkpoint.kill(),
            Child::PeerReputation => self.reputation.kill(),
            Child::ValidatorPool => self.validator.kill(),
            Child::PeerNetwork => self.network.kill(),
            Child::BlockImporter => self.importer.kill(),
            Child::DownloadScheduler => self.scheduler.kill(),
            Child::SyncCoordinator => self.coordinator.kill(),
        }
    }

    pub(crate) fn strike(&self, child: Child, strike: Strike) -> bool {
        match child {
            Child::ResourceMonitor => self.resources.strike(strike),
            Child::CheckpointStore => self.checkpoint.strike(strike),
            Child::PeerReputation => self.reputation.strike(strike),
            Child::ValidatorPool => self.validator.strike(strike),
            Child::PeerNetwork => self.network.strike(strike),
            Child::BlockImporter => self.importer.strike(strike),
            Child::DownloadScheduler => self.scheduler.strike(strike),
            Child::SyncCoordinator => self.coordinator.strike(strike),
        }
    }

    pub(crate) fn incarnation(&self, child: Child) -> u64 {
        match child {
            Child::ResourceMonitor => self.resources.incarnation(),
            Child::CheckpointStore => self.checkpoint.incarnation(),
            Child::PeerReputation => self.reputation.incarnation(),
            Child::ValidatorPool => self.validator.incarnation(),
            Child::PeerNetwork => self.network.incarnation(),
            Child::BlockImporter => self.importer.incarnation(),
            Child::DownloadScheduler => self.scheduler.incarnation(),
            Child::SyncCoordinator => self.coordinator.incarnation(),
        }
    }

    pub(crate) fn coordinator(&self) -> CoordinatorHandle {
        CoordinatorHandle::new(self.coordinator.clone())
    }

    pub(crate) fn checkpoints(&self) -> CheckpointHandle {
        CheckpointHandle::new(self.checkpoint.clone())
    }

    pub(crate) fn network(&self) -> NetworkHandle {
        NetworkHandle::new(self.network.clone())
    }

    pub(crate) fn scheduler(&self) -> SchedulerHandle {
        SchedulerHandle::new(self.scheduler.clone())
    }

    pub(crate) fn importer(&self) -> ImporterHandle {
        ImporterHandle::new(self.importer.clone())
    }

    pub(crate) fn reputation(&self) -> ReputationHandle {
        ReputationHandle::new(self.reputation.clone())
    }

    fn validator(&self) -> ValidatorHandle {
        ValidatorHandle::new(self.validator.clone())
    }
}

/// What all incarnations of all children share: it belongs to the process, not to the tree.
pub(crate) struct Shared {
    pub(crate) config: SyncConfig,
    pub(crate) ports: Ports,
    pub(crate) budget: ByteBudget,
    pub(crate) meter: Arc<Meter>,
    /// Where the caller finds the network.
    pub(crate) slot: NetworkSlot,
    pub(crate) caller: PeerCaller,
    /// What is served.
    pub(crate) source: Arc<GuardedSource>,
    pub(crate) status: watch::Sender<SyncStatus>,
    /// When the coordinator looked at the production gate.
    pub(crate) last_look: LastLook,
    /// What the newest checkpoint said when the node started.
    pub(crate) restored: Restored,
}

/// The tree, ready to be started.
pub(crate) fn specification(shared: Shared, children: &Children) -> SupervisorSpec {
    let caller = shared.caller.clone();
    let prober = Prober {
        caller: caller.clone(),
        validator: children.validator(),
        budget: shared.budget.clone(),
        deadline: shared.config.discovery.probe_deadline,
    };
    let gate = ImportGate::default();
    SupervisorSpec::new("SyncSupervisor", Strategy::OneForOne, RESTARTS_MAX)
        .child(resource_monitor(&shared, children, gate.clone()))
        .child(checkpoint_store(&shared, children))
        .child(peer_reputation(&shared, children, &caller, &prober))
        .child(validator_pool(&shared, children))
        .child(peer_network(&shared, children))
        .child(block_importer(&shared, children, gate))
        .child(download_scheduler(&shared, children, caller))
        .child(sync_coordinator(&shared, children, prober))
}

/// A child that is asked whether it hangs, with the patience that the tree has with it.
fn watched<A>(
    child: Child,
    handle: &ChildHandle<A::Msg>,
    factory: impl Fn() -> (A, A::Arguments) + Send + Sync + 'static,
) -> ChildSpec
where
    A: Actor,
    A::Msg: From<Vital>,
{
    let Patience { backoff, intensity } = Patience::with(child);
    ChildSpec::watched(handle, HEARTBEAT, factory)
        .backoff(backoff)
        .intensity(intensity)
        .start_within(STARTS_WITHIN)
}

fn resource_monitor(shared: &Shared, children: &Children, gate: ImportGate) -> ChildSpec {
    let args = ResourceArgs {
        settings: shared.config.resources.clone(),
        budget_max: shared.config.memory_bytes,
        budget: shared.budget.clone(),
        gate,
        resources: Arc::clone(&shared.ports.resources),
        clock: Arc::clone(&shared.ports.clock),
        scheduler: children.scheduler(),
        importer: children.importer(),
        coordinator: children.coordinator(),
    };
    watched(Child::ResourceMonitor, &children.resources, move || (ResourceMonitor, args.clone()))
}

fn checkpoint_store(shared: &Shared, children: &Children) -> ChildSpec {
    let args = CheckpointArgs {
        settings: shared.config.checkpoint.clone(),
        journal: Arc::clone(&shared.ports.journal),
        chain: Arc::clone(&shared.ports.chain),
        clock: Arc::clone(&shared.ports.clock),
        coordinator: children.coordinator(),
        status: shared.status.clone(),
        restored: Arc::clone(&shared.restored),
    };
    let handover = Handover::default();
    let lender = handover.clone();
    let factory = move || {
        let (journal, chain) = (lender.lend(&args.journal), lender.lend(&args.chain));
        (CheckpointStore, CheckpointArgs { journal, chain, ..args.clone() })
    };
    watched(Child::CheckpointStore, &children.checkpoint, factory)
        .ready_when(move || handover.clone().freed())
        .on_exit(never_into_a_broken_store)
}

fn peer_reputation(
    shared: &Shared,
    children: &Children,
    caller: &PeerCaller,
    prober: &Prober,
) -> ChildSpec {
    let args = ReputationArgs {
        settings: shared.config.reputation.clone(),
        chain: Arc::clone(&shared.ports.chain),
        clock: Arc::clone(&shared.ports.clock),
        caller: caller.clone(),
        prober: prober.clone(),
        checkpoints: children.checkpoints(),
        network: children.network(),
        scheduler: children.scheduler(),
        coordinator: children.coordinator(),
    };
    watched(Child::PeerReputation, &children.reputation, move || (PeerReputation, args.clone()))
}

fn validator_pool(shared: &Shared, children: &Children) -> ChildSpec {
    let args = ValidatorArgs {
        verifier: Arc::clone(&shared.ports.verifier),
        compute: Arc::clone(&shared.ports.compute),
        entropy: Arc::clone(&shared.ports.entropy),
        meter: Arc::clone(&shared.meter),
    };
    watched(Child::ValidatorPool, &children.validator, move || (ValidatorPool, args.clone()))
}

fn peer_network(shared: &Shared, children: &Children) -> ChildSpec {
    let args = NetworkArgs {
        starter: Arc::clone(&shared.ports.network),
        source: Arc::clone(&shared.source) as _,
        slot: shared.slot.clone(),
        peers: shared.config.peers.clone(),
        seed: shared.config.seed,
        clock: Arc::clone(&shared.ports.clock),
        reputation: children.reputation(),
        orders: NetworkOrders::default(),
    };
    watched(Child::PeerNetwork, &children.network, move || (PeerNetworkActor, args.clone()))
}

fn block_importer(shared: &Shared, children: &Children, gate: ImportGate) -> ChildSpec {
    let args = ImporterArgs {
        chain: Arc::clone(&shared.ports.chain),
        gate,
        batch_blocks: shared.config.import_batch_blocks,
        scheduler: children.scheduler(),
        coordinator: children.coordinator(),
        checkpoints: children.checkpoints(),
    };
    let handover = Handover::default();
    let lender = handover.clone();
    let factory =
        move || (BlockImporter, ImporterArgs { chain: lender.lend(&args.chain), ..args.clone() });
    watched(Child::BlockImporter, &children.importer, factory)
        .ready_when(move || handover.clone().freed())
        .on_exit(never_into_a_broken_store)
}

fn download_scheduler(shared: &Shared, children: &Children, caller: PeerCaller) -> ChildSpec {
    let args = SchedulerArgs {
        settings: shared.config.download.clone(),
        selection: shared.config.selection,
        seed: shared.config.seed,
        budget: shared.budget.clone(),
        caller,
        clock: Arc::clone(&shared.ports.clock),
        validator: children.validator(),
        importer: children.importer(),
        reputation: children.reputation(),
        coordinator: children.coordinator(),
    };
    watched(Child::DownloadScheduler, &children.scheduler, move || {
        (DownloadScheduler, args.clone())
    })
}

fn sync_coordinator(shared: &Shared, children: &Children, prober: Prober) -> ChildSpec {
    let args = CoordinatorArgs {
        settings: shared.config.discovery.clone(),
        selection: shared.config.selection,
        seed: shared.config.seed,
        spec: Arc::clone(&shared.ports.spec),
        chain: Arc::clone(&shared.ports.chain),
        clock: Arc::clone(&shared.ports.clock),
        prober,
        scheduler: children.scheduler(),
        importer: children.importer(),
        reputation: children.reputation(),
        status: shared.status.clone(),
        last_command: LastCommand::default(),
        last_look: shared.last_look.clone(),
    };
    watched(Child::SyncCoordinator, &children.coordinator, move || (SyncCoordinator, args.clone()))
}

/// A store that failed may hold anything: the tree ends with the reason instead of writing on.
/// Only one that found the chain elsewhere than it thought starts again, at the present head.
fn never_into_a_broken_store(exit: &ChildExit) -> Directive {
    let store = exit.downcast_ref::<StoreFailure>().map(|failure| &failure.0);
    let journal = exit.downcast_ref::<JournalFailure>().map(|failure| &failure.0);
    let class = store.or(journal).map(ErrorClass::of_store);
    match class.and_then(|class| class.steps().first()) {
        Some(Step::Stop) => Directive::Escalate,
        Some(_) | None => Directive::ByRestartKind,
    }
}

#[cfg(test)]
mod tests;
