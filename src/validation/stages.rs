//! What the workers do: a batch from its raw blocks to their results.
//!
//! 1. Claiming: each block is read, and its signature made ready. Spread over the workers, a few
//!    blocks a job.
//! 2. Attesting: all signatures of the batch at once, by the worker that ends stage 1.
//! 3. Content: slot rule and execution hash. Spread again, unless it is next to nothing.
//!
//! A panic fails the segment of the block at which it happened, no other. One that no block stands
//! for loses what its job held. Neither leaves the job: rayon would end the process.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use ractor::ActorCell;

use super::{
    ReplyFault, ValidatorMsg,
    meter::{Meter, Step},
    work::{Place, RawBlock},
};
use crate::{
    consensus::{AttestedBlock, BlockFault, ClaimedBlock, VerifiedBlock, Verifier, attest},
    ports::{Compute, Entropy, EntropyError, RandomWeights},
    wire::block::EncodedBlock,
};

/// Blocks of one job. Unit: blocks, 0.2 ms each. Too low: the pool spends its time on jobs. Too
/// high: a short segment keeps one worker busy while the others idle, and urgent blocks wait.
pub(super) const JOB_BLOCKS: usize = 4;

/// A piece of work for one worker.
pub(super) type Job = Box<dyn FnOnce() + Send>;

/// What all jobs share.
pub(super) struct Stages {
    pub(super) verifier: Arc<Verifier>,
    pub(super) compute: Arc<dyn Compute>,
    pub(super) entropy: Arc<dyn Entropy>,
    pub(super) meter: Arc<Meter>,
    pub(super) pool: ActorCell,
}

/// A batch in stage 1. If a job of it is lost, the last of the others drops it, and with it all
/// that its callers wait for: they are told.
struct Batch {
    /// With their position in the batch, as they are done.
    claimed: Mutex<Vec<(usize, Place, ClaimedBlock)>>,
    jobs_left: AtomicUsize,
}

impl Stages {
    /// The jobs of a batch.
    pub(super) fn jobs(self: &Arc<Self>, blocks: Vec<RawBlock>) -> Vec<Job> {
        let chunks = chunked(blocks.into_iter().enumerate());
        let batch = Arc::new(Batch {
            claimed: Mutex::new(Vec::new()),
            jobs_left: AtomicUsize::new(chunks.len()),
        });
        let job = |chunk: Vec<(usize, RawBlock)>| {
            let (stages, batch) = (Arc::clone(self), Arc::clone(&batch));
            let job: Job = Box::new(move || stages.contained(|| stages.claim(&batch, chunk)));
            job
        };
        chunks.into_iter().map(job).collect()
    }

    /// Stage 1 for some blocks, and what follows if they are the last.
    fn claim(self: &Arc<Self>, batch: &Batch, chunk: Vec<(usize, RawBlock)>) {
        let wanted = chunk.into_iter().filter(|(_, block)| block.place.is_wanted());
        let read: Vec<_> = self.meter.measure(Step::Scan, || {
            wanted.filter_map(|(at, block)| Some((at, self.read(block)?))).collect()
        });
        let claimed: Vec<_> = self.meter.measure(Step::Signature, || {
            let claim = |(at, (place, block))| {
                let result = self.guarded(&place, || self.verifier.claim(block))?;
                settle_fault(place, result).map(|(place, block)| (at, place, block))
            };
            read.into_iter().filter_map(claim).collect()
        });
        let mut all = batch.claimed.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend(claimed);
        if batch.jobs_left.fetch_sub(1, Ordering::AcqRel) == 1 {
            let blocks = std::mem::take(&mut *all);
            drop(all);
            self.attest(blocks);
        }
    }

    fn read(&self, RawBlock { raw, place }: RawBlock) -> Option<(Place, EncodedBlock)> {
        let read = || {
            #[cfg(test)]
            super::actor::tests::panic_where_planted(&raw);
            EncodedBlock::decode(raw)
        };
        match self.guarded(&place, read)? {
            Ok(block) => Some((place, block)),
            Err(error) => {
                place.settle(Err(ReplyFault::Encoding(error)));
                None
            }
        }
    }

    /// Stage 2.
    fn attest(self: &Arc<Self>, mut blocks: Vec<(usize, Place, ClaimedBlock)>) {
        // Neighbours come from one peer, and a search is quicker if invalid ones are neighbours.
        blocks.sort_unstable_by_key(|(at, _, _)| *at);
        blocks.retain(|(_, place, _)| place.is_wanted());
        let (places, blocks): (Vec<_>, Vec<_>) =
            blocks.into_iter().map(|(_, place, block)| (place, block)).unzip();
        if blocks.is_empty() {
            return;
        }
        let results = self.meter.measure(Step::Signature, || self.attest_together(&blocks));
        let results = match results {
            Some(results) => places.into_iter().zip(results).collect(),
            None => self.attest_alone(places, blocks),
        };
        let attested: Vec<_> =
            results.into_iter().filter_map(|(place, result)| settle_fault(place, result)).collect();
        self.content(attested);
    }

