//! Where CPU work runs: never on an async worker.

use std::sync::Arc;

/// Runs CPU-bound jobs.
pub trait Compute: Send + Sync + 'static {
    /// Runs `job` soon, possibly beside others. A job must not panic: callers catch their own.
    fn execute(&self, job: Box<dyn FnOnce() + Send>);

    /// How many jobs can run at once. At least 1.
    fn workers(&self) -> usize;
}

/// Jobs run on a rayon pool of their own.
#[derive(Clone)]
pub struct RayonCompute {
    pool: Arc<rayon::ThreadPool>,
}

impl RayonCompute {
    /// A pool of `workers` threads; 0 means one for each core.
    ///
    /// # Errors
    /// When the operating system refuses to make the threads.
    pub fn new(workers: usize) -> Result<Self, rayon::ThreadPoolBuildError> {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(workers)
            .thread_name(|index| format!("verify-{index}"))
            .build()?;
        Ok(Self { pool: Arc::new(pool) })
    }
}

impl Compute for RayonCompute {
    fn execute(&self, job: Box<dyn FnOnce() + Send>) {
        self.pool.spawn(job);
    }

    fn workers(&self) -> usize {
        self.pool.current_num_threads()
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
}
