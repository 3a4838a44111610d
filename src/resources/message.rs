//! What the resource monitor is told.

use std::io;

use supervisors::Vital;

use super::Waiting;
use crate::ports::ResourceSample;

/// Messages to the resource monitor.
pub enum ResourceMsg {
    /// Time to look.
    Tick,
    /// What was found.
    Found {
        /// The sample, or why there is none.
        found: io::Result<ResourceSample>,
    },
    /// What waits for verification and import.
    Waiting {
        /// How much.
        waiting: Waiting,
    },
    /// A sign of life is asked for.
    Vital(Vital),
}

impl From<Vital> for ResourceMsg {
    fn from(vital: Vital) -> Self {
        Self::Vital(vital)
    }
}
