//! The machine of the node: it has plenty of everything, but for the times that the plan says.

use std::io;

use alys_sync::ports::{ResourceSample, Resources};
use tokio::time::Instant;

use super::Turnstile;
use crate::plan::{Pressure, Scarce};

/// Memory and disk, short of something now and then. Looks wait for their turn.
pub struct Machine {
    turnstile: Turnstile,
    begun: Instant,
    pressures: Vec<Pressure>,
}

impl Machine {
    /// For the runtime of `turnstile`, from now on. Call it inside that runtime.
    pub fn new(turnstile: Turnstile, pressures: Vec<Pressure>) -> Self {
        Self { turnstile, begun: Instant::now(), pressures }
    }
}

impl Resources for Machine {
    fn sample(&self) -> io::Result<ResourceSample> {
        self.turnstile.pass();
        let now = self.begun.elapsed();
        let is_short = |of| self.pressures.iter().any(|one| one.of == of && one.is_on(now));
        Ok(ResourceSample {
            memory_bytes: Some(if is_short(Scarce::Memory) { u64::MAX } else { 0 }),
            disk_free_bytes: Some(if is_short(Scarce::Disk) { 0 } else { u64::MAX }),
        })
    }
}
