//! The actor: one piece of disk work at a time, on a blocking thread.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, OnceLock},
};

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::{
    sync::watch,
    task::{JoinHandle, spawn_blocking},
};

use super::{
    CheckpointKind, CheckpointMsg, Survey, SyncProgress,
    record::due,
    work::{Work, perform},
};
use crate::{
    config::CheckpointSettings,
    coordinator::{CoordinatorHandle, SyncStatus},
    ports::{Chain, ChainError, Clock, Journal},
    types::Height,
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
    /// How far the sync is. The counters of the newest checkpoint go there when the node starts.
    pub status: watch::Sender<SyncStatus>,
    /// What the sync was when the node started, by the newest checkpoint; outlives incarnations.
    pub restored: Restored,
}

/// What the sync was when the node started; none until that is known.
pub(crate) type Restored = Arc<OnceLock<Option<SyncProgress>>>;

/// The journal failed.
#[derive(Debug, thiserror::Error)]
#[error("the journal of checkpoints failed")]
pub struct JournalFailure(#[source] pub ChainError);

/// The actor.
pub struct CheckpointStore;

/// The checkpoint store at work.
pub struct State {
    args: CheckpointArgs,
    /// The highest height a periodic checkpoint was asked for, or one was found at the start.
    asked: Height,
    /// The highest checkpoint that is durable and of the chain; genesis while that is not known.
    made: Height,
    work: VecDeque<Work>,
    /// The piece of work under way.
    working: Option<JoinHandle<()>>,
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
        let (chain, journal) = (Arc::clone(&args.chain), Arc::clone(&args.journal));
        let survey = spawn_blocking(move || Survey::take(&*chain, &*journal))
            .await
            .unwrap_or(Err(ChainError::Poisoned))
            .map_err(JournalFailure)?;
        restore(&args, &survey);
        let newest = |kind: Option<CheckpointKind>| {
            let mut of_kind =
                survey.sound.iter().rev().filter(|found| kind.is_none_or(|k| found.kind == k));
            of_kind.next().map_or(Height::GENESIS, |newest| newest.height)
        };
        let (asked, made) = (newest(Some(CheckpointKind::Periodic)), newest(None));
        Ok(State { args, asked, made, work: VecDeque::new(), working: None })
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
            CheckpointMsg::GiveUpAbove { height, reply } => {
                state.work.push_back(Work::GiveUp(height, reply));
            }
            CheckpointMsg::SetBack { head } => set_back(state, head),
            CheckpointMsg::HeadMoved { head } => {
                // Who was down when the chain was set back has not heard of it.
                let ends = state.args.chain.head().height;
                if ends < state.asked.max(state.made) {
                    set_back(state, ends);
                }
                if let Some(height) = due(state.asked, head, state.args.settings.interval_blocks) {
                    state.asked = height;
                    state.work.push_back(Work::Periodic(height));
                }
            }
            CheckpointMsg::SyncStopped { reply } => {
                state.work.push_back(Work::Stop(Some(reply)));
            }
            CheckpointMsg::Create { reply } => state.work.push_back(Work::Create(reply)),
            CheckpointMsg::List { reply } => state.work.push_back(Work::List(reply)),
            CheckpointMsg::Check { reply } => state.work.push_back(Work::Check(reply)),
            CheckpointMsg::TakeIn { claims, reply } => {
                state.work.push_back(Work::TakeIn(claims, reply));
            }
            CheckpointMsg::Remove { height, reply } => {
                state.work.push_back(Work::Remove(height, reply));
            }
            CheckpointMsg::ReadPeers { reply } => state.work.push_back(Work::ReadPeers(reply)),
            CheckpointMsg::StorePeers { changed, forgotten, reply } => {
                state.work.push_back(Work::StorePeers(changed, forgotten, reply));
            }
            CheckpointMsg::Vital(vital) => vital.obey().await?,
            CheckpointMsg::Done { made } => {
                state.working = None;
                if let Some(made) = made.map_err(JournalFailure)? {
                    // The chain may have been set back since.
                    if made.height <= state.args.chain.head().height {
                        state.made = state.made.max(made.height);
                    }
                    tell(state);
                }
            }
        }
        // Behind a disk that hangs, those who ask in vain ask again.
        state.work.retain(|work| !work.is_abandoned());
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
        let (args, mut work) = (state.args.clone(), std::mem::take(&mut state.work));
        work.push_back(Work::Stop(None));
        let rest = move || work.into_iter().try_for_each(|work| perform(&args, work).map(|_| ()));
        Ok(spawn_blocking(rest).await?.map_err(JournalFailure)?)
    }
}

/// Counts on from where the newest checkpoint was. Only when the node starts: later the status
/// itself is the newest.
fn restore(args: &CheckpointArgs, survey: &Survey) {
    args.restored.get_or_init(|| {
        let head = args.chain.head().height;
        let progress = survey.progress(head);
        if let Some(progress) = progress {
            tracing::info!(
                %head,
                blocks_processed = progress.blocks_processed,
                run_state = ?progress.run_state,
                "going on from the counters of the newest checkpoint"
            );
            args.status.send_modify(|status| {
                status.blocks_processed = progress.blocks_processed;
                status.blocks_failed = progress.blocks_failed;
                status.last_checkpoint = survey.sound.last().map(|newest| newest.height);
            });
        }
        progress
    });
}

/// Takes up that the chain was set back to `head`. Which checkpoint is the newest of it is told
/// once that was looked up.
fn set_back(state: &mut State, head: Height) {
    state.asked = state.asked.min(head);
    state.made = Height::GENESIS;
    state.work.push_back(Work::SetBack);
}

fn tell(state: &State) {
    if state.made > Height::GENESIS {
        // A coordinator that is down shows the next one.
        let _ = state.args.coordinator.checkpoint_made(state.made);
    }
}

#[cfg(test)]
#[path = "actor_tests.rs"]
mod tests;
