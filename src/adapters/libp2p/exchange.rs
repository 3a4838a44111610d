//! What travels between the swarm's task and the streams of the blocks-by-range protocol.
//!
//! Both directions are bounded channels, so that a slow reader on one end stops the reading or
//! writing of the stream, and by its flow control the peer.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::stream;
use libp2p::PeerId;
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc, oneshot, watch},
    time::{Instant, timeout},
};

use crate::ports::{RangeStream, RequestError};

/// Blocks of a reply that wait for their reader. If too low: reader and stream take turns. If
/// too high: more memory, up to 1 MiB each, for every open request.
const BLOCKS_WAITING_MAX: usize = 2;

/// Pieces of a reply that wait for their stream. If too low: none can. If too high: memory for
/// every reply of a server that does not wait until they are taken.
const PIECES_WAITING_MAX: usize = 1;

/// A request on its way through the swarm, in either direction.
#[derive(Debug)]
pub(super) struct Request {
    /// The bytes on the wire. Inbound ones are no longer than the codec's limit, and unchecked.
    pub(super) body: Vec<u8>,
    /// Where the reply goes; `None` for an inbound request.
    pub(super) sink: Option<ReplySink>,
}

/// Where the reply to one of our requests goes.
#[derive(Debug)]
pub(super) struct ReplySink {
    /// How many blocks were asked for.
    pub(super) blocks_max: u64,
    /// Told once the request is on the wire.
    pub(super) sent: oneshot::Sender<()>,
    /// Takes the blocks.
    pub(super) parts: mpsc::Sender<ReplyPart>,
    /// Frees the place among the peer's open requests when the stream is done with.
    pub(super) slot: OwnedSemaphorePermit,
    /// Notes when the answer begins.
    pub(super) answer: Answer,
}

/// How long the answer to a request of ours took to begin. Clones note and tell the same.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    asked: Instant,
    took: Arc<OnceLock<Duration>>,
}

impl Default for Answer {
    /// Of a request that is asked now.
    fn default() -> Self {
        Self { asked: Instant::now(), took: Arc::default() }
    }
}

impl Answer {
    /// It begins now, if it did not before.
    pub(super) fn begins(&self) {
        self.took.get_or_init(|| self.asked.elapsed());
    }

    /// The time from the request to the first byte of its answer, or to the clean end of an empty
    /// one.
    pub(super) fn took(&self) -> Option<Duration> {
        self.took.get().copied()
    }

    /// The time since the request.
    pub(super) fn waited(&self) -> Duration {
        self.asked.elapsed()
    }
}

/// One step of a reply.
#[derive(Debug)]
pub(super) enum ReplyPart {
    Block(Bytes),
    Failed(RequestError),
    /// The peer closed cleanly. Needed because a stream that is torn down also closes the channel.
    End,
}

/// A channel for the parts of one reply, and its far end as the caller sees it.
pub(super) fn reply_channel() -> (mpsc::Sender<ReplyPart>, mpsc::Receiver<ReplyPart>) {
    mpsc::channel(BLOCKS_WAITING_MAX)
}

/// The blocks of a reply. Without a clean end the last item is an error.
pub(super) fn range_stream(parts: mpsc::Receiver<ReplyPart>) -> RangeStream {
    Box::pin(stream::unfold(Some(parts), async |open| {
        let mut parts = open?;
        match parts.recv().await {
            Some(ReplyPart::Block(block)) => Some((Ok(block), Some(parts))),
            Some(ReplyPart::Failed(error)) => Some((Err(error), None)),
            Some(ReplyPart::End) => None,
            None => Some((Err(RequestError::Cut), None)),
        }
    }))
}

/// What the protocol calls a response.
#[derive(Debug)]
pub(super) enum Reply {
    /// Inbound request: what to write.
    Pieces(Pieces),
    /// Outbound request: everything went into its [`ReplySink`].
    Delivered,
}

/// The pieces of a reply on their way into its stream.
#[derive(Debug)]
pub(super) struct Pieces {
    pieces: mpsc::Receiver<Vec<u8>>,
    /// How much the stream has taken of them. Unit: bytes.
    taken: watch::Sender<u64>,
}

impl Pieces {
    /// The next one; `None` at the end of the reply.
    pub(super) async fn next(&mut self) -> Option<Vec<u8>> {
        self.pieces.recv().await
    }

    /// The stream has taken so many bytes more.
    pub(super) fn took(&self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.taken.send_modify(|taken| *taken = taken.saturating_add(bytes));
    }
}

/// A request of a peer, with the way to answer it.
#[derive(Debug)]
pub struct InboundRequest {
    /// Who asks.
    pub peer: PeerId,
    /// The bytes it sent, cut off a little above the longest legal request.
    pub body: Vec<u8>,
    /// The reply's stream; it ends when this is dropped.
    pub reply: ReplyWriter,
}

/// The peer no longer takes the reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the peer no longer takes the reply")]
pub struct ReplyGone;

/// Writes the bytes of one reply. Dropping it closes the stream.
#[derive(Debug)]
pub struct ReplyWriter {
    pieces: mpsc::Sender<Vec<u8>>,
    /// How much was handed over. Unit: bytes.
    handed: AtomicU64,
    /// How much of it the stream has taken. Unit: bytes.
    taken: watch::Receiver<u64>,
}

impl ReplyWriter {
    pub(super) fn channel() -> (Self, Reply) {
        let (pieces, receiver) = mpsc::channel(PIECES_WAITING_MAX);
        let (progress, taken) = watch::channel(0);
        let reply = Reply::Pieces(Pieces { pieces: receiver, taken: progress });
        (Self { pieces, handed: AtomicU64::new(0), taken }, reply)
    }

    /// Hands over bytes to be written as they are. Waits while the piece before them has not been
    /// started.
    ///
    /// # Errors
    /// [`ReplyGone`] once the stream or the connection has ended.
    pub async fn write(&self, bytes: Vec<u8>) -> Result<(), ReplyGone> {
        let room = self.pieces.reserve().await.map_err(|_| ReplyGone)?;
        let count = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.handed.fetch_add(count, Ordering::Relaxed);
        room.send(bytes);
        Ok(())
    }

    /// Waits until the stream has taken everything that was handed over, so that nothing of it is
    /// held here any more: `true`. Or until it has taken nothing for as long as `patience`:
    /// `false`.
    ///
    /// # Errors
    /// [`ReplyGone`] if the stream or the connection ended before.
    pub(super) async fn taken(&self, patience: Duration) -> Result<bool, ReplyGone> {
        let handed = self.handed.load(Ordering::Relaxed);
        let mut taken = self.taken.clone();
        loop {
            if *taken.borrow_and_update() >= handed {
                return Ok(true);
            }
            match timeout(patience, taken.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err(ReplyGone),
                Err(_) => return Ok(false),
            }
        }
    }

    /// Resolves when the stream or the connection has ended.
    pub async fn gone(&self) {
        self.pieces.closed().await;
    }
}
