//! Serves blocks from a [`BlockSource`] to peers.
//!
//! At most [`BLOCKS_MAX`] blocks a request and never one above the head, read in pieces on
//! blocking threads and written with back-pressure. Too many requests at once wait for their turn
//! in the order they came, by peer first and then in all: on this protocol a short reply or an
//! error makes today's nodes stop syncing, so neither is used to slow a peer down. The number that
//! wait is bounded by the streams a connection may have, and they hold nothing but their request.
//! A turn lasts until the stream has taken the whole reply, so that what is read and not yet sent
//! is bounded by the turns, however many requests are open.
//!
//! A failure of the source ends the reply with an error chunk; the server itself has no state to
//! lose.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use bytes::Bytes;
use futures::future::BoxFuture;
use libp2p::PeerId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    driver::Responder,
    exchange::{InboundRequest, ReplyGone, ReplyWriter},
};
use crate::{
    ports::BlockSource,
    types::Height,
    wire::{
        request::{BlocksByRangeRequest, FixedMessage},
        response::{ErrorChunk, ErrorText, ResponseCode, encode_block_chunk, encode_error_chunk},
    },
};

/// Most blocks of one reply. The protocol's number: today's nodes ask for this many and take
/// fewer for the end of the chain.
const BLOCKS_MAX: u64 = 1024;

/// Replies sent to one peer at once; more wait. If too low: a peer that asks for many small ranges
/// waits for its own requests. If too high: one peer takes the turns of others.
const REPLIES_PER_PEER_MAX: usize = 4;

/// Blocks read from the source at once. If too low: more trips to blocking threads. If too high:
/// the first block of a reply waits for more to be read.
const PIECE_BLOCKS_MAX: u64 = 128;

/// Bytes after which no further block is read for a piece. If too low: see [`PIECE_BLOCKS_MAX`].
/// If too high: memory for every reply under way.
const PIECE_BYTES_MAX: usize = 128 * 1024;

/// Answers blocks-by-range requests.
pub(super) struct BlockServer {
    source: Arc<dyn BlockSource>,
    all: Arc<Semaphore>,
    /// Peers with a reply waiting or under way; dead entries go when a peer is added.
    by_peer: Mutex<BTreeMap<PeerId, Weak<Semaphore>>>,
}

impl BlockServer {
    pub(super) fn new(source: Arc<dyn BlockSource>, replies_max: usize) -> Self {
        let permits = replies_max.clamp(1, Semaphore::MAX_PERMITS);
        Self { source, all: Arc::new(Semaphore::new(permits)), by_peer: Mutex::default() }
    }

    fn peer_slots(&self, peer: PeerId) -> Arc<Semaphore> {
        // Nothing panics while the lock is held; a poisoned map is still a correct one.
        let mut by_peer = self.by_peer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slots) = by_peer.get(&peer).and_then(Weak::upgrade) {
            return slots;
        }
        by_peer.retain(|_, slots| slots.strong_count() > 0);
        let slots = Arc::new(Semaphore::new(REPLIES_PER_PEER_MAX));
        by_peer.insert(peer, Arc::downgrade(&slots));
        slots
    }
}

impl Responder for BlockServer {
    fn respond(&self, request: InboundRequest) -> BoxFuture<'static, ()> {
        let InboundRequest { peer, body, reply } = request;
        let slots = self.peer_slots(peer);
        let all = Arc::clone(&self.all);
        let source = Arc::clone(&self.source);
        Box::pin(async move {
            let served = match BlocksByRangeRequest::decode_request(&body) {
                Ok(request) => {
                    let Some(_turn) = wait_for_turn(slots, all, &reply).await else { return };
                    serve(source, request, reply).await
                }
                Err(error) => {
                    tracing::debug!(%peer, %error, "refused a malformed request");
                    let text = "malformed request";
                    reply.write(refusal(ResponseCode::InvalidRequest, text)).await
                }
            };
            if let Err(gone) = served {
                tracing::debug!(%peer, reason = %gone, "a reply ended early");
            }
        })
    }
}

