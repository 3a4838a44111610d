//! How much we ask of peers that limit their requesters. The only file that knows governor.

use std::{
    collections::BTreeMap,
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use governor::{
    Quota, RateLimiter,
    middleware::NoOpMiddleware,
    state::{InMemoryState, NotKeyed},
};

use crate::{ports::Clock, types::PeerId};

/// Blocks that a peer which limits its requesters serves at once. Unit: blocks. Source: the quota
/// that the network's software has built in, 1024 blocks in 10 s; today's nodes leave it off. Too
/// low: such a peer gives less than it would. Too high: it refuses us again and again.
const BURST_BLOCKS: NonZeroU32 = NonZeroU32::new(1024).expect("not zero");

/// How long it takes until it serves as many again. Source and ranges as for [`BURST_BLOCKS`].
const BURST_EVERY: Duration = Duration::from_secs(10);

/// Peers whose limits are kept. Unit: peers. Too low: a limit is forgotten and has to be shown
/// again. Too high: memory that anybody with many identities can fill.
const LIMITED_MAX: usize = 1024;

type Limiter = RateLimiter<NotKeyed, InMemoryState, PortClock, NoOpMiddleware<Duration>>;

/// Time as our ports have it, so that limits hold in virtual time too.
#[derive(Clone)]
struct PortClock(Arc<dyn Clock>);

impl governor::clock::Clock for PortClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.now()
    }
}

/// The limits of peers that have shown that they have some. All others may be asked freely.
pub(super) struct PeerLimits {
    clock: PortClock,
    limited: Mutex<BTreeMap<PeerId, Limiter>>,
}

impl PeerLimits {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock: PortClock(clock), limited: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<PeerId, Limiter>> {
        self.limited.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `peer` has refused a request because of its limit: it has nothing left for us now.
    pub(super) fn has_refused(&self, peer: PeerId) {
        let period = BURST_EVERY / BURST_BLOCKS.get();
        let Some(quota) = Quota::with_period(period) else { return };
        let limiter =
            RateLimiter::direct_with_clock(quota.allow_burst(BURST_BLOCKS), self.clock.clone());
        // A fresh limiter admits a whole burst: take it.
        let _ = limiter.check_n(BURST_BLOCKS);
        let mut limited = self.lock();
        if limited.len() >= LIMITED_MAX && !limited.contains_key(&peer) {
            limited.pop_first();
        }
        limited.insert(peer, limiter);
    }

    /// Whether `peer` may be asked for `blocks` now; if so, they are counted.
    ///
    /// # Errors
    /// How long to wait.
    pub(super) fn admit(&self, peer: PeerId, blocks: u64) -> Result<(), Duration> {
        let limited = self.lock();
        let Some(limiter) = limited.get(&peer) else { return Ok(()) };
        // More than a burst is never admitted as a whole: a burst is what it counts as.
        let blocks = u32::try_from(blocks).ok().and_then(NonZeroU32::new).unwrap_or(BURST_BLOCKS);
        match limiter.check_n(blocks.min(BURST_BLOCKS)) {
            Ok(Ok(())) | Err(_) => Ok(()),
            Ok(Err(not_until)) => Err(not_until.wait_time_from(self.clock.0.now())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{doubles::peer, ports::SystemClock};

    #[tokio::test(start_paused = true)]
    async fn peer_that_never_refused_is_asked_freely() {
        let limits = PeerLimits::new(Arc::new(SystemClock::start()));
        for _ in 0..100 {
            assert_eq!(limits.admit(peer(1), 1024), Ok(()));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn peer_that_refused_is_asked_for_what_it_serves_in_the_long_run() {
        let limits = PeerLimits::new(Arc::new(SystemClock::start()));
        limits.has_refused(peer(1));
        assert!(limits.admit(peer(1), 1).is_err(), "it has nothing left");
        assert_eq!(limits.admit(peer(2), 1024), Ok(()), "another is not concerned");
        let wait = limits.admit(peer(1), 128).unwrap_err();
        assert!(wait <= BURST_EVERY / 8 && wait > BURST_EVERY / 10, "{wait:?}");
        tokio::time::advance(wait).await;
        assert_eq!(limits.admit(peer(1), 128), Ok(()));
        let mut served = 128;
        for _ in 0..600 {
            tokio::time::advance(Duration::from_millis(100)).await;
            served += u64::from(limits.admit(peer(1), 16).is_ok()) * 16;
        }
        assert!((5_500..=6_300).contains(&served), "{served} in 61 s at 102.4 a second");
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_bounded_whoever_refuses() {
        let limits = PeerLimits::new(Arc::new(SystemClock::start()));
        (0..LIMITED_MAX + 50).for_each(|_| limits.has_refused(PeerId::random()));
        assert_eq!(limits.lock().len(), LIMITED_MAX);
    }
}
