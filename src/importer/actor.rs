//! The actor: one transaction of the store at a time, on a blocking thread.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::task::{JoinHandle, spawn_blocking};
use tracing::Instrument as _;

use super::{
    ImporterMsg,
    batch::{Stop, next_batch},
    message::{CommittedBatch, SetBackOrder},
    set_back::set_back,
};
use crate::{
    checkpoint::{CheckpointHandle, SetBack, SetBackRefused},
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
    /// Where an operator wants the chain set back to, in the order of asking.
    orders: VecDeque<SetBackOrder>,
    /// The transaction under way: blocks that are appended, or the chain that is set back.
    writing: Option<JoinHandle<()>>,
    /// Whether it is the chain that is set back.
    setting_back: bool,
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
        Ok(State {
            args,
            tip,
            queue: VecDeque::new(),
            orders: VecDeque::new(),
            writing: None,
            setting_back: false,
        })
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
            ImporterMsg::CoordinatorStarted => tell_head(state),
            ImporterMsg::SetBack { order } => state.orders.push_back(order),
            ImporterMsg::WasSetBack { result, reply } => {
                let answer = was_set_back(state, result)?;
                // Who no longer waits for the answer needs none.
                let _ = reply.send(answer);
            }
            // What waited behind it goes on below.
            ImporterMsg::GateChanged => {}
            ImporterMsg::Vital(vital) => vital.obey().await?,
            ImporterMsg::ReadHead { reply } => {
                // Who no longer waits for the answer needs none.
                let _ = reply.send(state.head());
            }
        }
        if state.writing.is_some() {
            return Ok(());
        }
        // Who no longer waits for it may have decided otherwise.
        state.orders.retain(|order| !order.reply.is_closed());
        // It makes room, so it needs none.
        if let Some(order) = state.orders.pop_front() {
            begin_set_back(&myself, state, order);
        } else if state.args.gate.is_open() {
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
        if let Some(writing) = state.writing.take() {
            writing.await?;
        }
        Ok(())
    }
}

/// A head that others may rely on: waits for a write of an earlier incarnation to end.
async fn read_tip(chain: &Arc<dyn Chain>) -> Result<LinkPoint, StoreFailure> {
    let chain = Arc::clone(chain);
    on_disk(move || chain.tip()).await.map_err(StoreFailure)
}

/// Tells siblings where the chain is. One that is down asks when it is back.
fn announce(state: &State) {
    let _ = state.args.scheduler.importer_started(state.tip.height);
    tell_head(state);
}

/// Tells the coordinator the head. While that is about to move, the end of the write tells it.
fn tell_head(state: &State) {
    if state.writing.is_none() {
        let _ = state.args.coordinator.head_read(state.head());
    } else if state.setting_back {
        let _ = state.args.coordinator.setting_back();
    }
}

/// Sets the chain back. What waited for import was for the chain as it was.
fn begin_set_back(myself: &ActorRef<ImporterMsg>, state: &mut State, order: SetBackOrder) {
    let SetBackOrder { height, kept, reply } = order;
    let (args, myself) = (state.args.clone(), myself.clone());
    let span = tracing::info_span!("set_back", to = %height);
    state.setting_back = true;
    state.writing = Some(tokio::spawn(
        async move {
            // All of the chain is let go before it is told: after the message nobody waits.
            let result = set_back(args, height, kept).await;
            // An importer that died meanwhile is followed by one that reads the head from the
            // store.
            let _ = myself.cast(ImporterMsg::WasSetBack { result, reply });
        }
        .instrument(span),
    ));
}

/// Runs `work` on a blocking thread. A store that panics may have written anything.
pub(super) async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ChainError> + Send + 'static,
) -> Result<T, ChainError> {
    spawn_blocking(work).await.unwrap_or(Err(ChainError::Poisoned))
}

fn was_set_back(
    state: &mut State,
    result: Result<Result<(SetBack, LinkPoint), SetBackRefused>, ChainError>,
) -> Result<Result<SetBack, SetBackRefused>, StoreFailure> {
    (state.writing, state.setting_back) = (None, false);
    match result.map_err(StoreFailure)? {
        Ok((done, tip)) => {
            let SetBack { from, to } = done;
            tracing::warn!(
                %from, %to,
                "the chain was set back to a checkpoint, as it was told: what was above is \
                 downloaded again"
            );
            state.tip = tip;
            state.queue.clear();
            // The scheduler first: it must hear of it before of the coordinator's next window.
            let _ = state.args.scheduler.set_back(to.height);
            let _ = state.args.coordinator.set_back(to);
            let _ = state.args.checkpoints.set_back(to.height);
            Ok(Ok(done))
        }
        Err(refused) => {
            tracing::info!(why = %refused, "the chain was not set back");
            tell_head(state);
            Ok(Err(refused))
        }
    }
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
    state.writing = Some(spawn_blocking(move || {
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
    state.writing = None;
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
