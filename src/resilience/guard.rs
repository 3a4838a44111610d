//! A breaker around something on our side that sync depends on.

use std::{
    fmt,
    ops::Deref,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::{
    breaker::{Breaker, BreakerSettings, BreakerState, CallEnd, Pass},
    retry::Pauses,
};
use crate::ports::Clock;

/// When a dependency's breaker opens. There is no other to ask instead, so it looks at rows only:
/// one that still answers now and then is better than none.
const SETTINGS: BreakerSettings = BreakerSettings {
    failures_in_row: 5,
    window: 0,
    window_least: usize::MAX,
    window_within: Duration::ZERO,
    failed_share: 1_000,
    early_every: Duration::MAX,
};

/// How long a dependency is left alone at first. Unit: time. Too low: something that is down is
/// called all the time. Too high: a passing trouble is felt long after.
const OPEN_FIRST: Duration = Duration::from_secs(1);

/// How long at most. Source: a disk or a client that was repaired must be found soon. Too low and
/// too high as for [`OPEN_FIRST`].
const OPEN_MAX: Duration = Duration::from_secs(30);

/// A dependency that is only called while its breaker lets calls pass.
pub(super) struct Guard<D> {
    inner: D,
    name: &'static str,
    clock: Arc<dyn Clock>,
    breaker: Mutex<(Breaker, Pauses)>,
}

/// The dependency has failed too often to be called now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{name} has failed too often and is left alone for {wait:?}")]
pub(super) struct LeftAlone {
    name: &'static str,
    /// How long at most; zero while one call finds out.
    wait: Duration,
}

impl<D> Guard<D> {
    /// Guards `inner`, called `name` in logs. `seed` decides what is left to chance.
    pub(super) fn new(inner: D, name: &'static str, clock: Arc<dyn Clock>, seed: u64) -> Self {
        let pauses = Pauses::new(OPEN_FIRST, OPEN_MAX, seed);
        Self { inner, name, clock, breaker: Mutex::new((Breaker::new(SETTINGS), pauses)) }
    }

    /// What does not fail, or must not be kept from anybody, passes by the breaker.
    pub(super) const fn unguarded(&self) -> &D {
        &self.inner
    }

    /// Where the breaker is.
    pub(super) fn state(&self) -> BreakerState {
        self.change(|breaker, _| breaker.state())
    }

    /// The right to make one call. Whoever made it tells how it ended; dropping the call tells
    /// nothing. It may be held over a wait.
    ///
    /// # Errors
    /// [`LeftAlone`] while the breaker is open.
    pub(super) fn enter(&self) -> Result<GuardedCall<'_, D>, LeftAlone> {
        let now = self.clock.now();
        let admitted = self.change(|breaker, _| breaker.admit(now, false));
        let pass = admitted.map_err(|wait| LeftAlone { name: self.name, wait })?;
        Ok(GuardedCall { guard: self, pass: Some(pass) })
    }

    fn change<T>(&self, change: impl FnOnce(&mut Breaker, &mut Pauses) -> T) -> T {
        let mut guarded = self.breaker.lock().unwrap_or_else(PoisonError::into_inner);
        let (breaker, pauses) = &mut *guarded;
        let from = breaker.state();
        let result = change(breaker, pauses);
        let to = breaker.state();
        drop(guarded);
        if from != to {
            let (dependency, from, to) = (self.name, from.name(), to.name());
            tracing::warn!(dependency, from, to, "the breaker of a dependency changed");
        }
        result
    }
}

/// One call of a dependency.
pub(super) struct GuardedCall<'a, D> {
    guard: &'a Guard<D>,
    pass: Option<Pass>,
}

impl<D> GuardedCall<'_, D> {
    /// The call has ended so.
    pub(super) fn ended(mut self, end: CallEnd) {
        self.tell(end);
    }

    fn tell(&mut self, end: CallEnd) {
        if let Some(pass) = self.pass.take() {
            let now = self.guard.clock.now();
            self.guard.change(|breaker, pauses| breaker.ended(now, pass, end, pauses));
        }
    }
}

impl<D> Deref for GuardedCall<'_, D> {
    type Target = D;

    fn deref(&self) -> &D {
        &self.guard.inner
    }
}

impl<D> fmt::Debug for GuardedCall<'_, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardedCall").field("of", &self.guard.name).finish_non_exhaustive()
    }
}

impl<D> Drop for GuardedCall<'_, D> {
    fn drop(&mut self) {
        self.tell(CallEnd::NoNews);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::SystemClock;

    #[tokio::test(start_paused = true)]
    async fn dependency_that_fails_is_left_alone_and_then_called_once_to_see() {
        let guard = Guard::new("client", "the client", Arc::new(SystemClock::start()), 1);
        for _ in 0..5 {
            let call = guard.enter().unwrap();
            assert_eq!(*call, "client");
            call.ended(CallEnd::Failed);
        }
        let alone = guard.enter().unwrap_err();
        assert_eq!(alone, LeftAlone { name: "the client", wait: OPEN_FIRST });
        tokio::time::advance(OPEN_FIRST).await;
        let probe = guard.enter().unwrap();
        assert_eq!(guard.enter().unwrap_err().wait, Duration::ZERO, "exactly one");
        drop(probe);
        guard.enter().expect("a call that was dropped frees its place").ended(CallEnd::Failed);
        let longer = guard.enter().unwrap_err().wait;
        assert!((OPEN_FIRST..=2 * OPEN_FIRST).contains(&longer), "{longer:?}");
        tokio::time::advance(longer).await;
        guard.enter().unwrap().ended(CallEnd::Succeeded);
        (0..4).for_each(|_| guard.enter().unwrap().ended(CallEnd::Failed));
        assert!(guard.enter().is_ok());
    }
}
