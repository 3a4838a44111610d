//! How much we ask of peers that limit their requesters, and how much peers may ask of us. The only
//! file that knows governor.

use std::{
    collections::BTreeMap,
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use governor::{
    RateLimiter,
    middleware::NoOpMiddleware,
    state::{InMemoryState, NotKeyed},
};

use crate::{ports::Clock, types::PeerId};

/// Blocks that a peer which limits its requesters serves at once. Unit: blocks. Source: the quota
/// that the network's software has built in, 1024 blocks in 10 s; today's nodes leave it off. Too
/// low: such a peer gives less than it would. Too high: it refuses us again and again.
const BURST_BLOCKS: NonZeroU32 = NonZeroU32::new(1024).expect("not zero");

/// How long it takes until a limit that was used up is whole again, ours and those of others.
/// Source and ranges as for `BURST_BLOCKS`.
pub const QUOTA_PERIOD: Duration = Duration::from_secs(10);

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

/// A limiter that admits `burst` at once, and as many again in each [`QUOTA_PERIOD`].
fn limiter(burst: NonZeroU32, clock: &PortClock) -> Option<Limiter> {
    let quota = governor::Quota::with_period(QUOTA_PERIOD / burst.get())?;
    Some(RateLimiter::direct_with_clock(quota.allow_burst(burst), clock.clone()))
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
        let Some(limiter) = limiter(BURST_BLOCKS, &self.clock) else { return };
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

/// How much somebody may have of something. `None` is as much as there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// Unit: requests in each [`QUOTA_PERIOD`].
    pub requests: Option<NonZeroU32>,
    /// Unit: blocks in each [`QUOTA_PERIOD`].
    pub blocks: Option<NonZeroU32>,
    /// Unit: MiB in each [`QUOTA_PERIOD`], at most 2^22.
    pub mebibytes: Option<NonZeroU32>,
}

impl Allowance {
    /// As much as there is.
    pub const UNLIMITED: Self = Self { requests: None, blocks: None, mebibytes: None };
}

/// What something takes of an allowance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Cost {
    pub(crate) requests: u32,
    pub(crate) blocks: u32,
    /// Unit: bytes; counted in whole KiB.
    pub(crate) bytes: u64,
}

impl Cost {
    /// What is left of it when `paid` was paid before.
    pub(crate) fn without(self, paid: Self) -> Self {
        Self {
            requests: self.requests.saturating_sub(paid.requests),
            blocks: self.blocks.saturating_sub(paid.blocks),
            bytes: self.bytes.saturating_sub(paid.bytes),
        }
    }

    /// Both.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            requests: self.requests.saturating_add(other.requests),
            blocks: self.blocks.saturating_add(other.blocks),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }
}

/// What is left of an allowance. Whoever wants more than that waits, and those who wait get theirs
/// in the order in which they came.
pub(crate) struct Quota {
    clock: PortClock,
    requests: Option<Limiter>,
    blocks: Option<Limiter>,
    kibibytes: Option<Limiter>,
    allowance: Allowance,
    line: tokio::sync::Mutex<()>,
}

impl Quota {
    /// A quota of which nothing is used.
    pub(crate) fn new(allowance: Allowance, clock: Arc<dyn Clock>) -> Self {
        let clock = PortClock(clock);
        let limiter = |burst: Option<NonZeroU32>| limiter(burst?, &clock);
        Self {
            requests: limiter(allowance.requests),
            blocks: limiter(allowance.blocks),
            kibibytes: limiter(allowance.mebibytes.map(in_kibibytes)),
            allowance,
            line: tokio::sync::Mutex::default(),
            clock,
        }
    }

    /// Waits until there is enough left for `cost`, and takes it. What costs more than a whole
    /// allowance takes several. Dropping the wait gives up one's place; what was taken until then
    /// stays taken.
    pub(crate) async fn pay(&self, cost: Cost) {
        if self.allowance == Allowance::UNLIMITED {
            return;
        }
        let _turn = self.line.lock().await;
        let Allowance { requests, blocks, mebibytes } = self.allowance;
        self.take(&self.requests, requests, cost.requests).await;
        self.take(&self.blocks, blocks, cost.blocks).await;
        let kibibytes = u32::try_from(cost.bytes.div_ceil(1024)).unwrap_or(u32::MAX);
        self.take(&self.kibibytes, mebibytes.map(in_kibibytes), kibibytes).await;
    }

    async fn take(&self, limiter: &Option<Limiter>, burst: Option<NonZeroU32>, count: u32) {
        let (Some(limiter), Some(burst)) = (limiter, burst) else { return };
        let mut left = count;
        // The parts are compared as plain numbers. rustc 1.95 forgets, when it optimises, that
        // `NonZeroU32::new(left).map(|left| left.min(burst))` may be `None`: the loop never ended.
        while let Some(part) = NonZeroU32::new(left.min(burst.get())) {
            match limiter.check_n(part) {
                // A part is no more than a burst, so it is never refused for good.
                Ok(Ok(())) | Err(_) => left -= part.get(),
                Ok(Err(not_until)) => {
                    tokio::time::sleep(not_until.wait_time_from(self.clock.0.now())).await;
                }
            }
        }
    }
}

