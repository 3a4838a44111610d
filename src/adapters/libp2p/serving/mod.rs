//! Serves blocks from a [`BlockSource`] to peers.
//!
//! At most [`BLOCKS_MAX`] blocks a request, never one above the head, never one that does not link
//! to the one before it: a reply under which the chain changes ends. On this protocol a short reply
//! or an error makes today's nodes stop syncing, so neither is used to slow a peer down.
//!
//! A reply is made piece by piece:
//! 1. it waits for its turn ([`queue`]), fair between peers, few at once;
//! 2. with its turn, the piece is read on a blocking thread, and the quota of all peers together is
//!    paid, so that this is divided fairly, too;
//! 3. without a turn, the peer's own quota is paid, in the order of its requests;
//! 4. the stream takes the piece. A reply whose stream takes nothing for half a second is
//!    *parked*: others of the same peer go on before it, and what was read is dropped and read
//!    again later.
//!
//! So quotas pace a reply and never cut it. Pieces are small where quotas are, so that the next one
//! is never far off.
//!
//! Memory: a request that waits holds nothing but itself, and one that is parked 4 KiB. The others,
//! four of each peer, hold one piece each; a peer's are bounded ([`queue`]) to about 0.5 MiB, and
//! to 2.5 MiB when all blocks are of the largest size. That a peer does not read makes no other
//! wait.
//!
//! Misuse (requests that do not decode, more than 32 open) is answered at once, without disk and
//! queue, and reported at most once a second ([`misuses`]).
//!
//! A failure of the source ends the reply with an error chunk; the server itself has no state to
//! lose.

mod misuses;
mod piece;
mod queue;
mod quotas;
mod turns;

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use libp2p::PeerId;
use tokio::time::sleep;

use self::{
    misuses::Misuses,
    piece::{Piece, PieceMap, Position, read_piece, refusal, refused},
    quotas::Quotas,
    turns::{Granted, OpenReply, Turns},
};
use super::{
    ServingOptions,
    driver::Responder,
    exchange::{InboundRequest, Progress, ReplyGone, ReplyWriter, STALLED_BYTES_MAX},
};
use crate::{
    ports::{BlockSource, Clock, Misuse, NetworkEvents, SystemClock},
    resilience::{Allowance, Cost, Quota},
    wire::{
        request::{BlocksByRangeRequest, FixedMessage},
        response::ResponseCode,
    },
};

pub(super) use queue::REQUESTS_OPEN_MAX;

/// Most blocks of one reply. The protocol's number: today's nodes ask for this many and take
/// fewer for the end of the chain.
const BLOCKS_MAX: u64 = 1024;

/// Blocks read from the source at once. If too low: more trips to blocking threads. If too high:
/// the first block of a reply waits for more to be read.
const PIECE_BLOCKS_MAX: u64 = 128;

/// Bytes after which no further block is read for a piece. Unit: bytes. If too low: see
/// [`PIECE_BLOCKS_MAX`]. If too high: memory for every reply under way.
const PIECE_BYTES_MAX: u64 = 128 * 1024;

/// A piece is no more than this part of what a quota allows in its period of 10 s. If too low: more
/// trips to blocking threads for peers with small quotas. If too high: the pieces of a reply that
/// is paced come far apart, and whoever asked takes it for dead: today's nodes after 180 s, ours
/// after 2 to 8 s.
const PIECES_OF_QUOTA: u64 = 100;

/// After which time a peer is to ask again that has asked for too much, as the text of the
/// network's limiter says it. A reply of ordinary size takes less than that.
const ASK_AGAIN: &str = "Wait 1s";

/// Answers blocks-by-range requests.
pub(super) struct BlockServer {
    shared: Arc<Shared>,
    turns: Arc<Turns>,
    quotas: Quotas,
}

/// What replies need.
struct Shared {
    source: Arc<dyn BlockSource>,
    /// Of all peers together.
    overall: Quota,
    /// Most blocks of a piece.
    piece_blocks: u64,
    misuses: Misuses,
}

impl BlockServer {
    /// Serves `source` and reports misuse to `events`. Call it inside a tokio runtime.
    pub(super) fn new(
        source: Arc<dyn BlockSource>,
        options: &ServingOptions,
        events: Arc<dyn NetworkEvents>,
    ) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
        let both = [options.per_peer, options.overall];
        let (piece_blocks, piece_bytes) = piece_limits(&both);
        let overall = Quota::new(options.overall, Arc::clone(&clock));
        let misuses = Misuses::new(events, Arc::clone(&clock));
        Self {
            shared: Arc::new(Shared { source, overall, piece_blocks, misuses }),
            turns: Arc::new(Turns::new(options.reads_max, piece_bytes)),
            quotas: Quotas::new(options.per_peer, clock),
        }
    }
}

/// The most blocks and bytes of a piece where these allowances are paid.
fn piece_limits(allowances: &[Allowance]) -> (u64, u64) {
    let part = |amount: NonZeroU32, unit: u64| (u64::from(amount.get()) * unit) / PIECES_OF_QUOTA;
    let blocks = allowances.iter().filter_map(|of| of.blocks).map(|blocks| part(blocks, 1));
    let bytes = allowances.iter().filter_map(|of| of.mebibytes).map(|mib| part(mib, 1 << 20));
    (
        blocks.min().unwrap_or(PIECE_BLOCKS_MAX).clamp(1, PIECE_BLOCKS_MAX),
        bytes.min().unwrap_or(PIECE_BYTES_MAX).clamp(1, PIECE_BYTES_MAX),
    )
}

