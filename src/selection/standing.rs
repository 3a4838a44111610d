//! What is known of a peer when somebody is to be chosen.

// Of the core library, for an address is a value: nothing here can open a socket.
use core::net::IpAddr;
use std::time::Duration;

use crate::types::PeerId;

/// The score and the reliability of a peer nobody knows. Unit: thousandths.
const NEUTRAL: u16 = 500;

/// All that reputation tells of a usable peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// How good it is overall. Unit: thousandths, 0 to 1000.
    pub score: u16,
    /// How often it does what it is asked. Unit: thousandths, 0 to 1000.
    pub reliability: u16,
    /// How long it takes to answer, if that was measured.
    pub latency: Option<Duration>,
    /// What it delivers, if that was measured. Unit: bytes a second.
    pub bytes_per_second: Option<u64>,
    /// Where it is, if its address says so.
    pub ip: Option<IpAddr>,
}

impl Default for Standing {
    /// That of a peer nobody knows.
    fn default() -> Self {
        Self {
            score: NEUTRAL,
            reliability: NEUTRAL,
            latency: None,
            bytes_per_second: None,
            ip: None,
        }
    }
}

/// What a peer has to do for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Load {
    /// Requests open.
    pub requests: usize,
    /// Most requests that may be open at it; 0 counts as 1.
    pub requests_max: usize,
    /// Blocks asked and not arrived.
    pub blocks: u64,
}

impl Load {
    /// Which part of its requests is in use. Unit: thousandths.
    pub(super) fn utilization(&self) -> u64 {
        let requests = self.requests.saturating_mul(1_000) / self.requests_max.max(1);
        requests as u64
    }
}

/// Somebody who may be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// Who.
    pub peer: PeerId,
    /// What is known of it.
    pub standing: Standing,
    /// What it has to do.
    pub load: Load,
}
