//! The way between the node and one peer: delay and rate, shared by all replies of the peer.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// How fast a link is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkSpeed {
    /// Time from one end to the other.
    pub delay: Duration,
    /// What it carries towards the node. Unit: bytes a second, at least 1.
    pub bytes_per_second: u64,
}

impl LinkSpeed {
    fn takes(self, bytes: usize) -> Duration {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let micros = bytes.saturating_mul(1_000_000) / self.bytes_per_second.max(1);
        Duration::from_micros(micros)
    }
}

/// A link. Bytes of several replies queue up behind each other on it.
#[derive(Debug)]
pub struct Link {
    free_at: Mutex<Option<Instant>>,
}

impl Link {
    /// An idle link.
    pub fn idle() -> Self {
        Self { free_at: Mutex::new(None) }
    }

    /// Sends `bytes` that are ready at `ready`; when the last of them has left the peer.
    pub fn send(&self, speed: LinkSpeed, ready: Instant, bytes: usize) -> Instant {
        let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
        let start = free_at.map_or(ready, |free| free.max(ready));
        let end = start + speed.takes(bytes);
        *free_at = Some(end);
        end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn replies_of_one_peer_share_its_rate() {
        let link = Link::idle();
        let speed = LinkSpeed { delay: Duration::ZERO, bytes_per_second: 1_000 };
        let now = Instant::now();
        assert_eq!(link.send(speed, now, 500), now + Duration::from_millis(500));
        assert_eq!(link.send(speed, now, 500), now + Duration::from_secs(1));
        let later = now + Duration::from_secs(3);
        assert_eq!(link.send(speed, later, 1), later + Duration::from_millis(1));
    }
}
