//! Segments: contiguous blocks of one reply, with everything that must stay with them.

use bytes::Bytes;
use tracing::Span;

use super::BytePermit;
use crate::{
    consensus::VerifiedBlock,
    types::{HeightRange, PeerId},
};

/// Names one request for as long as the scheduler that made it lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// Where blocks came from: blame and praise land there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// Who sent them.
    pub peer: PeerId,
    /// In reply to what.
    pub request: RequestId,
}

/// Blocks as received: `blocks[i]` is claimed to be the block at `range.start() + i`.
pub struct RawSegment {
    /// The heights that were asked for; as many as there are blocks.
    pub range: HeightRange,
    /// Undecoded blocks.
    pub blocks: Vec<Bytes>,
    /// Who sent them.
    pub origin: Origin,
    /// Covers the bytes of the blocks.
    pub permit: BytePermit,
    /// The trace that follows them.
    pub span: Span,
}

/// Verified blocks that link to each other, at exactly these heights.
pub struct Segment {
    /// Their heights; as many as there are blocks.
    pub range: HeightRange,
    /// In order of height.
    pub blocks: Vec<VerifiedBlock>,
    /// Who sent them.
    pub origin: Origin,
    /// Covers the bytes of the blocks.
    pub permit: BytePermit,
    /// The trace that follows them.
    pub span: Span,
}
