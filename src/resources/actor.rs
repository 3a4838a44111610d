//! The actor: samples in, limits out. It decides nothing.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::task::{JoinSet, spawn_blocking};

use super::{
    ImportGate, Orders, ResourceMsg, ResourceSettings, ResourceWatch, Waiting,
    looks::{LOOK_MAX, Looks, Next},
};
use crate::{
    coordinator::CoordinatorHandle,
    flow::ByteBudget,
    importer::ImporterHandle,
    ports::{Clock, ResourceSample, Resources},
    scheduler::SchedulerHandle,
};

/// How often is looked. Unit: time. Source: an import writes at most about 100 MB a second, a tenth
/// of the default reserve. Too low: idle work. Too high: the reserve is gone before it is noticed.
const TICK: Duration = Duration::from_secs(1);

/// What the resource monitor needs.
#[derive(Clone)]
pub struct ResourceArgs {
    /// The operator's choices.
    pub settings: ResourceSettings,
    /// What downloads may hold when nothing is short. Unit: bytes.
    pub budget_max: u64,
    /// What downloads hold.
    pub budget: ByteBudget,
    /// Whether blocks may be imported.
    pub gate: ImportGate,
    /// Where it looks.
    pub resources: Arc<dyn Resources>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Who knows what waits.
    pub scheduler: SchedulerHandle,
    /// Who knows how far the import is, and goes on when the gate opens.
    pub importer: ImporterHandle,
    /// Who shows what is short.
    pub coordinator: CoordinatorHandle,
}

/// The actor.
pub struct ResourceMonitor;

/// The resource monitor at work.
pub struct State {
    args: ResourceArgs,
    watch: ResourceWatch,
    looks: Looks,
    /// Asks what waits. One at a time; aborted with the monitor.
    asking: JoinSet<()>,
}

impl Actor for ResourceMonitor {
    type Msg = ResourceMsg;
    type State = State;
    type Arguments = ResourceArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<ResourceMsg>,
        args: ResourceArgs,
    ) -> Result<State, ActorProcessingErr> {
        myself.cast(ResourceMsg::Tick)?;
        myself.send_interval(TICK, || ResourceMsg::Tick);
        // What was short when the one before ended may be so still.
        let watch = ResourceWatch::new(args.settings.clone(), args.budget_max)
            .going_on(args.budget.gauge().limit, args.gate.is_open());
        Ok(State { args, watch, looks: Looks::default(), asking: JoinSet::new() })
    }

    async fn handle(
        &self,
        myself: ActorRef<ResourceMsg>,
        message: ResourceMsg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            ResourceMsg::Tick => {
                look(&myself, state);
                ask(myself, state);
            }
            // Before it has looked it knows nothing of the disk.
            ResourceMsg::Waiting { .. } if !state.looks.seen => {}
            ResourceMsg::Waiting { waiting } => {
                let orders = state.watch.look_at_work(state.args.clock.now(), waiting);
                give(&state.args, orders);
            }
            ResourceMsg::Vital(vital) => vital.obey().await?,
            ResourceMsg::Found { found } => take(state, found),
        }
        Ok(())
    }
}

fn look(myself: &ActorRef<ResourceMsg>, state: &mut State) {
    match state.looks.due(state.args.clock.now()) {
        Next::Look => {}
        Next::Wait => return,
        Next::Complain => {
            return complain(&io::Error::other(format!("no answer for {LOOK_MAX:?}")));
        }
    }
    let (resources, myself) = (Arc::clone(&state.args.resources), myself.clone());
    spawn_blocking(move || {
        // One that panics must not leave the monitor waiting.
        let found = catch_unwind(AssertUnwindSafe(|| resources.sample()))
            .unwrap_or_else(|_| Err(io::Error::other("looking at the machine panicked")));
        drop(resources);
        // A monitor that is gone is followed by one that looks itself.
        let _ = myself.cast(ResourceMsg::Found { found });
    });
}

fn ask(myself: ActorRef<ResourceMsg>, state: &mut State) {
    while state.asking.try_join_next().is_some() {}
    if !state.asking.is_empty() {
        return;
    }
    let (scheduler, importer) = (state.args.scheduler.clone(), state.args.importer.clone());
    state.asking.spawn(async move {
        // Nothing changes while one of them does not answer.
        if let (Ok(window), Ok(head)) = tokio::join!(scheduler.gauge(), importer.head()) {
            let blocks = window.verifying_blocks.saturating_add(window.released_blocks);
            let waiting = Waiting { blocks, head: head.height };
            let _ = myself.cast(ResourceMsg::Waiting { waiting });
        }
    });
}

fn take(state: &mut State, found: io::Result<ResourceSample>) {
    let to_be_told = state.looks.over(found.is_ok());
    match found {
        Ok(found) => {
            let orders = state.watch.look(state.args.clock.now(), found);
            give(&state.args, orders);
        }
        Err(error) if to_be_told => complain(&error),
        Err(_) => {}
    }
}

fn complain(error: &io::Error) {
    tracing::warn!(%error, "memory and disk cannot be looked at: limits stay as they are");
}

fn give(args: &ResourceArgs, orders: Orders) {
    let before = args.budget.gauge().limit;
    if before != orders.budget_bytes {
        args.budget.set_limit(orders.budget_bytes);
        let shortage = orders.short_of.first().map(ToString::to_string).unwrap_or_default();
        tracing::info!(
            from = before,
            to = orders.budget_bytes,
            shortage,
            "the byte budget changed"
        );
    }
    if args.gate.set_open(orders.import) {
        match orders.short_of.last() {
            Some(shortage) if !orders.import => tracing::error!(%shortage, "import is held"),
            Some(_) | None => tracing::info!("there is room on the disk again: import goes on"),
        }
        // An importer that is down looks at the gate when it is back.
        let _ = args.importer.gate_changed();
    }
    // A coordinator that is down is told again within a second.
    let _ = args.coordinator.short_of(orders.short_of);
}

#[cfg(test)]
#[path = "actor_tests.rs"]
mod tests;
