//! What reputation is told.

use std::time::Duration;

use ractor::RpcReplyPort;
use supervisors::Vital;

use super::{BanStatus, Evidence, StoredPeer};
use crate::{
    resilience::ProbeAnswer,
    types::{BlockRef, Multiaddr, PeerId},
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
    /// What was stored before this start.
    Restored {
        /// The records.
        stored: Vec<StoredPeer>,
    },
    /// Records were stored, or not.
    Stored {
        /// Of whom it failed.
        failed: Vec<PeerId>,
    },
    /// The chain at heights that questions are open of.
    Settled {
        /// The blocks there.
        blocks: Vec<BlockRef>,
    },
    /// An operator wants a peer kept out.
    Ban {
        /// Who.
        peer: PeerId,
        /// For how long; as long as a liar if not given.
        length: Option<Duration>,
        /// What came of it.
        reply: RpcReplyPort<Option<BanStatus>>,
    },
    /// An operator wants a peer let in again.
    Lift {
        /// Who.
        peer: PeerId,
        /// Whether it was kept out.
        reply: RpcReplyPort<bool>,
    },
    /// The scheduler was started and knows no peers.
    SchedulerStarted,
    /// The coordinator was started and knows no peers.
    CoordinatorStarted,
    /// Time passed.
    Tick,
    /// A sign of life is asked for.
    Vital(Vital),
}

impl From<Vital> for ReputationMsg {
    fn from(vital: Vital) -> Self {
        Self::Vital(vital)
    }
}
