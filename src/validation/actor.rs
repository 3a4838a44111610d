//! The actor: spreads segments over the workers and hands verdicts back.

use std::{
    any::Any,
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, RpcReplyPort};

use super::{ReplyFault, Urgency, ValidatorMsg, Verdict, verdict::assemble};
use crate::{
    consensus::{VerifiedBlock, Verifier},
    flow::RawSegment,
    ports::Compute,
    wire::block::EncodedBlock,
};

/// Blocks one job verifies. Unit: blocks, about 1 ms each. Too low: the pool spends its time on
/// jobs. Too high: a short segment keeps one worker busy while the others idle.
const JOB_BLOCKS: usize = 4;

/// What the pool needs.
#[derive(Clone)]
pub struct ValidatorArgs {
    /// The rules.
    pub verifier: Arc<Verifier>,
    /// Where the work runs.
    pub compute: Arc<dyn Compute>,
}

/// The actor.
pub struct ValidatorPool;

/// A worker panicked while it verified blocks.
#[derive(Debug, thiserror::Error)]
#[error("a verification worker panicked: {0}")]
pub struct WorkerPanic(String);

/// Jobs handed to the workers at once, for each worker: one at work and one ready. Too low: a
/// worker waits for the actor. Too high: what is urgent waits behind more.
const JOBS_PER_WORKER: usize = 2;

/// A piece of work for one worker.
type Job = Box<dyn FnOnce() + Send>;

/// The pool at work. What waits here is dropped with it, and its callers are told.
pub struct State {
    args: ValidatorArgs,
    urgent: VecDeque<Job>,
    in_turn: VecDeque<Job>,
    running: usize,
}

impl Actor for ValidatorPool {
    type Msg = ValidatorMsg;
    type State = State;
    type Arguments = ValidatorArgs;

    async fn pre_start(
        &self,
        _: ActorRef<ValidatorMsg>,
        args: ValidatorArgs,
    ) -> Result<State, ActorProcessingErr> {
        Ok(State { args, urgent: VecDeque::new(), in_turn: VecDeque::new(), running: 0 })
    }

    async fn handle(
        &self,
        myself: ActorRef<ValidatorMsg>,
        message: ValidatorMsg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            ValidatorMsg::Verify { segment, urgency, reply } => {
                let jobs = jobs(&myself, &state.args.verifier, segment, reply);
                match urgency {
                    Urgency::AtOnce => state.urgent.extend(jobs),
                    Urgency::InTurn => state.in_turn.extend(jobs),
                }
            }
            ValidatorMsg::JobDone => state.running = state.running.saturating_sub(1),
            ValidatorMsg::WorkerPanicked { message } => return Err(WorkerPanic(message).into()),
        }
        while state.running < JOBS_PER_WORKER * state.args.compute.workers()
            && let Some(job) = state.urgent.pop_front().or_else(|| state.in_turn.pop_front())
        {
            state.running += 1;
            state.args.compute.execute(job);
        }
        Ok(())
    }
}

/// A segment under verification. The worker that ends last sends the verdict.
struct Work {
    segment: RawSegment,
    reply: RpcReplyPort<Verdict>,
    results: Vec<Option<Result<VerifiedBlock, ReplyFault>>>,
}

fn jobs(
    pool: &ActorRef<ValidatorMsg>,
    verifier: &Arc<Verifier>,
    segment: RawSegment,
    reply: RpcReplyPort<Verdict>,
) -> Vec<Job> {
    let blocks = segment.blocks.clone();
    let results = blocks.iter().map(|_| None).collect();
    let left = Arc::new(AtomicUsize::new(blocks.len().div_ceil(JOB_BLOCKS)));
    let work = Arc::new(Mutex::new(Some(Work { segment, reply, results })));
    let job = |(index, chunk): (usize, &[Bytes])| {
        let (chunk, verifier) = (chunk.to_vec(), Arc::clone(verifier));
        let (work, left, pool) = (Arc::clone(&work), Arc::clone(&left), pool.get_cell());
        let ticket = Ticket { pool };
        let job: Job = Box::new(move || {
            let done = catch_unwind(AssertUnwindSafe(|| {
                chunk.into_iter().map(|raw| verify_block(&verifier, raw)).collect::<Vec<_>>()
            }));
            if let Err(panic) = &done {
                let message = panic_text(panic.as_ref());
                // A pool that is gone needs no telling.
                let _ = ticket.pool.send_message(ValidatorMsg::WorkerPanicked { message });
            }
            settle(&work, &left, index * JOB_BLOCKS, done.ok());
        });
        job
    };
    blocks.chunks(JOB_BLOCKS).enumerate().map(job).collect()
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

/// Books the results of one job, from the block at `first` on; `None` if it panicked. Dropping
/// the reply port tells the caller then, and the other jobs are in vain.
fn settle(
    work: &Mutex<Option<Work>>,
    left: &AtomicUsize,
    first: usize,
    done: Option<Vec<Result<VerifiedBlock, ReplyFault>>>,
) {
    let mut slot = work.lock().unwrap_or_else(PoisonError::into_inner);
    match (done, slot.as_mut()) {
        (Some(verdicts), Some(work)) => {
            for (result, verdict) in work.results.iter_mut().skip(first).zip(verdicts) {
                *result = Some(verdict);
            }
        }
        (None, _) => *slot = None,
        (Some(_), None) => {}
    }
    if left.fetch_sub(1, Ordering::AcqRel) == 1
        && let Some(work) = slot.take()
    {
        finish(work);
    }
}

fn finish(work: Work) {
    let Work { segment, reply, results } = work;
    let results: Option<Vec<_>> = results.into_iter().collect();
    if let Some(results) = results {
        // The caller may have given up: then the verdict is of no use to anybody.
        let _ = reply.send(assemble(segment, results));
    }
}

fn verify_block(verifier: &Verifier, raw: Bytes) -> Result<VerifiedBlock, ReplyFault> {
    #[cfg(test)]
    tests::panic_where_planted(&raw);
    let block = EncodedBlock::decode(raw).map_err(ReplyFault::Encoding)?;
    verifier.verify(block).map_err(ReplyFault::Block)
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}

#[cfg(test)]
#[path = "actor_tests.rs"]
mod tests;
