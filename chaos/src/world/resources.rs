//! A machine that lacks nothing.

use std::io;

use alys_sync::ports::{ResourceSample, Resources};

use super::Turnstile;

/// Memory and disk without end. Looks wait for their turn.
pub struct PlentyOfRoom {
    turnstile: Turnstile,
}

impl PlentyOfRoom {
    /// For the runtime of `turnstile`.
    pub fn new(turnstile: Turnstile) -> Self {
        Self { turnstile }
    }
}

impl Resources for PlentyOfRoom {
    fn sample(&self) -> io::Result<ResourceSample> {
        self.turnstile.pass();
        Ok(ResourceSample { memory_bytes: Some(0), disk_free_bytes: Some(u64::MAX) })
    }
}
