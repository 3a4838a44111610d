//! The actor: one piece of disk work at a time, on a blocking thread.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use tokio::task::{JoinHandle, spawn_blocking};

use super::{
    Checkpoint, CheckpointKind, CheckpointMsg,
    record::{due, surplus},
};
use crate::{
    config::CheckpointSettings,
    coordinator::CoordinatorHandle,
    ports::{Chain, ChainError, Clock, Journal},
    reputation::StoredPeer,
    types::{BlockRef, Height, PeerId},
};

/// What the checkpoint store needs.
#[derive(Clone)]
pub struct CheckpointArgs {
    /// The operator's choices.
    pub settings: CheckpointSettings,
    /// Where records go.
    pub journal: Arc<dyn Journal>,
    /// Where roots come from.
    pub chain: Arc<dyn Chain>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Who is told of new checkpoints.
    pub coordinator: CoordinatorHandle,
}

/// The journal failed.
#[derive(Debug, thiserror::Error)]
#[error("the journal of checkpoints failed")]
pub struct JournalFailure(#[source] pub ChainError);

/// The actor.
pub struct CheckpointStore;

/// The checkpoint store at work.
pub struct State {
    args: CheckpointArgs,
    /// The highest height a periodic checkpoint was asked for, or any was found at the start.
    asked: Height,
    /// The highest checkpoint that is durable.
    made: Height,
    work: VecDeque<Work>,
    /// The piece of work under way.
    working: Option<JoinHandle<()>>,
}

enum Work {
    Periodic(Height),
    Create(RpcReplyPort<Result<Checkpoint, ChainError>>),
    List(RpcReplyPort<Result<Vec<Checkpoint>, ChainError>>),
    ReadPeers(RpcReplyPort<Result<Vec<StoredPeer>, ChainError>>),
    StorePeers(Vec<StoredPeer>, Vec<PeerId>, RpcReplyPort<Result<(), ChainError>>),
}

impl Actor for CheckpointStore {
    type Msg = CheckpointMsg;
    type State = State;
    type Arguments = CheckpointArgs;

    async fn pre_start(
        &self,
        _: ActorRef<CheckpointMsg>,
        args: CheckpointArgs,
    ) -> Result<State, ActorProcessingErr> {
        let journal = Arc::clone(&args.journal);
        let (checkpoints, damaged) = spawn_blocking(move || journal.checkpoints())
            .await
            .unwrap_or(Err(ChainError::Poisoned))
            .map_err(JournalFailure)?;
        for error in damaged {
            tracing::warn!(%error, "a checkpoint fails its checks and is not used");
        }
        let newest = checkpoints.last().map_or(Height::GENESIS, |newest| newest.height);
        Ok(State { args, asked: newest, made: newest, work: VecDeque::new(), working: None })
    }

    async fn post_start(
        &self,
        _: ActorRef<CheckpointMsg>,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        tell(state);
        Ok(())
    }

    async fn handle(
        &self,
        myself: ActorRef<CheckpointMsg>,
        message: CheckpointMsg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            CheckpointMsg::HeadMoved { head } => {
                if let Some(height) = due(state.asked, head, state.args.settings.interval_blocks) {
                    state.asked = height;
                    state.work.push_back(Work::Periodic(height));
                }
            }
            CheckpointMsg::Create { reply } => state.work.push_back(Work::Create(reply)),
            CheckpointMsg::List { reply } => state.work.push_back(Work::List(reply)),
            CheckpointMsg::ReadPeers { reply } => state.work.push_back(Work::ReadPeers(reply)),
            CheckpointMsg::StorePeers { changed, forgotten, reply } => {
                state.work.push_back(Work::StorePeers(changed, forgotten, reply));
            }
            CheckpointMsg::Vital(vital) => vital.obey().await?,
            CheckpointMsg::Done { made } => {
                state.working = None;
                if let Some(made) = made.map_err(JournalFailure)? {
                    state.made = state.made.max(made.height);
                    tell(state);
                }
            }
        }
        if state.working.is_none()
            && let Some(work) = state.work.pop_front()
        {
            let args = state.args.clone();
            state.working = Some(spawn_blocking(move || {
                // A journal that panics must not leave the work behind it waiting.
                let work = AssertUnwindSafe(|| perform(&args, work));
                let made = catch_unwind(work).unwrap_or(Err(ChainError::Poisoned));
                // Let go before it is told: after the message nobody waits for this thread.
                drop(args);
                // A checkpoint store that is gone left nothing half done: records are whole.
                let _ = myself.cast(CheckpointMsg::Done { made });
            }));
        }
        Ok(())
    }

    async fn post_stop(
        &self,
        _: ActorRef<CheckpointMsg>,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        // What was accepted is done before the journal is let go.
        if let Some(working) = state.working.take() {
            working.await?;
        }
        let (args, work) = (state.args.clone(), std::mem::take(&mut state.work));
        let rest = move || work.into_iter().try_for_each(|work| perform(&args, work).map(|_| ()));
        Ok(spawn_blocking(rest).await?.map_err(JournalFailure)?)
    }
}

fn tell(state: &State) {
    if state.made > Height::GENESIS {
        // A coordinator that is down shows the next one.
        let _ = state.args.coordinator.checkpoint_made(state.made);
    }
}

/// Does one piece of work. A reply goes to who asked; `Err` is what the store cannot go on with.
fn perform(args: &CheckpointArgs, work: Work) -> Result<Option<Checkpoint>, ChainError> {
    match work {
        Work::Periodic(height) => {
            let (kept, _) = args.journal.checkpoints()?;
            if kept.iter().any(|checkpoint| checkpoint.height == height) {
                // Made by hand just before: one of those stays.
                return Ok(None);
            }
            let root = args.chain.link_point(height)?.root;
            let checkpoint = make(args, BlockRef { height, root }, CheckpointKind::Periodic)?;
            let (kept, _) = args.journal.checkpoints()?;
            for height in surplus(&kept, args.settings.kept_max) {
                args.journal.remove_checkpoint(height)?;
            }
            Ok(Some(checkpoint))
        }
        // Who no longer waits for an answer needs none.
        Work::Create(reply) => {
            let made = make(args, args.chain.head(), CheckpointKind::Manual);
            let shown = made.as_ref().ok().cloned();
            let _ = reply.send(made);
            Ok(shown)
        }
        Work::List(reply) => {
            let _ = reply.send(args.journal.checkpoints().map(|(kept, _)| kept));
            Ok(None)
        }
        Work::ReadPeers(reply) => {
            let read = args.journal.peers().map(|(good, bad)| {
                for error in bad {
                    tracing::warn!(%error, "a record of a peer fails its checks and is not used");
                }
                good
            });
            let _ = reply.send(read);
            Ok(None)
        }
        Work::StorePeers(changed, forgotten, reply) => {
            let _ = reply.send(args.journal.store_peers(&changed, &forgotten));
            Ok(None)
        }
    }
}

fn make(
    args: &CheckpointArgs,
    block: BlockRef,
    kind: CheckpointKind,
) -> Result<Checkpoint, ChainError> {
    let made_unix_seconds = args.clock.unix().as_secs();
    let checkpoint = Checkpoint { height: block.height, root: block.root, kind, made_unix_seconds };
    args.journal.put_checkpoint(&checkpoint)?;
    Ok(checkpoint)
}

#[cfg(test)]
#[path = "actor_tests.rs"]
mod tests;
