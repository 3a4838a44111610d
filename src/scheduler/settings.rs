//! What an operator may choose about downloads.

use std::{num::NonZeroU64, time::Duration};

use super::policy::Allocation;

/// Choices of the download scheduler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// How far beyond the imported head heights are asked for. Unit: blocks, at least 1. Too low:
    /// fast peers wait for slow ones. Too high: more blocks are held when the lowest is missing
    /// (their bytes are bounded by the budget all the same).
    pub window_blocks: u64,
    /// Largest request. Unit: blocks, 1..=1024 (servers cap there).
    pub batch_size_max: u64,
    /// Most requests open at one peer at once, 1..=30. Today's nodes close a connection at the
    /// 33rd open stream.
    pub requests_per_peer_max: usize,
    /// The longest that the first block of a reply, or the next one, may take: so long it is for a
    /// peer that was not measured. Too low: slow links lose their requests. Too high: a silent peer
    /// holds its range for long.
    pub block_deadline: Duration,
    /// What all downloads together may bring a second; `None` for no limit. Unit: bytes of blocks
    /// as they are after decompression. Too low: the sync is slower than the network grows.
    pub bytes_per_second_max: Option<NonZeroU64>,
    /// How that is divided between the peers.
    pub allocation: Allocation,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            window_blocks: 8_192,
            batch_size_max: 128,
            requests_per_peer_max: 24,
            block_deadline: Duration::from_secs(8),
            bytes_per_second_max: None,
            allocation: Allocation::default(),
        }
    }
}
