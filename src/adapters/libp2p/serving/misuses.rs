//! Reports of misuse: few, however often a peer misuses the server.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    ports::{Clock, Misuse, NetworkEvent, NetworkEvents},
    types::PeerId,
};

/// Between two reports of one peer and kind. Unit: time. Too low: a flood of requests becomes one
/// of reports. Too high: it is answered late.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// What was not reported yet, of one peer and kind.
#[derive(Debug, Clone, Copy)]
struct Unreported {
    /// When the last report was made.
    reported: Duration,
    times: u32,
}

/// What peers did that those who behave never do.
pub(super) struct Misuses {
    events: Arc<dyn NetworkEvents>,
    clock: Arc<dyn Clock>,
    /// Whoever was reported less than [`REPORT_EVERY`] ago; others are dropped when one is added.
    seen: Mutex<BTreeMap<(PeerId, Misuse), Unreported>>,
}

impl Misuses {
    pub(super) fn new(events: Arc<dyn NetworkEvents>, clock: Arc<dyn Clock>) -> Self {
        Self { events, clock, seen: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(PeerId, Misuse), Unreported>> {
        // Nothing panics while the lock is held; a poisoned map is still a correct one.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts one misuse. The first is reported at once; where a time is returned, the caller has
    /// to call [`Self::report`] when it has passed.
    pub(super) fn count(&self, peer: PeerId, misuse: Misuse) -> Option<Duration> {
        let now = self.clock.now();
        let mut seen = self.lock();
        if let Some(unreported) = seen.get_mut(&(peer, misuse)) {
            let due = unreported.reported + REPORT_EVERY;
            if now < due || unreported.times > 0 {
                unreported.times = unreported.times.saturating_add(1);
                return (unreported.times == 1).then(|| due - now);
            }
        }
        seen.retain(|_, other| other.times > 0 || now < other.reported + REPORT_EVERY);
        seen.insert((peer, misuse), Unreported { reported: now, times: 0 });
        drop(seen);
        self.events.on_event(NetworkEvent::Misused { peer, misuse, times: 1 });
        None
    }

    /// Reports what was counted since the last report.
    pub(super) fn report(&self, peer: PeerId, misuse: Misuse) {
        let mut seen = self.lock();
        let Some(unreported) = seen.get_mut(&(peer, misuse)) else { return };
        let times = std::mem::take(&mut unreported.times);
        unreported.reported = self.clock.now();
        drop(seen);
        if times > 0 {
            self.events.on_event(NetworkEvent::Misused { peer, misuse, times });
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{advance, sleep};

    use super::*;
    use crate::{doubles::peer, ports::SystemClock};

    #[derive(Default)]
    struct Reports(Mutex<Vec<(PeerId, Misuse, u32)>>);

    impl NetworkEvents for Reports {
        fn on_event(&self, event: NetworkEvent) {
            let NetworkEvent::Misused { peer, misuse, times } = event else { panic!("{event:?}") };
            self.0.lock().unwrap().push((peer, misuse, times));
        }
    }

    fn misuses() -> (Arc<Misuses>, Arc<Reports>) {
        let reports = Arc::new(Reports::default());
        let clock = Arc::new(SystemClock::start());
        (Arc::new(Misuses::new(Arc::clone(&reports) as Arc<dyn NetworkEvents>, clock)), reports)
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_one_report_a_second_and_each_misuse_is_counted_once() {
        let (misuses, reports) = misuses();
        let kind = Misuse::TooManyRequests;
        for _ in 0..5_000 {
            if let Some(wait) = misuses.count(peer(1), kind) {
                let misuses = Arc::clone(&misuses);
                tokio::spawn(async move {
                    sleep(wait).await;
                    misuses.report(peer(1), kind);
                });
            }
            sleep(Duration::from_millis(1)).await;
        }
        advance(REPORT_EVERY).await;
        sleep(REPORT_EVERY).await;
        let reports = reports.0.lock().unwrap().clone();
        assert!((5..=7).contains(&reports.len()), "{reports:?}");
        assert_eq!(reports.iter().map(|(.., times)| times).sum::<u32>(), 5_000);
    }

    #[tokio::test(start_paused = true)]
    async fn peers_and_kinds_are_reported_apart() {
        let (misuses, reports) = misuses();
        let each = [
            (peer(1), Misuse::MalformedRequest),
            (peer(1), Misuse::TooManyRequests),
            (peer(2), Misuse::MalformedRequest),
        ];
        for (peer, misuse) in each {
            assert_eq!(misuses.count(peer, misuse), None);
        }
        assert_eq!(*reports.0.lock().unwrap(), each.map(|(peer, misuse)| (peer, misuse, 1)));
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_bounded_whoever_misuses() {
        let (misuses, _) = misuses();
        for _ in 0..1_000 {
            misuses.count(PeerId::random(), Misuse::MalformedRequest);
            sleep(Duration::from_millis(100)).await;
        }
        assert!(misuses.lock().len() <= 11, "{}", misuses.lock().len());
    }
}