/// The right to send a reply; `None` when the peer has left meanwhile.
async fn wait_for_turn(
    slots: Arc<Semaphore>,
    all: Arc<Semaphore>,
    reply: &ReplyWriter,
) -> Option<[OwnedSemaphorePermit; 2]> {
    let turn = async {
        // Neither semaphore is ever closed.
        let own = slots.acquire_owned().await.ok()?;
        let shared = all.acquire_owned().await.ok()?;
        Some([own, shared])
    };
    tokio::select! {
        turn = turn => turn,
        () = reply.gone() => None,
    }
}

async fn serve(
    source: Arc<dyn BlockSource>,
    request: BlocksByRangeRequest,
    reply: ReplyWriter,
) -> Result<(), ReplyGone> {
    let mut start = request.start;
    let mut blocks_left = request.count.min(BLOCKS_MAX);
    while blocks_left > 0 {
        let piece = {
            let source = Arc::clone(&source);
            tokio::task::spawn_blocking(move || read_piece(&*source, start, blocks_left)).await
        };
        let piece = piece.unwrap_or_else(|error| {
            tracing::error!(%error, "reading blocks for a peer panicked");
            Piece::refusal(ResponseCode::ServerError, "internal error")
        });
        if !piece.encoded.is_empty() {
            reply.write(piece.encoded).await?;
        }
        match piece.next {
            Some(next) => {
                blocks_left = blocks_left.saturating_sub(next.blocks_above(start));
                start = next;
            }
            None => break,
        }
    }
    reply.finish().await
}

/// Chunks ready to be written.
struct Piece {
    encoded: Vec<u8>,
    /// Where to go on; `None` at the end of what can be served.
    next: Option<Height>,
}

impl Piece {
    fn refusal(code: ResponseCode, text: &str) -> Self {
        Self { encoded: refusal(code, text), next: None }
    }
}

fn refusal(code: ResponseCode, text: &str) -> Vec<u8> {
    encode_error_chunk(&ErrorChunk { code, text: ErrorText::new(text) })
}

/// Reads and encodes the blocks from `start` on, as many as make a piece. Blocks on disk.
fn read_piece(source: &dyn BlockSource, start: Height, blocks_left: u64) -> Piece {
    let head = source.head().height;
    if start > head {
        return Piece { encoded: Vec::new(), next: None };
    }
    if start < source.oldest() {
        let text = "blocks of this height are not kept";
        return Piece::refusal(ResponseCode::ResourceUnavailable, text);
    }
    let blocks_to_head = head.blocks_above(start).saturating_add(1);
    let blocks_max = blocks_left.min(blocks_to_head).min(PIECE_BLOCKS_MAX);
    let blocks_max = usize::try_from(blocks_max).unwrap_or(usize::MAX);
    match source.read(start, blocks_max, PIECE_BYTES_MAX) {
        Ok(blocks) => encode_piece(start, blocks.iter().take(blocks_max)),
        Err(error) => {
            tracing::error!(%start, error = &error as &dyn std::error::Error, "cannot read blocks");
            Piece::refusal(ResponseCode::ServerError, "blocks cannot be read")
        }
    }
}

fn encode_piece<'a>(start: Height, blocks: impl Iterator<Item = &'a Bytes>) -> Piece {
    let mut piece = Piece { encoded: Vec::new(), next: Some(start) };
    for block in blocks {
        match encode_block_chunk(block) {
            Ok(chunk) => piece.encoded.extend_from_slice(&chunk),
            Err(error) => {
                tracing::error!(height = ?piece.next, %error, "a stored block cannot be sent");
                let text = "the block is too large for this protocol";
                let refusal = refusal(ResponseCode::ResourceUnavailable, text);
                piece.encoded.extend_from_slice(&refusal);
                piece.next = None;
                return piece;
            }
        }
        piece.next = piece.next.and_then(Height::next);
    }
    // No block although the head is not below: the chain was shortened meanwhile.
    piece.next = piece.next.filter(|next| *next != start);
    piece
}
