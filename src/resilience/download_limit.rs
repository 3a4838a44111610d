//! How many bytes a second all replies together may bring.
//!
//! A block is only read when what came before is paid for; what is not read stays with its sender,
//! by the windows of the streams. governor counts permits in advance and this has to count bytes
//! afterwards, when a block's size is known, so it is not used here.

use std::{
    num::NonZeroU64,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::ports::Clock;

/// What may come at once after a pause. Unit: time at the full rate. Too low: the timer's
/// granularity costs throughput. Too high: bursts above the limit.
const BURST: Duration = Duration::from_millis(50);

/// The bytes a second of all downloads. Clones share it.
#[derive(Clone)]
pub(super) struct DownloadLimit {
    clock: Arc<dyn Clock>,
    bytes_per_second: Option<NonZeroU64>,
    /// When everything that came so far is paid for.
    paid_at: Arc<Mutex<Duration>>,
    /// Replies wait in the order in which they came, or a few would take everything.
    queue: Arc<tokio::sync::Mutex<()>>,
}

impl DownloadLimit {
    pub(super) fn new(clock: Arc<dyn Clock>, bytes_per_second: Option<NonZeroU64>) -> Self {
        Self { clock, bytes_per_second, paid_at: Arc::default(), queue: Arc::default() }
    }

    /// Waits until one more block may be read. Dropping the wait changes nothing.
    pub(super) async fn ready(&self) {
        if self.bytes_per_second.is_none() {
            return;
        }
        let _turn = self.queue.lock().await;
        loop {
            let paid_at = *self.paid_at.lock().unwrap_or_else(PoisonError::into_inner);
            let debt = paid_at.saturating_sub(self.clock.now());
            if debt <= BURST {
                return;
            }
            // Others may have read more meanwhile: look again.
            tokio::time::sleep(debt - BURST).await;
        }
    }

    /// A block of so many bytes was read.
    pub(super) fn charge(&self, bytes: u64) {
        let Some(rate) = self.bytes_per_second else { return };
        let takes = Duration::try_from_secs_f64(bytes as f64 / rate.get() as f64);
        let mut paid_at = self.paid_at.lock().unwrap_or_else(PoisonError::into_inner);
        let from = (*paid_at).max(self.clock.now());
        *paid_at = from.saturating_add(takes.unwrap_or(Duration::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::SystemClock;

    async fn read(limit: DownloadLimit, blocks: u64, bytes: u64) {
        for _ in 0..blocks {
            limit.ready().await;
            limit.charge(bytes);
        }
    }

    fn limit(bytes_per_second: u64) -> DownloadLimit {
        let clock = Arc::new(SystemClock::start());
        DownloadLimit::new(clock, NonZeroU64::new(bytes_per_second))
    }

    #[tokio::test(start_paused = true)]
    async fn all_streams_together_get_no_more_than_the_limit_and_no_less() {
        let limit = limit(1_000_000);
        let begun = limit.clock.now();
        let streams = (0..20).map(|_| tokio::spawn(read(limit.clone(), 100, 5_000)));
        for stream in streams.collect::<Vec<_>>() {
            stream.await.unwrap();
        }
        let seconds = (limit.clock.now() - begun).as_secs_f64();
        // 10 MB; at most the burst, and the last block of each stream, is not yet paid for.
        assert!((9.8..=10.1).contains(&seconds), "{seconds}");
    }

    #[tokio::test(start_paused = true)]
    async fn pause_saves_up_no_more_than_a_burst() {
        let limit = limit(1_000_000);
        tokio::time::sleep(Duration::from_secs(60)).await;
        let begun = limit.clock.now();
        read(limit.clone(), 200, 5_000).await;
        assert!((limit.clock.now() - begun).as_secs_f64() > 0.9);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_limit_nothing_waits() {
        let limit = DownloadLimit::new(Arc::new(SystemClock::start()), None);
        let begun = limit.clock.now();
        read(limit.clone(), 10, u64::MAX).await;
        assert_eq!(limit.clock.now(), begun);
    }
}
