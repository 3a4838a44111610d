//! What is known against a peer, or for it.

use std::time::Duration;

use super::consequences::consequence;
use crate::{
    ports::{Misuse, RequestError},
    types::BlockRef,
    validation::Fault,
};

/// One observation of a peer.
#[derive(Debug)]
pub enum Evidence {
    /// Part of a reply, verified.
    Delivered {
        /// How many blocks passed.
        blocks: u64,
        /// How many did not, or came for another height.
        failed: u64,
        /// Of what size.
        bytes: u64,
    },
    /// A reply came to its clean end.
    Replied(CleanReply),
    /// A request failed.
    Failed(RequestError),
    /// Part of a reply cannot have come from an honest peer.
    Lied(Fault),
    /// Part of a reply was of no use, as a stale or forked server's is.
    Useless(Fault),
    /// A block that a majority signed does not continue our chain. Whose fault that is shows once
    /// its height is imported.
    NotLinked {
        /// Which.
        block: BlockRef,
    },
    /// It misused our server.
    Misused {
        /// How.
        misuse: Misuse,
        /// How often since the last report of this kind.
        times: u32,
    },
}

/// A reply that ended cleanly, before its blocks are verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CleanReply {
    /// How many blocks were asked for.
    pub asked: u64,
    /// How many came.
    pub blocks: u64,
    /// Of what size.
    pub bytes: u64,
    /// From the request to the first block; none if none came.
    pub first_after: Option<Duration>,
    /// From the first block to the last, without the time in which we did not read.
    pub streamed: Duration,
}

/// What an observation is. What follows from each is in [`super::consequences`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum EvidenceKind {
    Delivered,
    Completed,
    ClosedEarly,
    Empty,
    Silent,
    Cut,
    Refused,
    ProtocolBroken,
    Lied,
    Useless,
    NotLinked,
    Forked,
    MalformedRequest,
    TooManyRequests,
    /// Our own limits, our own link, or something that is no fault at all.
    NoFault,
}

impl Evidence {
    /// What the faults of one piece of a reply say: the gravest of them, once.
    pub fn from_faults(faults: Vec<Fault>) -> Option<Self> {
        let mut useless = None;
        for fault in faults {
            if fault.fault.is_provable_lie() {
                return Some(Self::Lied(fault));
            }
            useless.get_or_insert(fault);
        }
        useless.map(Self::Useless)
    }

    /// Whether our own link at fault would look the same.
    pub(super) fn may_be_our_link(&self) -> bool {
        consequence(self.kind()).may_be_our_link
    }

    pub(super) fn kind(&self) -> EvidenceKind {
        match self {
            Self::Delivered { blocks: 0, .. } => EvidenceKind::NoFault,
            Self::Delivered { .. } => EvidenceKind::Delivered,
            Self::Replied(CleanReply { blocks: 0, .. }) => EvidenceKind::Empty,
            Self::Replied(reply) if reply.blocks < reply.asked => EvidenceKind::ClosedEarly,
            Self::Replied(_) => EvidenceKind::Completed,
            Self::Failed(error) => kind_of(error),
            Self::Lied(_) => EvidenceKind::Lied,
            Self::Useless(_) => EvidenceKind::Useless,
            Self::NotLinked { .. } => EvidenceKind::NotLinked,
            Self::Misused { misuse: Misuse::MalformedRequest, .. } => {
                EvidenceKind::MalformedRequest
            }
            Self::Misused { misuse: Misuse::TooManyRequests, .. } => EvidenceKind::TooManyRequests,
        }
    }
}

fn kind_of(error: &RequestError) -> EvidenceKind {
    match error {
        RequestError::TimedOut { .. } => EvidenceKind::Silent,
        RequestError::Cut => EvidenceKind::Cut,
        RequestError::Refused { .. } | RequestError::Unsupported => EvidenceKind::Refused,
        RequestError::Framing(_) | RequestError::TooManyBlocks { .. } => {
            EvidenceKind::ProtocolBroken
        }
        RequestError::NotConnected
        | RequestError::TooManyStreams
        | RequestError::RateLimited { .. }
        | RequestError::OverQuota { .. }
        | RequestError::BreakerOpen { .. }
        | RequestError::Restarting => EvidenceKind::NoFault,
    }
}
