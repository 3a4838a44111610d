//! What reputation is told.

use super::Evidence;
use crate::{
    resilience::ProbeAnswer,
    types::{Multiaddr, PeerId},
};

/// Messages to reputation.
pub enum ReputationMsg {
    /// A peer connected, or is reached at another address now.
    Connected {
        /// Who.
        peer: PeerId,
        /// Where.
        address: Multiaddr,
    },
    /// The last connection to a peer is gone.
    Disconnected {
        /// Who.
        peer: PeerId,
    },
    /// Exactly these are connected.
    ConnectedPeers {
        /// Who and where.
        peers: Vec<(PeerId, Multiaddr)>,
    },
    /// An observation.
    Observed {
        /// Of whom.
        peer: PeerId,
        /// What.
        evidence: Evidence,
    },
    /// What a peer answered when asked for block 1.
    Checked {
        /// Who.
        peer: PeerId,
        /// What.
        answer: ProbeAnswer,
    },
    /// The scheduler was started and knows no peers.
    SchedulerStarted,
    /// The coordinator was started and knows no peers.
    CoordinatorStarted,
    /// Time passed.
    Tick,
}
