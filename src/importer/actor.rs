//! The actor: one transaction of the store at a time, on a blocking thread.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::task::{JoinHandle, spawn_blocking};

use super::{
    ImporterMsg,
    batch::{Stop, next_batch},
    message::CommittedBatch,
};
use crate::{
    checkpoint::CheckpointHandle,
    consensus::LinkPoint,
    coordinator::CoordinatorHandle,
    flow::Segment,
    ports::{Chain, ChainError},
    resources::ImportGate,
    scheduler::SchedulerHandle,
    types::BlockRef,
};

/// What the importer needs.
#[derive(Clone)]
pub struct ImporterArgs {
    /// The store.
    pub chain: Arc<dyn Chain>,
    /// Whether there is room for blocks.
    pub gate: ImportGate,
    /// Most blocks of one transaction.
    pub batch_blocks: usize,
    /// Who is told of progress and refusals.
    pub scheduler: SchedulerHandle,
    /// Who is told of progress.
    pub coordinator: CoordinatorHandle,
    /// Who is told of the head.
    pub checkpoints: CheckpointHandle,
}

/// The store failed. Never restarted into.
#[derive(Debug, thiserror::Error)]
#[error("the chain store failed")]
pub struct StoreFailure(#[source] pub ChainError);

/// The actor.
pub struct BlockImporter;

/// The importer at work.
pub struct State {
    args: ImporterArgs,
    tip: LinkPoint,
    queue: VecDeque<Arc<Segment>>,
    /// The transaction under way.
    commit: Option<JoinHandle<()>>,
}

impl State {
    fn head(&self) -> BlockRef {
        BlockRef { height: self.tip.height, root: self.tip.root }
    }
}

impl Actor for BlockImporter {
    type Msg = ImporterMsg;
    type State = State;
    type Arguments = ImporterArgs;

    async fn pre_start(
        &self,
        _: ActorRef<ImporterMsg>,
        args: ImporterArgs,
    ) -> Result<State, ActorProcessingErr> {
        let tip = read_tip(&args.chain).await?;
        Ok(State { args, tip, queue: VecDeque::new(), commit: None })
    }

    async fn post_start(
        &self,
        _: ActorRef<ImporterMsg>,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        announce(state);
        Ok(())
    }

    async fn handle(
        &self,
        myself: ActorRef<ImporterMsg>,
        message: ImporterMsg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            ImporterMsg::Import { segment } => state.queue.push_back(segment),
            ImporterMsg::Committed { batch, result } => committed(state, *batch, result)?,
            ImporterMsg::SchedulerStarted => {
                state.queue.clear();
                announce(state);
            }
            // What waited behind it goes on below.
            ImporterMsg::GateChanged => {}
            ImporterMsg::Vital(vital) => vital.obey().await?,
            ImporterMsg::ReadHead { reply } => {
                // Who no longer waits for the answer needs none.
                let _ = reply.send(state.head());
            }
        }
        if state.commit.is_none() && state.args.gate.is_open() {
            commit(&myself, state);
        }
        Ok(())
    }

    async fn post_stop(
        &self,
        _: ActorRef<ImporterMsg>,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        // Nobody may use the store once the importer has stopped.
        if let Some(commit) = state.commit.take() {
            commit.await?;
        }
        Ok(())
    }
}

/// A head that others may rely on: waits for a write of an earlier incarnation to end.
async fn read_tip(chain: &Arc<dyn Chain>) -> Result<LinkPoint, StoreFailure> {
    let chain = Arc::clone(chain);
    spawn_blocking(move || chain.tip())
        .await
        .unwrap_or(Err(ChainError::Poisoned))
        .map_err(StoreFailure)
}

/// Tells siblings where the chain is. One that is down asks when it is back.
fn announce(state: &State) {
    let _ = state.args.scheduler.importer_started(state.tip.height);
    let _ = state.args.coordinator.head_read(state.head());
}

fn commit(myself: &ActorRef<ImporterMsg>, state: &mut State) {
    let queued = !state.queue.is_empty();
    let batch = next_batch(&state.tip, &mut state.queue, state.args.batch_blocks);
    let Some(last) = batch.blocks.last() else {
        if queued && batch.stop.is_none() {
            // All of it was imported before: who keeps it for us must hear that it need not.
            let _ = state.args.scheduler.imported(state.tip.height);
        }
        stopped(state, batch.stop);
        return;
    };
    let committed = Box::new(CommittedBatch {
        tip: last.link_point(),
        blocks: batch.blocks.len() as u64,
        bytes: batch.blocks.iter().map(|block| block.raw().len() as u64).sum(),
        stop: batch.stop,
    });
    let (chain, myself) = (Arc::clone(&state.args.chain), myself.clone());
    let blocks = batch.blocks;
    state.commit = Some(spawn_blocking(move || {
        // A store that panics may have written anything, and must not leave the importer waiting.
        let append = AssertUnwindSafe(|| chain.append(&blocks));
        let result = catch_unwind(append).unwrap_or(Err(ChainError::Poisoned));
        // Let go before it is told: after the message nobody waits for this thread.
        drop((chain, blocks));
        // An importer that died meanwhile is followed by one that reads the head from the store.
        let _ = myself.cast(ImporterMsg::Committed { batch: committed, result });
    }));
}

fn committed(
    state: &mut State,
    batch: CommittedBatch,
    result: Result<BlockRef, ChainError>,
) -> Result<(), StoreFailure> {
    state.commit = None;
    match result {
        Ok(head) => {
            state.tip = batch.tip;
            let _ = state.args.scheduler.imported(head.height);
            let _ = state.args.coordinator.imported(head, batch.blocks, batch.bytes);
            let _ = state.args.checkpoints.head_moved(head.height);
            stopped(state, batch.stop);
            Ok(())
        }
        Err(error) => Err(StoreFailure(error)),
    }
}

/// What follows once everything before the stop is imported.
fn stopped(state: &State, stop: Option<Stop>) {
    match stop {
        None => {}
        // A segment was lost on the way here: let the scheduler send from the head again.
        Some(Stop::Gap) => announce(state),
        Some(Stop::Refused(refusal)) => {
            tracing::info!(
                at = %refusal.at, peer = %refusal.origin.peer, fault = %refusal.fault,
                "a block does not continue our chain: asking others"
            );
            let _ = state.args.coordinator.import_refused((*refusal).clone());
            let _ = state.args.scheduler.import_refused(*refusal);
        }
    }
}

#[cfg(test)]
#[path = "actor_tests.rs"]
mod tests;
