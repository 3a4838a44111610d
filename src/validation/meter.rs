//! What verification cost.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// What verification has done and cost, over all incarnations of the pool. CPU time is zero where
/// the system does not tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VerificationGauge {
    /// Blocks whose signature was checked.
    pub blocks: u64,
    /// Batches they were in.
    pub batches: u64,
    /// Products of pairings that took: one for each batch without an invalid signature.
    pub group_checks: u64,
    /// CPU time of reading blocks and taking their roots.
    pub scan_cpu: Duration,
    /// CPU time of signatures: decoding, hashing to the curve, the equations, searches.
    pub signature_cpu: Duration,
    /// CPU time of the slot rule and of execution hashes.
    pub content_cpu: Duration,
}

impl VerificationGauge {
    /// CPU time of all of verification.
    pub fn cpu(&self) -> Duration {
        self.scan_cpu + self.signature_cpu + self.content_cpu
    }
}

/// Counts what verification does. Shared by all workers.
#[derive(Debug, Default)]
pub struct Meter {
    blocks: AtomicU64,
    batches: AtomicU64,
    group_checks: AtomicU64,
    scan: AtomicU64,
    signature: AtomicU64,
    content: AtomicU64,
}

/// What CPU time is spent on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Scan,
    Signature,
    Content,
}

impl Meter {
    /// The figures so far.
    pub fn gauge(&self) -> VerificationGauge {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let time = |counter| Duration::from_nanos(count(counter));
        VerificationGauge {
            blocks: count(&self.blocks),
            batches: count(&self.batches),
            group_checks: count(&self.group_checks),
            scan_cpu: time(&self.scan),
            signature_cpu: time(&self.signature),
            content_cpu: time(&self.content),
        }
    }

    /// Does `work` and books its CPU time.
    pub(super) fn measure<T>(&self, step: Step, work: impl FnOnce() -> T) -> T {
        let before = thread_cpu();
        let result = work();
        if let (Some(before), Some(after)) = (before, thread_cpu()) {
            let spent = u64::try_from(after.saturating_sub(before).as_nanos()).unwrap_or(u64::MAX);
            let counter = match step {
                Step::Scan => &self.scan,
                Step::Signature => &self.signature,
                Step::Content => &self.content,
            };
            counter.fetch_add(spent, Ordering::Relaxed);
        }
        result
    }

    /// Books a batch of `blocks` that took `group_checks` products of pairings.
    pub(super) fn batch(&self, blocks: usize, group_checks: usize) {
        self.batches.fetch_add(1, Ordering::Relaxed);
        self.blocks.fetch_add(blocks as u64, Ordering::Relaxed);
        self.group_checks.fetch_add(group_checks as u64, Ordering::Relaxed);
    }
}

/// The CPU time that this thread has used. `None` where the system does not tell.
#[cfg(unix)]
fn thread_cpu() -> Option<Duration> {
    cpu_time(rustix::time::ClockId::ThreadCPUTime)
}

/// The CPU time that this process has used, all threads together. `None` where the system does
/// not tell.
#[cfg(unix)]
pub fn process_cpu() -> Option<Duration> {
    cpu_time(rustix::time::ClockId::ProcessCPUTime)
}

#[cfg(unix)]
fn cpu_time(clock: rustix::time::ClockId) -> Option<Duration> {
    Duration::try_from(rustix::time::clock_gettime(clock)).ok()
}

#[cfg(not(unix))]
const fn thread_cpu() -> Option<Duration> {
    None
}

/// The CPU time that this process has used: not known on this system.
#[cfg(not(unix))]
pub const fn process_cpu() -> Option<Duration> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn books_the_time_of_each_step_by_itself() {
        let meter = Meter::default();
        let spin = || (0..2_000_000_u64).fold(0, |sum, n| std::hint::black_box(sum ^ n));
        meter.measure(Step::Signature, spin);
        let gauge = meter.gauge();
        assert_eq!(gauge.scan_cpu + gauge.content_cpu, Duration::ZERO);
        assert_eq!(gauge.cpu(), gauge.signature_cpu);
        if process_cpu().is_some() {
            assert!(gauge.signature_cpu > Duration::ZERO);
            assert!(gauge.signature_cpu <= process_cpu().unwrap());
        }
    }
}
