//! Where CPU work runs: never on an async worker.

use std::sync::{Arc, PoisonError, RwLock};

/// The number of workers cannot be what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum WorkersError {
    /// The operating system refuses to make the threads.
    #[error("the operating system refuses to make {workers} threads")]
    Threads {
        /// How many were asked for; 0 for one on each core.
        workers: usize,
        /// Why.
        source: rayon::ThreadPoolBuildError,
    },
    /// This kind of compute has a fixed number of workers.
    #[error("the number of workers is fixed at {workers}")]
    Fixed {
        /// How many there are.
        workers: usize,
    },
}

/// Runs CPU-bound jobs.
pub trait Compute: Send + Sync + 'static {
    /// Runs `job` soon, possibly beside others. A job must not panic: callers catch their own.
    fn execute(&self, job: Box<dyn FnOnce() + Send>);

    /// How many jobs can run at once. At least 1.
    fn workers(&self) -> usize;

    /// From now on, `workers` jobs run at once; 0 means one on each core. Jobs that were given
    /// before run to their end.
    ///
    /// # Errors
    /// [`WorkersError`]; nothing changed then.
    fn set_workers(&self, workers: usize) -> Result<(), WorkersError>;
}

/// Jobs run on a rayon pool of their own.
pub struct RayonCompute {
    pool: RwLock<Arc<rayon::ThreadPool>>,
}

impl RayonCompute {
    /// A pool of `workers` threads; 0 means one for each core.
    ///
    /// # Errors
    /// [`WorkersError::Threads`].
    pub fn new(workers: usize) -> Result<Self, WorkersError> {
        Ok(Self { pool: RwLock::new(pool(workers)?) })
    }

    fn pool(&self) -> Arc<rayon::ThreadPool> {
        Arc::clone(&self.pool.read().unwrap_or_else(PoisonError::into_inner))
    }
}

fn pool(workers: usize) -> Result<Arc<rayon::ThreadPool>, WorkersError> {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(workers)
        .thread_name(|index| format!("verify-{index}"))
        .build();
    pool.map(Arc::new).map_err(|source| WorkersError::Threads { workers, source })
}

impl Compute for RayonCompute {
    fn execute(&self, job: Box<dyn FnOnce() + Send>) {
        self.pool().spawn(job);
    }

    fn workers(&self) -> usize {
        self.pool().current_num_threads()
    }

    fn set_workers(&self, workers: usize) -> Result<(), WorkersError> {
        let pool = pool(workers)?;
        // A pool that is dropped ends its threads after the jobs that it was given.
        *self.pool.write().unwrap_or_else(PoisonError::into_inner) = pool;
        Ok(())
    }
}

/// Jobs run at once on the caller's thread: for virtual time, where a clock that is paused would
/// run ahead of threads it does not know.
#[derive(Debug, Clone, Copy, Default)]
pub struct InlineCompute;

impl Compute for InlineCompute {
    fn execute(&self, job: Box<dyn FnOnce() + Send>) {
        job();
    }

    fn workers(&self) -> usize {
        1
    }

    fn set_workers(&self, workers: usize) -> Result<(), WorkersError> {
        if workers == 1 { Ok(()) } else { Err(WorkersError::Fixed { workers: 1 }) }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Barrier, mpsc};

    use super::*;

    #[test]
    fn workers_change_under_way_and_no_job_is_lost() {
        let compute = RayonCompute::new(1).unwrap();
        let (done, finished) = mpsc::channel();
        let held = Arc::new(Barrier::new(2));
        let first = Arc::clone(&held);
        let told = done.clone();
        compute.execute(Box::new(move || {
            first.wait();
            told.send(0).unwrap();
        }));
        for job in 1..10 {
            let told = done.clone();
            compute.execute(Box::new(move || told.send(job).unwrap()));
        }
        compute.set_workers(3).unwrap();
        assert_eq!(compute.workers(), 3);
        // Three at once: each waits for the two others.
        let together = Arc::new(Barrier::new(3));
        for job in 10..13 {
            let (told, together) = (done.clone(), Arc::clone(&together));
            compute.execute(Box::new(move || {
                together.wait();
                told.send(job).unwrap();
            }));
        }
        held.wait();
        drop(done);
        let mut all: Vec<_> = finished.iter().collect();
        all.sort_unstable();
        assert_eq!(all, (0..13).collect::<Vec<_>>());
    }

    #[test]
    fn inline_work_has_one_worker() {
        assert!(InlineCompute.set_workers(1).is_ok());
        let error = InlineCompute.set_workers(2).unwrap_err();
        assert_eq!(error.to_string(), "the number of workers is fixed at 1");
    }
}
