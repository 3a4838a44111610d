use std::time::Duration;

use supervisors::{CallError, ChildExit, ChildHandle, ChildSpec, SupervisorHandle};

use super::*;
use crate::{
    doubles::{blocks, exit_of, tree},
    flow::ByteBudget,
    ports::{InlineCompute, RayonCompute},
    types::HeightRange,
    validation::ValidatorHandle,
};

/// Bytes that make a worker panic: no decoder does, so the test plants it.
const PANIC: &[u8] = b"the worker panics here";

pub(super) fn panic_where_planted(raw: &Bytes) {
    assert!(raw != PANIC, "planted");
}

/// Loses every job, as a pool would whose threads died.
struct LosingCompute;

impl Compute for LosingCompute {
    fn execute(&self, job: Box<dyn FnOnce() + Send>) {
        drop(job);
    }

    fn workers(&self) -> usize {
        1
    }
}

/// Panics when it is given a job.
struct PanickingCompute;

impl Compute for PanickingCompute {
    fn execute(&self, _: Box<dyn FnOnce() + Send>) {
        panic!("no threads");
    }

    fn workers(&self) -> usize {
        1
    }
}

/// Runs jobs last first, when the test says so.
#[derive(Default)]
struct HeldCompute {
    jobs: Mutex<Vec<Box<dyn FnOnce() + Send>>>,
}

impl HeldCompute {
    /// Runs what was given so far, from the newest to the oldest.
    fn run(&self) {
        let jobs = std::mem::take(&mut *self.jobs.lock().unwrap());
        jobs.into_iter().rev().for_each(|job| job());
    }
}

impl Compute for HeldCompute {
    fn execute(&self, job: Box<dyn FnOnce() + Send>) {
        self.jobs.lock().unwrap().push(job);
    }

    fn workers(&self) -> usize {
        4
    }
}

async fn pool(compute: Arc<dyn Compute>) -> (SupervisorHandle, ValidatorHandle) {
    let child = ChildHandle::new("pool");
    let args = ValidatorArgs { verifier: Arc::clone(&blocks().verifier), compute };
    let spec = ChildSpec::new(&child, move || (ValidatorPool, args.clone()));
    (tree([spec]).await, ValidatorHandle::new(child))
}

fn budget() -> ByteBudget {
    ByteBudget::new(u64::MAX)
}

fn honest(first: u64, last: u64) -> Vec<Bytes> {
    (first..=last).map(|height| blocks().raw(height)).collect()
}

/// A reply with something of everything.
fn mixed() -> Vec<Bytes> {
    let mut raw = honest(1, 23);
    raw[3] = blocks().badly_signed(4);
    raw[9] = Bytes::from_static(b"no block");
    raw[14] = blocks().fork(15);
    raw[18] = blocks().raw(20);
    raw
}

/// A verdict in values that compare.
fn summary(verdict: &Verdict) -> (Vec<(HeightRange, u64)>, Vec<String>) {
    let good = verdict.good.iter().map(|segment| (segment.range, segment.permit.bytes()));
    let faults = verdict.faults.iter().map(|fault| format!("{fault:?}"));
    (good.collect(), faults.collect())
}

#[tokio::test]
async fn inline_and_parallel_verification_give_the_same_verdict_in_order() {
    let (_inline, inline) = pool(Arc::new(InlineCompute)).await;
    let (_rayon, rayon) = pool(Arc::new(RayonCompute::new(3).unwrap())).await;
    let budget = budget();
    let expected =
        inline.verify(blocks().raw_segment(1, mixed(), &budget), Urgency::InTurn).await.unwrap();
    assert_eq!(expected.good.len(), 5, "before and after each fault");
    assert_eq!(expected.faults.len(), 4);
    for _ in 0..5 {
        let verdict =
            rayon.verify(blocks().raw_segment(1, mixed(), &budget), Urgency::InTurn).await.unwrap();
        assert_eq!(summary(&verdict), summary(&expected));
    }
}

#[tokio::test(start_paused = true)]
async fn verdict_is_in_order_however_jobs_end() {
    let compute = Arc::new(HeldCompute::default());
    let (_tree, pool) = pool(compute.clone()).await;
    let budget = budget();
    let segment = blocks().raw_segment(1, mixed(), &budget);
    let verify = tokio::spawn({
        let pool = pool.clone();
        async move { pool.verify(segment, Urgency::InTurn).await }
    });
    while compute.jobs.lock().unwrap().len() < mixed().len().div_ceil(JOB_BLOCKS) {
        tokio::task::yield_now().await;
    }
    compute.run();
    let verdict = verify.await.unwrap().unwrap();
    let ranges: Vec<_> = verdict.good.iter().map(|segment| segment.range).collect();
    assert!(ranges.is_sorted());
    assert_eq!(ranges.iter().map(|range| range.count()).sum::<u64>(), 20);
}

