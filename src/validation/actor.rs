//! The actor: spreads segments over the workers and hands verdicts back.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};

use super::{ReplyFault, ValidatorMsg, Verdict, handle::report_panic, verdict::assemble};
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

impl Actor for ValidatorPool {
    type Msg = ValidatorMsg;
    type State = ValidatorArgs;
    type Arguments = ValidatorArgs;

    async fn pre_start(
        &self,
        _: ActorRef<ValidatorMsg>,
        args: ValidatorArgs,
    ) -> Result<ValidatorArgs, ActorProcessingErr> {
        Ok(args)
    }

    async fn handle(
        &self,
        myself: ActorRef<ValidatorMsg>,
        message: ValidatorMsg,
        state: &mut ValidatorArgs,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            ValidatorMsg::Verify { segment, reply } => verify(&myself, state, segment, reply),
            ValidatorMsg::WorkerPanicked { message } => return Err(WorkerPanic(message).into()),
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

fn verify(
    pool: &ActorRef<ValidatorMsg>,
    args: &ValidatorArgs,
    segment: RawSegment,
    reply: RpcReplyPort<Verdict>,
) {
    let blocks = segment.blocks.clone();
    let results = blocks.iter().map(|_| None).collect();
    let left = Arc::new(AtomicUsize::new(blocks.len().div_ceil(JOB_BLOCKS)));
    let work = Arc::new(Mutex::new(Some(Work { segment, reply, results })));
    for (job, chunk) in blocks.chunks(JOB_BLOCKS).enumerate() {
        let (chunk, verifier) = (chunk.to_vec(), Arc::clone(&args.verifier));
        let (work, left, pool) = (Arc::clone(&work), Arc::clone(&left), pool.get_cell());
        args.compute.execute(Box::new(move || {
            let done = catch_unwind(AssertUnwindSafe(|| {
                chunk.into_iter().map(|raw| verify_block(&verifier, raw)).collect::<Vec<_>>()
            }));
            let mut slot = work.lock().unwrap_or_else(PoisonError::into_inner);
            match done {
                Ok(verdicts) => {
                    let first = job * JOB_BLOCKS;
                    if let Some(work) = slot.as_mut() {
                        for (result, verdict) in work.results.iter_mut().skip(first).zip(verdicts) {
                            *result = Some(verdict);
                        }
                    }
                }
                Err(panic) => {
                    // Dropping the reply port tells the caller; the others' work is in vain.
                    *slot = None;
                    report_panic(&pool, panic_text(panic.as_ref()));
                }
            }
            if left.fetch_sub(1, Ordering::AcqRel) == 1
                && let Some(work) = slot.take()
            {
                finish(work);
            }
        }));
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
