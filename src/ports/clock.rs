//! Time as an injected value.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// Where time comes from. Cores never ask it: actors do, and hand the value on.
pub trait Clock: Send + Sync + 'static {
    /// Time since an arbitrary fixed moment; never goes back.
    fn now(&self) -> Duration;

    /// Time since the Unix epoch; may jump.
    fn unix(&self) -> Duration;
}

/// The machine's clocks. Monotonic time is tokio's, so that a paused runtime drives it.
#[derive(Debug, Clone)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// A clock that starts at zero now. Call it inside a tokio runtime.
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn unix(&self) -> Duration {
        // A wall clock before 1970 is as good as unset: zero is what such a machine should report.
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }
}
