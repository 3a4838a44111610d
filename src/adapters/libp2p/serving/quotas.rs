//! The quota of each peer that asks.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::{
    ports::Clock,
    resilience::{Allowance, QUOTA_PERIOD, Quota},
    types::PeerId,
};

/// Peers whose quotas are kept. Unit: peers. Far above the peers that are connected at once. Too
/// low: a peer gets a new quota by coming back. Too high: memory that anybody with many identities
/// can fill, about 300 bytes each.
const QUOTAS_MAX: usize = 1_024;

struct Used {
    quota: Arc<Quota>,
    /// When the peer asked last.
    at: Duration,
}

/// The same allowance for each peer.
pub(super) struct Quotas {
    allowance: Allowance,
    clock: Arc<dyn Clock>,
    used: Mutex<BTreeMap<PeerId, Used>>,
}

impl Quotas {
    pub(super) fn new(allowance: Allowance, clock: Arc<dyn Clock>) -> Self {
        Self { allowance, clock, used: Mutex::default() }
    }

    /// The quota of `peer`, which asks now.
    pub(super) fn of(&self, peer: PeerId) -> Arc<Quota> {
        let now = self.clock.now();
        // Nothing panics while the lock is held; a poisoned map is still a correct one.
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(used) = used.get_mut(&peer) {
            used.at = now;
            return Arc::clone(&used.quota);
        }
        // A quota that nobody used for so long is whole again, and as good as a new one.
        used.retain(|_, used| used.is_held() || now < used.at + QUOTA_PERIOD);
        if used.len() >= QUOTAS_MAX {
            let oldest = used.iter().filter(|(_, used)| !used.is_held());
            let oldest = oldest.min_by_key(|(_, used)| used.at).map(|(peer, _)| *peer);
            oldest.and_then(|oldest| used.remove(&oldest));
        }
        let quota = Arc::new(Quota::new(self.allowance, Arc::clone(&self.clock)));
        used.insert(peer, Used { quota: Arc::clone(&quota), at: now });
        quota
    }
}

impl Used {
    /// Whether a reply is open that it is for.
    fn is_held(&self) -> bool {
        Arc::strong_count(&self.quota) > 1
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use tokio::time::{Instant, advance};

    use super::*;
    use crate::{doubles::peer, ports::SystemClock, resilience::Cost};

    fn quotas() -> Quotas {
        let allowance = Allowance { blocks: NonZeroU32::new(10), ..Allowance::UNLIMITED };
        Quotas::new(allowance, Arc::new(SystemClock::start()))
    }

    async fn time_of_ten_blocks(quota: &Quota) -> Duration {
        let begun = Instant::now();
        quota.pay(Cost { blocks: 10, ..Cost::default() }).await;
        begun.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn peer_does_not_get_a_new_quota_by_coming_back() {
        let quotas = quotas();
        assert_eq!(time_of_ten_blocks(&quotas.of(peer(1))).await, Duration::ZERO);
        assert_eq!(time_of_ten_blocks(&quotas.of(peer(2))).await, Duration::ZERO);
        assert!(time_of_ten_blocks(&quotas.of(peer(1))).await > QUOTA_PERIOD / 2);
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_bounded_whoever_asks() {
        let quotas = quotas();
        for _ in 0..QUOTAS_MAX + 50 {
            quotas.of(PeerId::random());
        }
        assert_eq!(quotas.used.lock().unwrap().len(), QUOTAS_MAX);
        let held = quotas.of(peer(1));
        advance(2 * QUOTA_PERIOD).await;
        quotas.of(peer(2));
        assert_eq!(quotas.used.lock().unwrap().len(), 2, "those that may be forgotten are");
        drop(held);
    }
}