    /// The verdicts of the batch. `None` without entropy, and if it panicked.
    fn attest_together(
        &self,
        blocks: &[ClaimedBlock],
    ) -> Option<Vec<Result<AttestedBlock, BlockFault>>> {
        let together = || {
            let seed = self.entropy.seed()?;
            Ok::<_, EntropyError>(attest(blocks, &mut RandomWeights::new(seed)))
        };
        let (results, group_checks) = match catch_unwind(AssertUnwindSafe(together)) {
            Ok(Ok(checked)) => checked,
            Ok(Err(error)) => {
                tracing::warn!(%error, "signatures are checked one by one, at a fifth of speed");
                return None;
            }
            Err(panic) => {
                let panic = panic_text(panic.as_ref());
                tracing::error!(%panic, "a batch panicked: its signatures are checked one by one");
                return None;
            }
        };
        self.meter.batch(blocks.len(), group_checks);
        Some(results)
    }

    /// The verdicts one by one, so that a block at which the check panics stands alone.
    fn attest_alone(
        &self,
        places: Vec<Place>,
        blocks: Vec<ClaimedBlock>,
    ) -> Vec<(Place, Result<AttestedBlock, BlockFault>)> {
        let alone = |(place, block): (Place, ClaimedBlock)| {
            let result = self
                .guarded(&place, || self.meter.measure(Step::Signature, || block.attest_alone()))?;
            self.meter.batch(1, 1);
            Some((place, result))
        };
        places.into_iter().zip(blocks).filter_map(alone).collect()
    }

    /// Stage 3, here or in jobs of its own.
    fn content(self: &Arc<Self>, blocks: Vec<(Place, AttestedBlock)>) {
        if blocks.len() <= JOB_BLOCKS || self.verifier.spec().synthetic_payloads {
            return self.check_content(blocks);
        }
        // Not through the pool: what is so far done must not be lost if the pool ends now. It is
        // bounded all the same, by the size of a batch for each worker.
        for chunk in chunked(blocks.into_iter()) {
            let stages = Arc::clone(self);
            let job = move || stages.contained(|| stages.check_content(chunk));
            self.compute.execute(Box::new(job));
        }
    }

    fn check_content(&self, blocks: Vec<(Place, AttestedBlock)>) {
        let wanted = blocks.into_iter().filter(|(place, _)| place.is_wanted());
        let checked: Vec<_> = self.meter.measure(Step::Content, || {
            let check = |(place, block): (Place, AttestedBlock)| {
                let result = self.guarded(&place, || self.verifier.check_content(block))?;
                Some((place, result))
            };
            wanted.filter_map(check).collect()
        });
        for (place, result) in checked {
            let result: Result<VerifiedBlock, _> = result.map_err(ReplyFault::Block);
            place.settle(result);
        }
    }

    /// Does `work` on the block at `place`. A panic fails its segment and is told to the pool.
    fn guarded<T>(&self, place: &Place, work: impl FnOnce() -> T) -> Option<T> {
        match catch_unwind(AssertUnwindSafe(work)) {
            Ok(result) => Some(result),
            Err(panic) => {
                place.clone().fail();
                self.tell(panic.as_ref());
                None
            }
        }
    }

    /// Does a whole job. A panic outside [`Self::guarded`] drops the blocks that the job held, and
    /// so tells their callers; the pool is told too.
    fn contained(&self, job: impl FnOnce()) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(job)) {
            self.tell(panic.as_ref());
        }
    }

    fn tell(&self, panic: &(dyn Any + Send)) {
        let message = panic_text(panic);
        // A pool that is gone needs no telling.
        let _ = self.pool.send_message(ValidatorMsg::WorkerPanicked { message });
    }
}

/// The block, if it passed. Else its fault is settled.
fn settle_fault<T>(place: Place, result: Result<T, BlockFault>) -> Option<(Place, T)> {
    match result {
        Ok(block) => Some((place, block)),
        Err(fault) => {
            place.settle(Err(ReplyFault::Block(fault)));
            None
        }
    }
}

fn chunked<T>(mut blocks: impl ExactSizeIterator<Item = T>) -> Vec<Vec<T>> {
    let chunks = blocks.len().div_ceil(JOB_BLOCKS);
    (0..chunks).map(|_| blocks.by_ref().take(JOB_BLOCKS).collect()).collect()
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}
