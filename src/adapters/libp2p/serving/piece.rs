//! Reads and encodes the next piece of a reply. Blocks on disk.

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use crate::{
    ports::BlockSource,
    resilience::Cost,
    types::Height,
    wire::response::{ErrorChunk, ErrorText, ResponseCode, encode_block_chunk, encode_error_chunk},
};

/// Where a reply goes on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Position {
    next: Height,
    blocks_left: u64,
    last: Option<LastSent>,
}

/// The block below the next one, as it was sent. Its digest and not its bytes, because they may
/// share the memory of a whole piece.
#[derive(Debug, Clone, Copy)]
struct LastSent {
    height: Height,
    bytes: usize,
    digest: [u8; 32],
}

impl LastSent {
    fn of(height: Height, block: &Bytes) -> Self {
        Self { height, bytes: block.len(), digest: Sha256::digest(block).into() }
    }
}

impl Position {
    /// The beginning of a reply of at most `blocks` blocks; none if that is none.
    pub(super) fn start(start: Height, blocks: u64) -> Option<Self> {
        (blocks > 0).then_some(Self { next: start, blocks_left: blocks, last: None })
    }
}

/// Chunks ready to be written.
pub(super) struct Piece {
    pub(super) encoded: Vec<u8>,
    /// How many blocks are in it.
    pub(super) blocks: u32,
    /// Where to go on; `None` at the end of what can be served.
    pub(super) next: Option<Position>,
}

impl Piece {
    const END: Self = Self { encoded: Vec::new(), blocks: 0, next: None };

    pub(super) fn refusal(code: ResponseCode, text: &str) -> Self {
        Self { encoded: refusal(code, text), ..Self::END }
    }

    /// What it takes of a quota.
    pub(super) fn cost(&self) -> Cost {
        let bytes = u64::try_from(self.encoded.len()).unwrap_or(u64::MAX);
        Cost { requests: 0, blocks: self.blocks, bytes }
    }
}

/// A refusal as the only or last chunk of a reply.
pub(super) fn refusal(code: ResponseCode, text: &str) -> Vec<u8> {
    encode_error_chunk(&ErrorChunk { code, text: ErrorText::new(text) })
}

/// Reads the piece at `position`: at most `blocks_max` blocks, and no further one once `bytes_max`
/// bytes are read. It follows what was sent before: if the chain has changed, the reply ends.
pub(super) fn read_piece(
    source: &dyn BlockSource,
    position: Position,
    blocks_max: u64,
    bytes_max: u64,
) -> Piece {
    let Position { next, blocks_left, last } = position;
    let head = source.head().height;
    if next > head {
        return Piece::END;
    }
    // The block sent last is read once more with those above it. A read is of one chain, so what
    // follows it now links to what was sent, if it is still there.
    let start = last.map_or(next, |last| last.height);
    if start < source.oldest() {
        let text = "blocks of this height are not kept";
        return Piece::refusal(ResponseCode::ResourceUnavailable, text);
    }
    let blocks_to_head = head.blocks_above(next).saturating_add(1);
    let blocks_max = blocks_left.min(blocks_to_head).min(blocks_max);
    let blocks_max = usize::try_from(blocks_max).unwrap_or(usize::MAX);
    let bytes_max = usize::try_from(bytes_max).unwrap_or(usize::MAX);
    let (blocks_again, bytes_again) = last.map_or((0, 0), |last| (1, last.bytes));
    let read = source.read(
        start,
        blocks_max.saturating_add(blocks_again),
        bytes_max.saturating_add(bytes_again),
    );
    let blocks = match read {
        Ok(blocks) => blocks,
        Err(error) => {
            tracing::error!(%start, error = &error as &dyn std::error::Error, "cannot read blocks");
            return Piece::refusal(ResponseCode::ServerError, "blocks cannot be read");
        }
    };
    let (again, blocks) = blocks.split_at(blocks_again.min(blocks.len()));
    if let Some(last) = last
        && again.first().is_none_or(|block| LastSent::of(last.height, block).digest != last.digest)
    {
        tracing::debug!(%next, "the chain has changed under a reply, which ends");
        return Piece::END;
    }
    encode(position, blocks.get(..blocks_max.min(blocks.len())).unwrap_or_default())
}

fn encode(position: Position, blocks: &[Bytes]) -> Piece {
    let mut piece = Piece { encoded: Vec::new(), blocks: 0, next: None };
    let mut next = Some(position.next);
    let mut last = None;
    for block in blocks {
        let Some(height) = next else { break };
        match encode_block_chunk(block) {
            Ok(chunk) => piece.encoded.extend_from_slice(&chunk),
            Err(error) => {
                tracing::error!(%height, %error, "a stored block cannot be sent");
                let text = "the block is too large for this protocol";
                let refusal = refusal(ResponseCode::ResourceUnavailable, text);
                piece.encoded.extend_from_slice(&refusal);
                return piece;
            }
        }
        piece.blocks += 1;
        last = Some((height, block));
        next = height.next();
    }
    let blocks_left = position.blocks_left.saturating_sub(piece.blocks.into());
    // No block although the head is not below: the chain was shortened meanwhile.
    if let (Some((height, block)), Some(next)) = (last, next)
        && blocks_left > 0
    {
        let last = Some(LastSent::of(height, block));
        piece.next = Some(Position { next, blocks_left, last });
    }
    piece
}
