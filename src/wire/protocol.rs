//! The protocols of today's network.

use super::{block::BLOCK_BYTES_MAX, framing::BodyLimits};

/// A request protocol of today's network. Its nodes send and answer [`Self::BlocksByRange`] only;
/// the others they decode and never answer, and each unanswered request holds one of 32 places on
/// the connection for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// What the chain of the other side looks like.
    Status,
    /// Why this side is about to leave.
    Goodbye,
    /// Blocks of a range of heights.
    BlocksByRange,
    /// Whether the other side is there.
    Ping,
    /// What the other side subscribes to.
    Metadata,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Status, Self::Goodbye, Self::BlocksByRange, Self::Ping, Self::Metadata];

    /// The name by which it is negotiated.
    pub const fn id(self) -> &'static str {
        match self {
            Self::Status => "/eth2/chain/req/status/1/ssz_snappy",
            Self::Goodbye => "/eth2/chain/req/goodbye/1/ssz_snappy",
            Self::BlocksByRange => "/eth2/chain/req/blocks_by_range/1/ssz_snappy",
            Self::Ping => "/eth2/chain/req/ping/1/ssz_snappy",
            Self::Metadata => "/eth2/chain/req/metadata/1/ssz_snappy",
        }
    }

    /// How long the body of a response may be; `None` where there is no response.
    pub const fn response_limits(self) -> Option<BodyLimits> {
        match self {
            Self::Status => Some(BodyLimits::exactly(64)),
            Self::Goodbye => None,
            Self::BlocksByRange => Some(BodyLimits { min: 1, max: BLOCK_BYTES_MAX }),
            Self::Ping => Some(BodyLimits::exactly(8)),
            Self::Metadata => Some(BodyLimits::exactly(17)),
        }
    }
}
