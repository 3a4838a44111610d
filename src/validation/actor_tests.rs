use std::{sync::atomic::AtomicUsize, time::Duration};

use bytes::Bytes;
use supervisors::{CallError, ChildExit, ChildHandle, ChildSpec, SupervisorHandle};

use super::*;
use crate::{
    doubles::{blocks, exit_of, tree},
    flow::ByteBudget,
    ports::{InlineCompute, OsEntropy, RayonCompute},
    types::HeightRange,
    validation::{
        Urgency, ValidatorHandle, Verdict, VerificationGauge,
        batcher::BATCH_WAIT_MAX,
        doubles::{FailingCompute, HeldCompute, LosingCompute, NoEntropy, PanickingEntropy},
        stages::JOB_BLOCKS,
    },
};

/// Bytes that make a worker panic: no decoder does, so the test plants it.
const PANIC: &[u8] = b"the worker panics here";

pub(in crate::validation) fn panic_where_planted(raw: &Bytes) {
    assert!(raw != PANIC, "planted");
}

/// A pool under test.
struct Pool {
    tree: SupervisorHandle,
    handle: ValidatorHandle,
    meter: Arc<Meter>,
}

impl Pool {
    async fn new(compute: Arc<dyn Compute>, entropy: Arc<dyn Entropy>) -> Self {
        let child = ChildHandle::new("pool");
        let meter = Arc::<Meter>::default();
        let verifier = Arc::clone(&blocks().verifier);
        let args = ValidatorArgs { verifier, compute, entropy, meter: Arc::clone(&meter) };
        let spec = ChildSpec::new(&child, move || (ValidatorPool, args.clone()));
        Self { tree: tree([spec]).await, handle: ValidatorHandle::new(child), meter }
    }

    fn gauge(&self) -> VerificationGauge {
        self.meter.gauge()
    }
}

