//! What travels between the swarm's task and the streams of the blocks-by-range protocol.
//!
//! Both directions are bounded channels, so that a slow reader on one end stops the reading or
//! writing of the stream, and by its flow control the peer.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use futures::stream;
use libp2p::PeerId;
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc, oneshot},
    time::Instant,
};

use crate::ports::{RangeStream, RequestError};

/// Blocks of a reply that wait for their reader. If too low: reader and stream take turns. If
/// too high: more memory, up to 1 MiB each, for every open request.
const BLOCKS_WAITING_MAX: usize = 2;

/// Pieces of a reply that wait for their stream: the next is made while the one before is sent.
/// [`ReplyWriter::finish`] counts on one.
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
    /// Inbound request: the pieces to write, until the channel closes.
    Pieces(mpsc::Receiver<Vec<u8>>),
    /// Outbound request: everything went into its [`ReplySink`].
    Delivered,
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
}

impl ReplyWriter {
    pub(super) fn channel() -> (Self, Reply) {
        let (pieces, receiver) = mpsc::channel(PIECES_WAITING_MAX);
        (Self { pieces }, Reply::Pieces(receiver))
    }

    /// Hands over bytes to be written as they are. Waits while the piece before them has not been
    /// started.
    ///
    /// # Errors
    /// [`ReplyGone`] once the stream or the connection has ended.
    pub async fn write(&self, bytes: Vec<u8>) -> Result<(), ReplyGone> {
        self.pieces.send(bytes).await.map_err(|_| ReplyGone)
    }

    /// Closes the stream behind what was handed over. Resolves when the stream has taken all of
    /// it, so that nothing of it is held here any more.
    ///
    /// # Errors
    /// [`ReplyGone`] once the stream or the connection has ended.
    pub(super) async fn finish(self) -> Result<(), ReplyGone> {
        // A piece is taken off the channel when the one before has been written. So room behind
        // an empty one means that the last of the others has.
        self.write(Vec::new()).await?;
        self.pieces.reserve().await.map(drop).map_err(|_| ReplyGone)
    }

    /// Resolves when the stream or the connection has ended.
    pub async fn gone(&self) {
        self.pieces.closed().await;
    }
}