fn in_kibibytes(mebibytes: NonZeroU32) -> NonZeroU32 {
    const OF_ONE: NonZeroU32 = NonZeroU32::new(1024).expect("not zero");
    mebibytes.saturating_mul(OF_ONE)
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
        assert!(wait <= QUOTA_PERIOD / 8 && wait > QUOTA_PERIOD / 10, "{wait:?}");
        tokio::time::advance(wait).await;
        assert_eq!(limits.admit(peer(1), 128), Ok(()));
        let mut served = 128;
        for _ in 0..600 {
            tokio::time::advance(Duration::from_millis(100)).await;
            served += u64::from(limits.admit(peer(1), 16).is_ok()) * 16;
        }
        assert!((5_500..=6_300).contains(&served), "{served} in 61 s at 102.4 a second");
    }

    fn quota(requests: u32, blocks: u32, mebibytes: u32) -> Arc<Quota> {
        let [requests, blocks, mebibytes] = [requests, blocks, mebibytes].map(NonZeroU32::new);
        let clock = Arc::new(SystemClock::start());
        Arc::new(Quota::new(Allowance { requests, blocks, mebibytes }, clock))
    }

    /// The time it takes to pay.
    async fn time_of(quota: &Quota, costs: impl IntoIterator<Item = Cost>) -> Duration {
        let begun = tokio::time::Instant::now();
        for cost in costs {
            quota.pay(cost).await;
        }
        begun.elapsed()
    }

    fn about(took: Duration, seconds: f64) -> bool {
        (took.as_secs_f64() - seconds).abs() < 0.1
    }

    #[tokio::test(start_paused = true)]
    async fn allowance_comes_at_once_and_again_in_each_period() {
        let request = Cost { requests: 1, ..Cost::default() };
        let blocks = Cost { blocks: 100, ..Cost::default() };
        let bytes = Cost { bytes: 1 << 20, ..Cost::default() };
        for (quota, cost) in
            [(quota(10, 0, 0), request), (quota(0, 1_000, 0), blocks), (quota(0, 0, 10), bytes)]
        {
            assert_eq!(time_of(&quota, [cost; 10]).await, Duration::ZERO);
            let took = time_of(&quota, [cost; 25]).await;
            assert!(about(took, 25.0), "{cost:?}: {took:?}");
            tokio::time::advance(100 * QUOTA_PERIOD).await;
            assert_eq!(time_of(&quota, [cost; 10]).await, Duration::ZERO);
            assert!(time_of(&quota, [cost]).await > Duration::ZERO, "more was saved up");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_costs_more_than_an_allowance_takes_several() {
        let quota = quota(0, 10, 1);
        let cost = Cost { requests: 1, blocks: 30, bytes: 1 << 20 };
        let took = time_of(&quota, [cost]).await;
        assert!(about(took, 20.0), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_costs_nothing_does_not_wait_for_what_is_used_up() {
        let quota = quota(1, 1, 1);
        time_of(&quota, [Cost { requests: 1, blocks: 1, bytes: 1 << 20 }]).await;
        assert_eq!(time_of(&quota, [Cost::default(); 3]).await, Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_wait_get_theirs_in_the_order_in_which_they_came() {
        let quota = quota(0, 100, 0);
        let (order, mut paid) = tokio::sync::mpsc::unbounded_channel();
        // The last wants least, and would be first if what is left were given to whom it is enough.
        let costs = [100, 50, 20, 1].map(|blocks| Cost { blocks, ..Cost::default() });
        for (number, cost) in costs.into_iter().enumerate() {
            let (quota, order) = (Arc::clone(&quota), order.clone());
            tokio::spawn(async move {
                quota.pay(cost).await;
                order.send(number).unwrap();
            });
            tokio::task::yield_now().await;
        }
        for number in 0..costs.len() {
            assert_eq!(paid.recv().await, Some(number));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn without_an_allowance_nothing_waits() {
        let quota = quota(0, 0, 0);
        let cost = Cost { requests: u32::MAX, blocks: u32::MAX, bytes: u64::MAX };
        assert_eq!(time_of(&quota, [cost; 3]).await, Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_bounded_whoever_refuses() {
        let limits = PeerLimits::new(Arc::new(SystemClock::start()));
        (0..LIMITED_MAX + 50).for_each(|_| limits.has_refused(PeerId::random()));
        assert_eq!(limits.lock().len(), LIMITED_MAX);
    }
}
