//! How quick a reply is, while it streams.

use std::time::Duration;

use tokio::time::Instant;

use crate::reputation::CleanReply;

/// Measures one reply. Time counts only while the reply is read: what we do between two blocks is
/// no matter of the peer.
pub(super) struct ReplyMeter {
    asked: u64,
    blocks: u64,
    bytes: u64,
    began: Instant,
    first_after: Option<Duration>,
    streamed: Duration,
}

impl ReplyMeter {
    /// A request for so many blocks, made now.
    pub(super) fn begin(asked: u64) -> Self {
        let (began, streamed) = (Instant::now(), Duration::ZERO);
        Self { asked, blocks: 0, bytes: 0, began, first_after: None, streamed }
    }

    /// The reply was read for this long.
    pub(super) fn read_for(&mut self, time: Duration) {
        if self.first_after.is_some() {
            self.streamed += time;
        }
    }

    /// A block of this size came.
    pub(super) fn arrived(&mut self, bytes: usize) {
        self.first_after.get_or_insert_with(|| self.began.elapsed());
        self.blocks += 1;
        self.bytes += bytes as u64;
    }

    /// The reply ended cleanly.
    pub(super) fn ended(&self) -> CleanReply {
        CleanReply {
            asked: self.asked,
            blocks: self.blocks,
            bytes: self.bytes,
            first_after: self.first_after,
            streamed: self.streamed,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_reading_after_the_first_block_counts_as_streaming() {
        let second = Duration::from_secs(1);
        let mut meter = ReplyMeter::begin(3);
        advance(second).await;
        meter.read_for(second);
        meter.arrived(700);
        // Busy elsewhere.
        advance(5 * second).await;
        advance(2 * second).await;
        meter.read_for(2 * second);
        meter.arrived(300);
        let (first_after, streamed) = (Some(second), 2 * second);
        let reply = CleanReply { asked: 3, blocks: 2, bytes: 1_000, first_after, streamed };
        assert_eq!(meter.ended(), reply);
    }
}
