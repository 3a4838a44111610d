//! Reads and encodes the next piece of a reply. Blocks on disk.
//!
//! A reply goes on at any byte: the block that was sent last, wholly or in part, is read once more
//! with those above it and has to be the same. A read is of one chain, so what follows it links to
//! what was sent.

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
    /// The first block of which nothing was sent.
    next: Height,
    blocks_left: u64,
    last: Option<LastSent>,
}

/// The block below the next one. Its digest and not its bytes, because they may share the memory of
/// a whole piece.
#[derive(Debug, Clone, Copy)]
struct LastSent {
    height: Height,
    /// The length of the block.
    bytes: usize,
    /// The length of its chunk.
    length: usize,
    /// The digest of its chunk.
    digest: [u8; 32],
    /// How much of the chunk was sent.
    sent: usize,
}

impl LastSent {
    /// `sent` bytes of the chunk of `block`.
    fn of(block: &ChunkPlace, chunk: &[u8], sent: usize) -> Self {
        let digest = Sha256::digest(chunk).into();
        let ChunkPlace { height, bytes, .. } = *block;
        Self { height, bytes, length: chunk.len(), digest, sent }
    }

    const fn is_whole(&self) -> bool {
        self.sent >= self.length
    }
}

impl Position {
    /// The beginning of a reply of at most `blocks` blocks.
    pub(super) const fn start(start: Height, blocks: u64) -> Self {
        Self { next: start, blocks_left: blocks, last: None }
    }

    /// The block that has to be sent to its end before another can be.
    fn unfinished(&self) -> Option<&LastSent> {
        self.last.as_ref().filter(|last| !last.is_whole())
    }

    /// Whether everything was sent that was asked for.
    pub(super) fn is_end(&self) -> bool {
        self.blocks_left == 0 && self.unfinished().is_none()
    }
}

/// A block in a piece.
#[derive(Debug, Clone, Copy)]
struct ChunkPlace {
    height: Height,
    /// The length of the block.
    bytes: usize,
    /// Where its chunk ends in the piece.
    end: usize,
}

/// What was read, without its bytes.
#[derive(Debug)]
pub(super) struct PieceMap {
    begin: Position,
    /// How much of the piece is the end of a block that was sent in part before.
    rest_bytes: usize,
    blocks: Vec<ChunkPlace>,
    /// Whether nothing more can be served behind it.
    ends: bool,
}

impl PieceMap {
    fn end(begin: Position) -> Self {
        Self { begin, rest_bytes: 0, blocks: Vec::new(), ends: true }
    }

    /// Where to go on when the first `sent` of these `bytes`, which are the piece, were sent, at
    /// least one; `None` at the end of what can be served.
    pub(super) fn after(&self, bytes: &[u8], sent: usize) -> Option<Position> {
        if self.ends && sent >= bytes.len() {
            return None;
        }
        let mut position = self.begin;
        let mut start = 0;
        if let Some(last) = &mut position.last {
            last.sent += sent.min(self.rest_bytes);
            start = self.rest_bytes;
        }
        for block in &self.blocks {
            if sent <= start {
                break;
            }
            let chunk = bytes.get(start..block.end).unwrap_or_default();
            position.next = block.height.saturating_add(1);
            position.blocks_left = position.blocks_left.saturating_sub(1);
            if sent <= block.end {
                position.last = Some(LastSent::of(block, chunk, sent - start));
            }
            start = block.end;
        }
        (!position.is_end()).then_some(position)
    }

    /// What all of it behind the first `sent` bytes takes of a quota.
    pub(super) fn cost_behind(&self, length: usize, sent: usize) -> Cost {
        let begun_later = |(start, _): &(usize, usize)| *start >= sent;
        let starts = std::iter::once(self.rest_bytes).chain(self.blocks.iter().map(|b| b.end));
        let blocks = starts.zip(self.blocks.iter().map(|block| block.end)).filter(begun_later);
        Cost {
            requests: 0,
            blocks: u32::try_from(blocks.count()).unwrap_or(u32::MAX),
            bytes: u64::try_from(length.saturating_sub(sent)).unwrap_or(u64::MAX),
        }
    }
}

