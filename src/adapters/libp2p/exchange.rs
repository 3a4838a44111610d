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

/// Pieces of a reply that wait for their stream. If too low: none can. If too high: memory for
/// every reply of a server that does not wait until they are taken.
const PIECES_WAITING_MAX: usize = 1;

/// What a stream that takes nothing keeps of its piece. Unit: bytes. If too low: a peer that reads
/// on waits for the disk at once. If too high: memory for every reply that a peer has forgotten.
pub(super) const STALLED_BYTES_MAX: usize = 4 * 1024;

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
pub(super) type Pieces = mpsc::Receiver<Piece>;

/// Bytes on their way into a stream.
#[derive(Debug)]
pub(super) struct Piece {
    bytes: Vec<u8>,
    /// Who is told what becomes of it.
    progress: Option<mpsc::Sender<Progress>>,
    can_shrink: bool,
}

/// What becomes of a piece.
#[derive(Debug)]
pub(super) enum Progress {
    /// The stream takes nothing. It still gets the first `sent` of these bytes, which are the
    /// piece; the others are given back.
    Stalled { bytes: Vec<u8>, sent: usize },
    /// The stream has taken all that it was to get. Always the last word.
    Taken,
}

impl Piece {
    /// What the stream is to get.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether it can be given back when the stream takes nothing.
    pub(super) fn can_shrink(&self) -> bool {
        self.can_shrink
    }

    /// Gives all of it back but a little, which is what is left to be written then. `written` was
    /// written before.
    pub(super) fn shrink(&mut self, written: usize) {
        let sent = self.bytes.len().min(written.saturating_add(STALLED_BYTES_MAX));
        let left = self.bytes.get(written..sent).unwrap_or_default().to_vec();
        let bytes = std::mem::replace(&mut self.bytes, left);
        self.can_shrink = false;
        self.tell(Progress::Stalled { bytes, sent });
    }

    /// The stream has taken everything.
    pub(super) fn taken(self) {
        self.tell(Progress::Taken);
    }

    fn tell(&self, progress: Progress) {
        if let Some(told) = &self.progress {
            // There is room for both words, and who is gone needs none.
            let _ = told.try_send(progress);
        }
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
    pieces: mpsc::Sender<Piece>,
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
        self.send(Piece { bytes, progress: None, can_shrink: false }).await
    }

    /// The same for bytes that the caller can make again, and wants back where the stream takes
    /// nothing.
    ///
    /// # Errors
    /// [`ReplyGone`] once the stream or the connection has ended.
    pub(super) async fn hand_over(&self, bytes: Vec<u8>) -> Result<HandedOver, ReplyGone> {
        let (told, progress) = mpsc::channel(2);
        self.send(Piece { bytes, progress: Some(told), can_shrink: true }).await?;
        Ok(HandedOver(progress))
    }

    async fn send(&self, piece: Piece) -> Result<(), ReplyGone> {
        self.pieces.send(piece).await.map_err(|_| ReplyGone)
    }

    /// Resolves when the stream or the connection has ended.
    pub async fn gone(&self) {
        self.pieces.closed().await;
    }
}

/// A piece that was handed over.
pub(super) struct HandedOver(mpsc::Receiver<Progress>);

impl HandedOver {
    /// What becomes of it.
    ///
    /// # Errors
    /// [`ReplyGone`] once the stream or the connection has ended.
    pub(super) async fn next(&mut self) -> Result<Progress, ReplyGone> {
        self.0.recv().await.ok_or(ReplyGone)
    }
}
