//! What the core shows of itself, for status and tests.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{DownloadCore, Flight, Held, Rival};
use crate::types::{Height, HeightRange, PeerId};

/// Where the lowest height that is not imported is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Front {
    /// No blocks are needed.
    Closed,
    /// Nobody was asked for it yet.
    Wanted {
        /// The height.
        height: Height,
    },
    /// A peer was asked for it.
    InFlight {
        /// The height.
        height: Height,
        /// The peer that was asked last.
        peer: PeerId,
    },
    /// It is being verified.
    Verifying {
        /// The height.
        height: Height,
    },
    /// It was given to the importer.
    Importing {
        /// The height.
        height: Height,
    },
}

/// Figures of the window, for status and tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct WindowGauge {
    /// Requests open.
    pub requests: usize,
    /// Heights not asked yet.
    pub wanted_blocks: u64,
    /// Heights asked and not arrived.
    pub in_flight_blocks: u64,
    /// Heights being verified.
    pub verifying_blocks: u64,
    /// Heights verified and waiting for a lower one.
    pub held_blocks: u64,
    /// Heights given to the importer and not imported yet.
    pub released_blocks: u64,
    /// Requests open, and pieces of replies that are being verified or wait for lower ones.
    pub segments: usize,
    /// How often the front was asked of a second peer, since the scheduler started.
    pub hedges_sent: u64,
    /// How often the second peer was first.
    pub hedges_won: u64,
    /// What of the blocks received since the scheduler started went on to verification. Unit:
    /// bytes.
    pub used_bytes: u64,
    /// What did not, so far: it came twice, or from a request that was given up, or was asked for
    /// to learn how high a chain is. Unit: bytes.
    pub unused_bytes: u64,
}

impl WindowGauge {
    /// Whether no height of the window is under way.
    pub fn is_empty(&self) -> bool {
        let Self { hedges_sent, hedges_won, used_bytes, unused_bytes, .. } = *self;
        *self == Self { hedges_sent, hedges_won, used_bytes, unused_bytes, ..Self::default() }
    }
}

impl<S: Held> DownloadCore<S> {
    /// Where the front is.
    pub fn front_state(&self) -> Front {
        let height = self.next_import;
        if self.last.is_none_or(|last| last < height) {
            return Front::Closed;
        }
        let at_front = |flight: &&Flight| flight.missing.is_some_and(|m| m.contains(height));
        if let Some(flight) = self.flights.values().rev().find(at_front) {
            return Front::InFlight { height, peer: flight.peer };
        }
        if self.verifying.values().any(|(range, _)| range.contains(height)) {
            return Front::Verifying { height };
        }
        if height < self.next_release {
            return Front::Importing { height };
        }
        Front::Wanted { height }
    }

    /// The figures of the window.
    pub fn gauge(&self) -> WindowGauge {
        let blocks = |held: &BTreeMap<Height, S>| held.values().map(|s| s.range().count()).sum();
        WindowGauge {
            requests: self.flights.len(),
            wanted_blocks: self.wanted.count(),
            in_flight_blocks: self
                .flights
                .values()
                .filter(|flight| !matches!(flight.rival, Some(Rival::First(_))))
                .filter_map(|flight| flight.missing)
                .map(HeightRange::count)
                .sum(),
            verifying_blocks: self.verifying.values().map(|(range, _)| range.count()).sum(),
            held_blocks: blocks(&self.held),
            released_blocks: blocks(&self.released),
            segments: self.flights.len() + self.verifying.len() + self.held.len(),
            hedges_sent: self.hedges_sent,
            hedges_won: self.hedges_won,
            used_bytes: self.used_bytes,
            unused_bytes: 0,
        }
    }
}
