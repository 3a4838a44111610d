//! Lets jobs on blocking threads proceed only while the runtime has nothing to do.
//!
//! A store call runs on a thread of its own and answers whenever that thread gets to it: between
//! any two steps of the runtime, another two each time. Here it waits until the runtime is about to
//! sleep, so that its answer always comes after all that was ready before. With one blocking
//! thread, jobs pass in the order in which they were made.
//!
//! Time stands still meanwhile: tokio's paused clock does not advance by itself while a blocking
//! job runs. A job that is to take time has it moved, in small steps, so that everything due
//! meanwhile happens meanwhile.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    runtime::Handle,
    task::yield_now,
    time::{Instant, advance},
};

/// By how much time moves at once while a job takes its time. Source: the resolution of tokio's
/// timers.
const STEP: Duration = Duration::from_millis(1);

/// How often other tasks get their turn in each step. Too low: what is due at one moment is done
/// at a later one. Too high: idle work.
const TURNS_OF_A_STEP: u32 = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nobody waits.
    Idle,
    /// A job waits; the runtime has not been through all that was ready before it.
    Waiting,
    /// The runtime has taken up the task that was spawned by the job.
    Reached,
    /// The runtime has nothing to do.
    Quiet,
    /// The run is over: nobody waits any more.
    Open,
}

/// The turnstile of one runtime. Clones are the same one.
#[derive(Clone)]
pub struct Turnstile {
    inner: Arc<Inner>,
}

struct Inner {
    stage: Mutex<Stage>,
    moved: Condvar,
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn step(&self, from: Stage, to: Stage) {
        let mut stage = self.lock();
        if *stage == from {
            *stage = to;
            self.moved.notify_all();
        }
    }
}

impl Default for Turnstile {
    fn default() -> Self {
        let inner = Inner { stage: Mutex::new(Stage::Idle), moved: Condvar::new() };
        Self { inner: Arc::new(inner) }
    }
}

impl Turnstile {
    /// Blocks the caller, which must be a blocking thread of the runtime, until the runtime has
    /// nothing to do.
    pub fn pass(&self) {
        self.pass_behind(async {});
    }

    /// As [`Self::pass`], after `takes` of virtual time.
    pub fn pass_after(&self, takes: Duration) {
        self.pass();
        if takes > Duration::ZERO {
            // From quiet to quiet: time begins to move at the same point each time.
            self.pass_behind(let_time_pass(takes));
        }
    }

    fn pass_behind(&self, first: impl Future<Output = ()> + Send + 'static) {
        let inner = Arc::clone(&self.inner);
        inner.step(Stage::Idle, Stage::Waiting);
        // The runtime may be asleep already: this wakes it, and comes after all that is ready.
        drop(Handle::current().spawn({
            let inner = Arc::clone(&inner);
            async move {
                first.await;
                inner.step(Stage::Waiting, Stage::Reached);
            }
        }));
        let mut stage = inner.lock();
        while !matches!(*stage, Stage::Quiet | Stage::Open) {
            stage = inner.moved.wait(stage).unwrap_or_else(PoisonError::into_inner);
        }
        if *stage == Stage::Quiet {
            *stage = Stage::Idle;
        }
    }

    /// To be called by the runtime's thread each time before it sleeps.
    pub fn about_to_sleep(&self) {
        self.inner.step(Stage::Reached, Stage::Quiet);
    }

    /// Lets everybody pass from now on: a runtime that ends sleeps no more.
    pub fn open(&self) {
        *self.inner.lock() = Stage::Open;
        self.inner.moved.notify_all();
    }
}

async fn let_time_pass(takes: Duration) {
    let end = Instant::now() + takes;
    while Instant::now() < end {
        advance(STEP).await;
        for _ in 0..TURNS_OF_A_STEP {
            yield_now().await;
        }
    }
}