async fn pool(compute: Arc<dyn Compute>) -> (SupervisorHandle, ValidatorHandle) {
    let Pool { tree, handle, .. } = Pool::new(compute, Arc::new(OsEntropy)).await;
    (tree, handle)
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
    compute.until_given(mixed().len().div_ceil(JOB_BLOCKS)).await;
    while !verify.is_finished() {
        compute.run();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
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
    let verify = |segment, urgency| {
        let pool = pool.clone();
        tokio::spawn(async move { pool.verify(segment, urgency).await })
    };
    let lost = verify(blocks().raw_segment(1, raw, &budget), Urgency::InTurn);
    let beside = verify(blocks().raw_segment(20, honest(20, 27), &budget), Urgency::InTurn);
    compute.until_given(5).await;
    // More than the workers can take, and more urgent blocks than one batch has: they wait in the
    // pool, some as jobs already.
    let behind: Vec<_> = [Urgency::InTurn, Urgency::AtOnce]
        .into_iter()
        .flat_map(|urgency| [urgency; 3])
        .map(|urgency| verify(blocks().raw_segment(1, honest(1, 100), &budget), urgency))
        .collect();
    tokio::time::sleep(BATCH_WAIT_MAX).await;
    while !behind.iter().all(|verify| verify.is_finished()) {
        compute.run();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(lost.await.unwrap().err(), Some(CallError::Lost));
    let kept = beside.await.unwrap().expect("a segment of the same batch is not lost");
    assert_eq!(kept.good[0].range.count(), 8);
    for verify in behind {
        let kept = verify.await.unwrap().expect("a segment that waited is not lost");
        assert_eq!(kept.good[0].range.count(), 100);
    }
    drop(kept);
    assert_eq!(budget.gauge().used, 0, "the lost segment gave its bytes back");
    let exit = exit_of("pool", &mut reports).await;
    let panic = exit.downcast_ref::<WorkerPanic>().expect("the type survives");
    assert!(panic.to_string().contains("planted"), "{panic}");
    again(&pool, &compute).await;
}

#[tokio::test]
async fn without_entropy_and_after_a_panic_signatures_are_checked_one_by_one() {
    let budget = budget();
    let (_tree, together) = pool(Arc::new(InlineCompute)).await;
    let segment = || blocks().raw_segment(1, mixed(), &budget);
    let expected = together.verify(segment(), Urgency::InTurn).await.unwrap();
    for entropy in [Arc::new(NoEntropy) as Arc<dyn Entropy>, Arc::new(PanickingEntropy)] {
        let pool = Pool::new(Arc::new(InlineCompute), entropy).await;
        let verdict = pool.handle.verify(segment(), Urgency::InTurn).await.unwrap();
        assert_eq!(summary(&verdict), summary(&expected));
        assert_eq!(pool.gauge().batches, 22, "each block that could be read by itself");
    }
}

#[tokio::test(start_paused = true)]
async fn segments_share_a_batch_and_get_their_own_verdicts() {
    let pool = Pool::new(Arc::new(InlineCompute), Arc::new(OsEntropy)).await;
    let budget = budget();
    let mut bad = honest(30, 49);
    bad[7] = blocks().badly_signed(37);
    let verify =
        |first, raw| pool.handle.verify(blocks().raw_segment(first, raw, &budget), Urgency::InTurn);
    let (one, two, three) =
        tokio::join!(verify(1, honest(1, 20)), verify(30, bad), verify(60, honest(60, 90)));
    assert_eq!(one.unwrap().good[0].range.count(), 20);
    let (good, faults) = summary(&two.unwrap());
    assert_eq!((good.len(), faults.len()), (2, 1));
    assert!(faults[0].contains("InvalidSignature"), "{faults:?}");
    assert_eq!(three.unwrap().good[0].range.count(), 31);
    let VerificationGauge { blocks, batches, group_checks, .. } = pool.gauge();
    assert_eq!((blocks, batches), (71, 1));
    assert!((2..=9).contains(&group_checks), "{group_checks} checks for one bad of 71");
}

#[tokio::test(start_paused = true)]
async fn lone_block_waits_a_moment_for_others_and_an_urgent_one_does_not() {
    let (_tree, pool) = pool(Arc::new(InlineCompute)).await;
    let budget = budget();
    let took = async |urgency| {
        let began = Instant::now();
        let segment = blocks().raw_segment(1, honest(1, 1), &budget);
        assert_eq!(pool.verify(segment, urgency).await.unwrap().good.len(), 1);
        began.elapsed()
    };
    assert_eq!(took(Urgency::AtOnce).await, Duration::ZERO);
    assert_eq!(took(Urgency::InTurn).await, BATCH_WAIT_MAX);
    // The alarm of one block does not serve the next too early.
    assert_eq!(took(Urgency::InTurn).await, BATCH_WAIT_MAX);
}

#[tokio::test(start_paused = true)]
async fn caller_is_told_of_a_panic_before_the_other_blocks_are_done() {
    let compute = Arc::new(HeldCompute::default());
    let (_tree, pool) = pool(compute.clone()).await;
    let budget = budget();
    let mut raw = honest(1, 12);
    raw[11] = Bytes::from_static(PANIC);
    let segment = blocks().raw_segment(1, raw, &budget);
    let lost = tokio::spawn(async move { pool.verify(segment, Urgency::InTurn).await });
    compute.until_given(3).await;
    compute.run_newest();
    assert_eq!(lost.await.unwrap().err(), Some(CallError::Lost));
    assert_eq!(compute.given(), 2, "the other blocks are still to be looked at");
    assert_eq!(budget.gauge().used, 0);
}

#[tokio::test(start_paused = true)]
async fn blocks_that_nobody_waits_for_any_more_are_not_verified() {
    for done_before in [0, 3] {
        not_verified_if_dropped(done_before).await;
    }
}

/// A segment is dropped after `done_before` of the four jobs of its batch.
async fn not_verified_if_dropped(done_before: usize) {
    let compute = Arc::new(HeldCompute::default());
    let pool = Pool::new(compute.clone(), Arc::new(OsEntropy)).await;
    let budget = budget();
    let verify = |first, last| {
        let segment = blocks().raw_segment(first, honest(first, last), &budget);
        let pool = pool.handle.clone();
        tokio::spawn(async move { pool.verify(segment, Urgency::InTurn).await })
    };
    let dropped = verify(1, 10);
    let kept = verify(20, 24);
    compute.until_given(4).await;
    (0..done_before).for_each(|_| compute.run_newest());
    dropped.abort();
    assert!(dropped.await.is_err_and(|error| error.is_cancelled()));
    while !kept.is_finished() {
        compute.run();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(kept.await.unwrap().unwrap().good[0].range.count(), 5);
    assert_eq!(pool.gauge().blocks, 5);
    assert_eq!(budget.gauge().used, 0);
}

#[tokio::test(start_paused = true)]
async fn more_workers_are_given_more_at_once_under_way() {
    let compute = Arc::new(HeldCompute::default());
    let (_tree, pool) = pool(compute.clone()).await;
    let budget = budget();
    let segment = blocks().raw_segment(1, honest(1, 100), &budget);
    let verify = tokio::spawn(async move { pool.verify(segment, Urgency::InTurn).await });
    compute.until_given(4 * JOBS_PER_WORKER).await;
    compute.set_workers(6).unwrap();
    compute.run_newest();
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(compute.given(), 6 * JOBS_PER_WORKER);
    compute.set_workers(1).unwrap();
    compute.run();
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(compute.given(), JOBS_PER_WORKER);
    while !verify.is_finished() {
        compute.run();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(verify.await.unwrap().unwrap().good[0].range.count(), 100);
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
    let (tree, pool) = pool(Arc::new(FailingCompute(AtomicUsize::new(0)))).await;
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
async fn panic_that_no_block_stands_for_stays_in_its_job_and_nobody_waits_for_it() {
    // The three jobs of stage 1 run. The last of them fails to hand out those of stage 3.
    let (tree, pool) = pool(Arc::new(FailingCompute(AtomicUsize::new(3)))).await;
    let mut reports = tree.reports();
    let budget = budget();
    let lost = pool.verify(blocks().raw_segment(1, honest(1, 9), &budget), Urgency::InTurn).await;
    assert_eq!(lost.err(), Some(CallError::Lost));
    assert_eq!(budget.gauge().used, 0);
    let exit = exit_of("pool", &mut reports).await;
    let panic = exit.downcast_ref::<WorkerPanic>().expect("told, not thrown at the worker");
    assert!(panic.to_string().contains("no threads"), "{panic}");
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
    compute.until_given(given).await;
    let urgent = verify(50, 50, Urgency::AtOnce);
    // It reaches the pool while all workers are busy.
    tokio::time::sleep(BATCH_WAIT_MAX).await;
    assert_eq!(compute.given(), given, "no more than the workers can take");
    let mut rounds = 0;
    while !urgent.is_finished() {
        compute.run();
        tokio::time::sleep(Duration::from_millis(1)).await;
        rounds += 1;
    }
    assert!(rounds <= 2, "{rounds} rounds");
    assert!(!bulk.is_finished());
    while !bulk.is_finished() {
        compute.run();
        tokio::time::sleep(Duration::from_millis(1)).await;
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
