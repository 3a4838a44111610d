//! How much memory a sync takes whose store is far slower than everything else.

use std::{num::NonZeroU64, path::Path, time::Duration};

use serde::Serialize;

use super::{chains::BenchChain, node_run::NodeRun};
use crate::cli::{Context, Ending, progress::Progress};

/// Processes that serve.
const SERVERS: u8 = 8;

/// The store is so many times slower than the sync could be. Source: the promise that is measured.
const SLOWER: u128 = 10;

/// What two syncs of the same chain came to.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Memory {
    pub(super) chain_bytes: u64,
    pub(super) chain_blocks: u64,
    /// Without a limit, from start to last import.
    pub(super) bytes_per_second: f64,
    /// The most that an untroubled sync used. Unit: bytes. `None` where it is not known.
    pub(super) peak_memory_bytes: Option<u64>,
    /// What the store then took at most.
    pub(super) throttled_bytes_per_second: NonZeroU64,
    /// How long that sync took.
    pub(super) throttled_seconds: f64,
    /// The most that it used. Unit: bytes. `None` where it is not known.
    pub(super) peak_memory_bytes_throttled: Option<u64>,
}

/// Syncs `chain` as fast as can be, then with a store that takes a tenth of that.
pub(super) async fn measure(
    chain: &BenchChain,
    dir: &Path,
    context: &Context,
) -> Result<Memory, Ending> {
    let servers = chain.served(SERVERS, context).await?;
    let mut shown = Progress::bar_or_lines(&context.bars);
    shown.work("memory", 0, 2);
    let peers = servers.addresses();
    let mut run = NodeRun { chain, peers, import_bytes_per_second: None };
    let free = run.sync(dir, context).await?;
    let throttled = throttled_rate(chain.bytes, free.seconds);
    run.import_bytes_per_second = Some(throttled);
    shown.work("memory, slow store", 1, 2);
    let slow = run.sync(dir, context).await?;
    drop(shown);
    servers.stop().await;
    Ok(Memory {
        chain_bytes: chain.bytes,
        chain_blocks: chain.blocks(),
        bytes_per_second: chain.bytes as f64 / free.seconds,
        peak_memory_bytes: free.peak_memory_bytes,
        throttled_bytes_per_second: throttled,
        throttled_seconds: slow.seconds,
        peak_memory_bytes_throttled: slow.peak_memory_bytes,
    })
}

/// A part of the rate at which `bytes` were imported in `seconds`. Unit: bytes a second.
fn throttled_rate(bytes: u64, seconds: f64) -> NonZeroU64 {
    let micros = Duration::from_secs_f64(seconds).as_micros().max(1);
    let rate = u128::from(bytes) * 1_000_000 / micros / SLOWER;
    u64::try_from(rate).ok().and_then(NonZeroU64::new).unwrap_or(NonZeroU64::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_store_takes_a_tenth() {
        assert_eq!(throttled_rate(1_000_000, 0.5).get(), 200_000);
        assert_eq!(throttled_rate(1, 1_000.0).get(), 1);
    }
}
