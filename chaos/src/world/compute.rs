//! Compute that loses work: a planted bug, to see that leaks are found.

use std::sync::{Mutex, PoisonError};

use alys_sync::ports::{Compute, WorkersError};

/// Runs jobs at once on the caller's thread, except one that it keeps for ever.
pub struct LossyCompute {
    kept: Mutex<Kept>,
}

struct Kept {
    jobs_before: u32,
    job: Option<Box<dyn FnOnce() + Send>>,
}

impl LossyCompute {
    /// Runs `jobs_before` jobs, keeps the next, runs all others.
    pub fn keeping_the_job_after(jobs_before: u32) -> Self {
        Self { kept: Mutex::new(Kept { jobs_before, job: None }) }
    }
}

impl Compute for LossyCompute {
    fn execute(&self, job: Box<dyn FnOnce() + Send>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.job.is_none() && kept.jobs_before == 0 {
            kept.job = Some(job);
            return;
        }
        kept.jobs_before = kept.jobs_before.saturating_sub(1);
        drop(kept);
        job();
    }

    fn workers(&self) -> usize {
        1
    }

    fn set_workers(&self, _: usize) -> Result<(), WorkersError> {
        Err(WorkersError::Fixed { workers: 1 })
    }
}
