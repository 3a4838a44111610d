//! The node's clock in virtual time.

use std::time::Duration;

use alys_sync::ports::Clock;
use tokio::time::Instant;

/// When runs take place, as time since the Unix epoch: a fixed moment, so that runs can be
/// repeated.
const UNIX_START: Duration = Duration::from_secs(1_750_000_000);

/// Tokio's time, for both clocks of a node.
#[derive(Debug, Clone)]
pub struct VirtualClock {
    start: Instant,
}

impl VirtualClock {
    /// A clock that starts now. Call it inside a tokio runtime.
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn unix(&self) -> Duration {
        UNIX_START + self.start.elapsed()
    }
}