impl Responder for BlockServer {
    fn respond(&self, request: InboundRequest) -> BoxFuture<'static, ()> {
        let InboundRequest { peer, body, reply } = request;
        let shared = Arc::clone(&self.shared);
        let request = match BlocksByRangeRequest::decode_request(&body) {
            Ok(request) => request,
            Err(error) => {
                tracing::debug!(%peer, %error, "refused a malformed request");
                let text = refusal(ResponseCode::InvalidRequest, "malformed request");
                return Box::pin(shared.refuse(peer, Misuse::MalformedRequest, reply, text));
            }
        };
        let Some((open, turn)) = self.turns.join(peer) else {
            let text = refusal(ResponseCode::RateLimited, ASK_AGAIN);
            return Box::pin(shared.refuse(peer, Misuse::TooManyRequests, reply, text));
        };
        let reply = OpenRequest { shared, quota: self.quotas.of(peer), open, reply };
        Box::pin(async move {
            if let Err(gone) = reply.serve(request, turn).await {
                tracing::debug!(%peer, reason = %gone, "a reply ended early");
            }
        })
    }

    fn misused(&self, peer: PeerId, misuse: Misuse) -> BoxFuture<'static, ()> {
        let shared = Arc::clone(&self.shared);
        let report_in = shared.misuses.count(peer, misuse);
        Box::pin(shared.report_later(peer, misuse, report_in))
    }
}

impl Shared {
    /// Refuses a request that nobody who behaves makes.
    async fn refuse(
        self: Arc<Self>,
        peer: PeerId,
        misuse: Misuse,
        reply: ReplyWriter,
        text: Vec<u8>,
    ) {
        let report_in = self.misuses.count(peer, misuse);
        // Whether the peer is still there to hear it changes nothing.
        let _ = reply.write(text).await;
        drop(reply);
        self.report_later(peer, misuse, report_in).await;
    }

    /// Reports a misuse that was counted, if that is still to be done.
    async fn report_later(
        self: Arc<Self>,
        peer: PeerId,
        misuse: Misuse,
        report_in: Option<Duration>,
    ) {
        if let Some(wait) = report_in {
            sleep(wait).await;
            self.misuses.report(peer, misuse);
        }
    }
}

/// A request that is being answered.
struct OpenRequest {
    shared: Arc<Shared>,
    /// Of its peer.
    quota: Arc<Quota>,
    open: OpenReply,
    reply: ReplyWriter,
}

impl OpenRequest {
    async fn serve(
        self,
        request: BlocksByRangeRequest,
        mut turn: Granted,
    ) -> Result<(), ReplyGone> {
        let mut position = Position::start(request.start, request.count.min(BLOCKS_MAX));
        let mut unpaid = Cost { requests: 1, ..Cost::default() };
        let mut paid = Cost::default();
        while !position.is_end() {
            // The queue lives as long as there are replies in it.
            let bytes_max = self.unless_gone(turn).await?.map_err(|_| ReplyGone)?;
            let (bytes, map) = self.read(position, bytes_max).await;
            let takes = map.cost_behind(bytes.len(), 0);
            let cost = std::mem::take(&mut unpaid).and(takes.without(paid));
            paid = paid.without(takes);
            self.unless_gone(self.shared.overall.pay(cost)).await?;
            self.open.has_read(bytes.len());
            self.unless_gone(self.quota.pay(cost)).await?;
            if bytes.is_empty() {
                break;
            }
            let (next, given_back) = self.hand_over(bytes, &map).await?;
            match next {
                Some(next) => position = next,
                None => break,
            }
            paid = paid.and(given_back);
            turn = self.open.again();
        }
        Ok(())
    }

    async fn read(&self, position: Position, bytes_max: u64) -> Piece {
        let shared = Arc::clone(&self.shared);
        let read = move || read_piece(&*shared.source, position, shared.piece_blocks, bytes_max);
        tokio::task::spawn_blocking(read).await.unwrap_or_else(|error| {
            tracing::error!(%error, "reading blocks for a peer panicked");
            refused(position, ResponseCode::ServerError, "internal error")
        })
    }

    /// Resolves when the stream has taken as much as it will of the piece: where to go on, and the
    /// cost of what it did not take.
    async fn hand_over(
        &self,
        bytes: Vec<u8>,
        map: &PieceMap,
    ) -> Result<(Option<Position>, Cost), ReplyGone> {
        let whole = map.after(&bytes, bytes.len());
        let mut outcome = (whole, Cost::default());
        let mut handed_over = self.reply.hand_over(bytes).await?;
        loop {
            match handed_over.next().await? {
                Progress::Taken => return Ok(outcome),
                Progress::Stalled { bytes, sent } => {
                    outcome = (map.after(&bytes, sent), map.cost_behind(bytes.len(), sent));
                    drop(bytes);
                    self.open.park(STALLED_BYTES_MAX);
                }
            }
        }
    }

    async fn unless_gone<T>(&self, step: impl Future<Output = T>) -> Result<T, ReplyGone> {
        tokio::select! {
            biased;
            done = step => Ok(done),
            () = self.reply.gone() => Err(ReplyGone),
        }
    }
}
