//! One budget of bytes over everything downloaded and not yet imported.
//!
//! A permit is taken before a request is sent, for the size expected of its reply, grows as bytes
//! really arrive, moves on with the blocks, and is given back when it is dropped, after import.
//!
//! The budget can never deadlock the sync: blocks above the front wait for memory that only the
//! import of the front can free, so a permit at the front is granted even when the budget is
//! spent. That also lets a block pass that is larger than the whole budget.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::types::Height;

/// The shared budget. Clones are handles to the same one.
#[derive(Clone)]
pub struct ByteBudget {
    inner: Arc<Inner>,
}

struct Inner {
    state: Mutex<State>,
    freed: Notify,
}

struct State {
    limit: u64,
    used: u64,
    peak: u64,
    front: Height,
}

/// What a budget holds at one moment. Unit: bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetGauge {
    /// The limit.
    pub limit: u64,
    /// Held by permits.
    pub used: u64,
    /// The most that was ever held.
    pub peak: u64,
}

impl BudgetGauge {
    /// What could be reserved now.
    pub fn available(&self) -> u64 {
        self.limit.saturating_sub(self.used)
    }
}

impl ByteBudget {
    /// A budget of `limit` bytes. A limit of 0 lets only the front pass.
    pub fn new(limit: u64) -> Self {
        let state = State { limit, used: 0, peak: 0, front: Height::GENESIS };
        Self { inner: Arc::new(Inner { state: Mutex::new(state), freed: Notify::new() }) }
    }

    /// A permit of `bytes` for blocks from `at` on, or `None` where it does not fit.
    pub fn try_reserve(&self, at: Height, bytes: u64) -> Option<BytePermit> {
        if !self.inner.lock().admit(at, bytes) {
            return None;
        }
        Some(BytePermit { budget: self.clone(), at, bytes })
    }

    /// Changes the limit. What is held above a lower one stays held until it is given back.
    pub fn set_limit(&self, limit: u64) {
        self.inner.lock().limit = limit;
        self.inner.freed.notify_waiters();
    }

    /// Moves the front: the lowest height that is not yet imported.
    pub fn set_front(&self, front: Height) {
        self.inner.lock().front = front;
        self.inner.freed.notify_waiters();
    }

    /// The present figures.
    pub fn gauge(&self) -> BudgetGauge {
        let state = self.inner.lock();
        BudgetGauge { limit: state.limit, used: state.used, peak: state.peak }
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is plain numbers, consistent between any two statements.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn admit(&mut self, at: Height, bytes: u64) -> bool {
        let after = self.used.saturating_add(bytes);
        if after > self.limit && at > self.front {
            return false;
        }
        self.used = after;
        self.peak = self.peak.max(after);
        true
    }
}

/// Bytes held of a [`ByteBudget`], given back on drop.
pub struct BytePermit {
    budget: ByteBudget,
    at: Height,
    bytes: u64,
}

impl BytePermit {
    /// How much is held. Unit: bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Makes the permit hold at least `bytes`, waiting while they do not fit. The wait ends when
    /// import frees memory or the front reaches this permit; who no longer wants it drops the
    /// future.
    ///
    /// Cancel-safe: a dropped wait changes nothing.
    pub async fn grow_to(&mut self, bytes: u64) {
        loop {
            // Registered before the test, so that a release between test and wait is not missed.
            let freed = self.budget.inner.freed.notified();
            let more = bytes.saturating_sub(self.bytes);
            if more == 0 || self.budget.inner.lock().admit(self.at, more) {
                self.bytes += more;
                return;
            }
            freed.await;
        }
    }

    /// Takes `bytes` out of this permit into one of its own for blocks below `rest_at`, where the
    /// blocks that this permit still covers begin. Takes at most what is held.
    pub fn split(&mut self, bytes: u64, rest_at: Height) -> Self {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        let part = Self { budget: self.budget.clone(), at: self.at, bytes };
        self.at = rest_at;
        part
    }
}

impl Drop for BytePermit {
    fn drop(&mut self) {
        self.budget.inner.lock().used -= self.bytes;
        self.budget.inner.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    fn h(number: u64) -> Height {
        Height::new(number)
    }

    #[test]
    fn permits_are_conserved_over_split_and_drop() {
        let budget = ByteBudget::new(100);
        let mut permit = budget.try_reserve(h(1), 80).unwrap();
        assert!(budget.try_reserve(h(50), 21).is_none());
        let part = permit.split(30, h(5));
        assert_eq!((part.bytes(), permit.bytes(), budget.gauge().used), (30, 50, 80));
        drop(part);
        assert_eq!(budget.gauge().used, 50);
        drop(permit);
        assert_eq!(budget.gauge(), BudgetGauge { limit: 100, used: 0, peak: 80 });
    }

    #[tokio::test(start_paused = true)]
    async fn limit_that_is_lowered_takes_nothing_back_and_one_that_is_raised_lets_waiters_go_on() {
        let budget = ByteBudget::new(100);
        let mut held = budget.try_reserve(h(3), 80).unwrap();
        budget.set_limit(0);
        assert_eq!(budget.gauge(), BudgetGauge { limit: 0, used: 80, peak: 80 });
        assert!(timeout(Duration::from_secs(1), held.grow_to(81)).await.is_err());
        let growing = tokio::spawn(async move {
            held.grow_to(120).await;
            held.bytes()
        });
        tokio::task::yield_now().await;
        budget.set_limit(120);
        assert_eq!(growing.await.unwrap(), 120);
    }

    #[test]
    fn front_passes_when_the_budget_is_spent_and_a_giant_passes_alone() {
        let budget = ByteBudget::new(100);
        let _held = budget.try_reserve(h(9), 100).unwrap();
        assert!(budget.try_reserve(h(2), 1).is_none());
        budget.set_front(h(2));
        let giant = budget.try_reserve(h(2), 1_000).unwrap();
        assert_eq!(giant.bytes(), 1_000);
    }

    #[tokio::test(start_paused = true)]
    async fn growth_waits_for_a_release() {
        let budget = ByteBudget::new(100);
        let held = budget.try_reserve(h(3), 60).unwrap();
        let mut growing = budget.try_reserve(h(9), 40).unwrap();
        assert!(timeout(Duration::from_secs(1), growing.grow_to(41)).await.is_err());
        assert_eq!(growing.bytes(), 40);
        drop(held);
        growing.grow_to(41).await;
        assert_eq!(budget.gauge().used, 41);
    }

    #[tokio::test(start_paused = true)]
    async fn growth_that_becomes_the_front_waits_no_longer() {
        let budget = ByteBudget::new(10);
        let _held = budget.try_reserve(h(20), 10).unwrap();
        budget.set_front(h(5));
        let waiting = budget.try_reserve(h(5), 1).unwrap();
        let mut later = waiting;
        let task = tokio::spawn({
            let budget = budget.clone();
            async move {
                drop(later.split(1, h(7)));
                later.grow_to(50).await;
                budget.gauge().used
            }
        });
        tokio::task::yield_now().await;
        assert!(!task.is_finished());
        budget.set_front(h(7));
        assert_eq!(task.await.unwrap(), 60);
    }
}
