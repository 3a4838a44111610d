//! The actor: forms batches and hands their jobs to the workers.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef};
use tokio::time::Instant;

use super::{
    ValidatorMsg,
    batcher::Batcher,
    meter::Meter,
    stages::{Job, Stages},
    work::{RawBlock, Work},
};
use crate::{
    consensus::Verifier,
    ports::{Compute, Entropy},
};

/// Jobs handed to the workers at once, for each worker: one at work and one ready. Too low: a
/// worker waits for the actor. Too high: what is urgent waits behind more.
const JOBS_PER_WORKER: usize = 2;

/// What the pool needs.
#[derive(Clone)]
pub struct ValidatorArgs {
    /// The rules.
    pub verifier: Arc<Verifier>,
    /// Where the work runs.
    pub compute: Arc<dyn Compute>,
    /// Where the weights of batches come from.
    pub entropy: Arc<dyn Entropy>,
    /// Counts what is done, over all incarnations.
    pub meter: Arc<Meter>,
}

/// The actor.
pub struct ValidatorPool;

/// A worker panicked while it verified blocks.
#[derive(Debug, thiserror::Error)]
#[error("a verification worker panicked: {0}")]
pub struct WorkerPanic(String);

/// The pool at work. What waits here is dropped with it, and its callers are told.
pub struct State {
    stages: Arc<Stages>,
    batcher: Batcher<RawBlock>,
    /// Jobs of urgent batches, before all others.
    urgent: VecDeque<Job>,
    in_turn: VecDeque<Job>,
    running: usize,
    /// What time is counted from.
    began: Instant,
    /// Whether the pool will be woken when the first waiting block has waited long enough.
    alarm: bool,
}

impl Actor for ValidatorPool {
    type Msg = ValidatorMsg;
    type State = State;
    type Arguments = ValidatorArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<ValidatorMsg>,
        args: ValidatorArgs,
    ) -> Result<State, ActorProcessingErr> {
        let ValidatorArgs { verifier, compute, entropy, meter } = args;
        let pool = myself.get_cell();
        let stages = Arc::new(Stages { verifier, compute, entropy, meter, pool });
        Ok(State {
            stages,
            batcher: Batcher::default(),
            urgent: VecDeque::new(),
            in_turn: VecDeque::new(),
            running: 0,
            began: Instant::now(),
            alarm: false,
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<ValidatorMsg>,
        message: ValidatorMsg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            ValidatorMsg::Verify { segment, urgency, reply } => {
                let blocks = Work::begin(segment, reply);
                state.batcher.push(blocks, urgency, state.began.elapsed());
            }
            ValidatorMsg::JobDone => state.running = state.running.saturating_sub(1),
            ValidatorMsg::Alarm => state.alarm = false,
            ValidatorMsg::Vital(vital) => vital.obey().await?,
            ValidatorMsg::WorkerPanicked { message } => {
                state.hand_over_everything();
                return Err(WorkerPanic(message).into());
            }
        }
        state.hand_out(&myself);
        Ok(())
    }
}

impl State {
    /// Gives the workers as many jobs as they can take, and cuts batches for that.
    fn hand_out(&mut self, myself: &ActorRef<ValidatorMsg>) {
        // One time for both decisions: a block that ripens between them would be neither cut nor
        // waited for, and with idle workers nothing would wake the pool again.
        let now = self.began.elapsed();
        while self.running < JOBS_PER_WORKER * self.stages.compute.workers()
            && let Some(job) = self.next_job(now)
        {
            self.running += 1;
            let ticket = Ticket { pool: myself.get_cell() };
            self.stages.compute.execute(Box::new(move || {
                let _ticket = ticket;
                job();
            }));
        }
        if let Some(wait) = self.batcher.ripens_in(now)
            && !self.alarm
        {
            self.alarm = true;
            // Nobody waits for the timer: an alarm for a pool that is gone is lost with it.
            drop(myself.send_after(wait, || ValidatorMsg::Alarm));
        }
    }

    fn next_job(&mut self, now: Duration) -> Option<Job> {
        if self.urgent.is_empty()
            && let Some(batch) = self.batcher.cut_urgent()
        {
            self.urgent.extend(self.stages.jobs(batch));
        }
        if self.urgent.is_empty() && self.in_turn.is_empty() {
            let batch = self.batcher.cut(now)?;
            self.in_turn.extend(self.stages.jobs(batch));
        }
        self.urgent.pop_front().or_else(|| self.in_turn.pop_front())
    }

    /// Gives the workers everything that waits: they finish it although the pool ends.
    fn hand_over_everything(&mut self) {
        while let Some(batch) = self.batcher.cut_urgent().or_else(|| self.batcher.take()) {
            self.in_turn.extend(self.stages.jobs(batch));
        }
        self.urgent
            .drain(..)
            .chain(self.in_turn.drain(..))
            .for_each(|job| self.stages.compute.execute(job));
    }
}

/// Tells the pool that a job is over, even one that was dropped before it ran.
struct Ticket {
    pool: ActorCell,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        // A pool that is gone has no more jobs to hand out.
        let _ = self.pool.send_message(ValidatorMsg::JobDone);
    }
}

#[cfg(test)]
#[path = "actor_tests.rs"]
pub(super) mod tests;