#[tokio::test(start_paused = true)]
async fn panic_of_a_worker_loses_its_segment_only_and_the_pool_is_started_again() {
    let compute = Arc::new(HeldCompute::default());
    let (tree, pool) = pool(compute.clone()).await;
    let mut reports = tree.reports();
    let budget = budget();
    let mut raw = honest(1, 12);
    raw[5] = Bytes::from_static(PANIC);
    let verify = |segment| {
        let pool = pool.clone();
        tokio::spawn(async move { pool.verify(segment, Urgency::InTurn).await })
    };
    let lost = verify(blocks().raw_segment(1, raw, &budget));
    let kept = verify(blocks().raw_segment(20, honest(20, 27), &budget));
    while compute.jobs.lock().unwrap().len() < 5 {
        tokio::task::yield_now().await;
    }
    compute.run();
    assert_eq!(lost.await.unwrap().err(), Some(CallError::Lost));
    let verdict = kept.await.unwrap().expect("a segment in work beside it is not lost");
    assert_eq!(verdict.good[0].range.count(), 8);
    drop(verdict);
    assert_eq!(budget.gauge().used, 0, "the lost segment gave its bytes back");
    let exit = exit_of("pool", &mut reports).await;
    let panic = exit.downcast_ref::<WorkerPanic>().expect("the type survives");
    assert!(panic.to_string().contains("planted"), "{panic}");
    again(&pool, &compute).await;
}

/// The pool works, after it was started again. Time is virtual here.
async fn again(pool: &ValidatorHandle, compute: &HeldCompute) {
    let budget = budget();
    let verify = tokio::spawn({
        let (pool, budget) = (pool.clone(), budget.clone());
        async move {
            loop {
                let segment = blocks().raw_segment(1, honest(1, 3), &budget);
                match pool.verify(segment, Urgency::InTurn).await {
                    Err(CallError::Restarting) => {
                        tokio::time::sleep(Duration::from_millis(1)).await
                    }
                    other => return other,
                }
            }
        }
    });
    while !verify.is_finished() {
        compute.run();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(verify.await.unwrap().unwrap().good[0].range.count(), 3);
}

#[tokio::test(start_paused = true)]
async fn jobs_that_are_lost_lose_their_segment_and_nobody_waits_for_it() {
    let (_tree, pool) = pool(Arc::new(LosingCompute)).await;
    let budget = budget();
    let lost = pool.verify(blocks().raw_segment(1, honest(1, 9), &budget), Urgency::InTurn).await;
    assert_eq!(lost.err(), Some(CallError::Lost));
    assert_eq!(budget.gauge().used, 0);
}

#[tokio::test(start_paused = true)]
async fn compute_that_panics_ends_the_pool_and_it_is_started_again() {
    let (tree, pool) = pool(Arc::new(PanickingCompute)).await;
    let mut reports = tree.reports();
    let budget = budget();
    let lost = pool.verify(blocks().raw_segment(1, honest(1, 9), &budget), Urgency::InTurn).await;
    assert_eq!(lost.err(), Some(CallError::Lost));
    assert!(matches!(exit_of("pool", &mut reports).await, ChildExit::Failed(_)));
    assert_eq!(budget.gauge().used, 0);
    while tree.children().await.unwrap()[0].restarts == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn urgent_block_overtakes_everything_that_waits() {
    let compute = Arc::new(HeldCompute::default());
    let (_tree, pool) = pool(compute.clone()).await;
    let budget = budget();
    let verify = |first, last, urgency| {
        let segment = blocks().raw_segment(first, honest(first, last), &budget);
        let pool = pool.clone();
        tokio::spawn(async move { pool.verify(segment, urgency).await.unwrap() })
    };
    let bulk = verify(1, 100, Urgency::InTurn);
    let given = JOBS_PER_WORKER * compute.workers();
    while compute.jobs.lock().unwrap().len() < given {
        tokio::task::yield_now().await;
    }
    let urgent = verify(50, 50, Urgency::AtOnce);
    // Let it reach the pool, while all workers are busy.
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert_eq!(compute.jobs.lock().unwrap().len(), given, "no more than the workers can take");
    let mut rounds = 0;
    while !urgent.is_finished() {
        compute.run();
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        rounds += 1;
    }
    assert!(rounds <= 2, "{rounds} rounds");
    assert!(!bulk.is_finished());
    while !bulk.is_finished() {
        compute.run();
        tokio::task::yield_now().await;
    }
    assert_eq!(bulk.await.unwrap().good[0].range.count(), 100);
}

#[tokio::test(start_paused = true)]
async fn lost_jobs_do_not_count_as_running_for_ever() {
    let (_tree, pool) = pool(Arc::new(LosingCompute)).await;
    let budget = budget();
    for _ in 0..3 * JOBS_PER_WORKER {
        let segment = blocks().raw_segment(1, honest(1, 1), &budget);
        assert_eq!(pool.verify(segment, Urgency::InTurn).await.err(), Some(CallError::Lost));
    }
}