/// Chunks ready to be written, and which they are.
pub(super) type Piece = (Vec<u8>, PieceMap);

/// A refusal as the only or last chunk of a reply.
pub(super) fn refusal(code: ResponseCode, text: &str) -> Vec<u8> {
    encode_error_chunk(&ErrorChunk { code, text: ErrorText::new(text) })
}

/// A piece that ends the reply at `position` with a refusal. Within a block none can be said: the
/// stream then just ends, which is a cut chunk for the peer.
pub(super) fn refused(position: Position, code: ResponseCode, text: &str) -> Piece {
    let can_say = position.unfinished().is_none();
    let bytes = if can_say { refusal(code, text) } else { Vec::new() };
    (bytes, PieceMap::end(position))
}

/// Reads the piece at `position`: at most `blocks_max` blocks, and no further one once `bytes_max`
/// bytes are read. If the chain has changed below it, the reply ends.
pub(super) fn read_piece(
    source: &dyn BlockSource,
    position: Position,
    blocks_max: u64,
    bytes_max: u64,
) -> Piece {
    let end = || (Vec::new(), PieceMap::end(position));
    let Position { next, blocks_left, last } = position;
    let head = source.head().height;
    if next > head && position.unfinished().is_none() {
        return end();
    }
    let start = last.map_or(next, |last| last.height);
    if start < source.oldest() {
        let text = "blocks of this height are not kept";
        return refused(position, ResponseCode::ResourceUnavailable, text);
    }
    let blocks_to_head = if next > head { 0 } else { head.blocks_above(next).saturating_add(1) };
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
            return refused(position, ResponseCode::ServerError, "blocks cannot be read");
        }
    };
    let (again, blocks) = blocks.split_at(blocks_again.min(blocks.len()));
    let rest = match last {
        None => Vec::new(),
        Some(last) => match rest_of(&last, again) {
            Some(rest) => rest,
            None => {
                tracing::debug!(%next, "the chain has changed under a reply, which ends");
                return end();
            }
        },
    };
    encode(position, rest, blocks.get(..blocks_max.min(blocks.len())).unwrap_or_default())
}

/// What is left to be sent of the block sent last, if it is still there.
fn rest_of(last: &LastSent, again: &[Bytes]) -> Option<Vec<u8>> {
    let mut chunk = encode_block_chunk(again.first()?).ok()?;
    let same = <[u8; 32]>::from(Sha256::digest(&chunk)) == last.digest;
    same.then(|| chunk.split_off(last.sent.min(chunk.len())))
}

/// A piece of `rest` and `blocks`. A block that cannot be sent is refused in a piece of its own.
fn encode(begin: Position, rest: Vec<u8>, blocks: &[Bytes]) -> Piece {
    let rest_bytes = rest.len();
    let mut encoded = rest;
    let mut places = Vec::with_capacity(blocks.len());
    let mut next = Some(begin.next);
    for block in blocks {
        let Some(height) = next else { break };
        match encode_block_chunk(block) {
            Ok(chunk) => encoded.extend_from_slice(&chunk),
            Err(_) if !encoded.is_empty() => break,
            Err(error) => {
                tracing::error!(%height, %error, "a stored block cannot be sent");
                let text = "the block is too large for this protocol";
                return refused(begin, ResponseCode::ResourceUnavailable, text);
            }
        }
        places.push(ChunkPlace { height, bytes: block.len(), end: encoded.len() });
        next = height.next();
    }
    // Nothing although the head is not below: the chain was shortened meanwhile.
    let ends = encoded.is_empty() || next.is_none();
    (encoded, PieceMap { begin, rest_bytes, blocks: places, ends })
}

#[cfg(test)]
#[path = "piece_tests.rs"]
mod tests;
