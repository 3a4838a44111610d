//! Aura slots.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The number of an Aura slot: time since the Unix epoch divided by the slot duration.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Slot(u64);

impl Slot {
    /// The slot with this number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number of the slot.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
