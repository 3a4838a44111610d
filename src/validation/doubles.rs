//! Workers and entropy that fail, or wait for the test.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use crate::ports::{Compute, Entropy, EntropyError, WorkersError};

/// Loses every job, as a pool would whose threads died.
pub(super) struct LosingCompute;

impl Compute for LosingCompute {
    fn execute(&self, job: Box<dyn FnOnce() + Send>) {
        drop(job);
    }

    fn workers(&self) -> usize {
        1
    }

    fn set_workers(&self, _: usize) -> Result<(), WorkersError> {
        Err(WorkersError::Fixed { workers: 1 })
    }
}

/// Runs so many jobs, then panics when it is given one.
pub(super) struct FailingCompute(pub(super) AtomicUsize);

impl Compute for FailingCompute {
    fn execute(&self, job: Box<dyn FnOnce() + Send>) {
        let left = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
        left.expect("no threads");
        job();
    }

    fn workers(&self) -> usize {
        1
    }

    fn set_workers(&self, _: usize) -> Result<(), WorkersError> {
        Err(WorkersError::Fixed { workers: 1 })
    }
}

/// Runs jobs last first, when the test says so.
pub(super) struct HeldCompute {
    jobs: Mutex<Vec<Box<dyn FnOnce() + Send>>>,
    workers: AtomicUsize,
}

impl Default for HeldCompute {
    fn default() -> Self {
        Self { jobs: Mutex::default(), workers: AtomicUsize::new(4) }
    }
}

impl HeldCompute {
    /// Runs what was given so far, from the newest to the oldest.
    pub(super) fn run(&self) {
        let jobs = std::mem::take(&mut *self.jobs.lock().unwrap());
        jobs.into_iter().rev().for_each(|job| job());
    }

    /// Runs the newest of what was given.
    pub(super) fn run_newest(&self) {
        let job = self.jobs.lock().unwrap().pop().unwrap();
        job();
    }

    pub(super) fn given(&self) -> usize {
        self.jobs.lock().unwrap().len()
    }

    /// Waits until so many jobs were given. Time is virtual.
    pub(super) async fn until_given(&self, jobs: usize) {
        while self.given() < jobs {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

impl Compute for HeldCompute {
    fn execute(&self, job: Box<dyn FnOnce() + Send>) {
        self.jobs.lock().unwrap().push(job);
    }

    fn workers(&self) -> usize {
        self.workers.load(Ordering::Relaxed)
    }

    fn set_workers(&self, workers: usize) -> Result<(), WorkersError> {
        self.workers.store(workers, Ordering::Relaxed);
        Ok(())
    }
}

/// A system without entropy.
pub(super) struct NoEntropy;

impl Entropy for NoEntropy {
    fn seed(&self) -> Result<[u8; 32], EntropyError> {
        Err(EntropyError("none".into()))
    }
}

/// Makes every joint check panic.
pub(super) struct PanickingEntropy;

impl Entropy for PanickingEntropy {
    fn seed(&self) -> Result<[u8; 32], EntropyError> {
        panic!("planted");
    }
}
