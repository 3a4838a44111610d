//! Reads the reply to one of our requests off its stream, chunk by chunk, with back-pressure.

use std::{io, time::Duration};

use futures::io::{AsyncRead, AsyncReadExt};
use libp2p::core::upgrade::NegotiationError;
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
    time::{Instant, sleep, timeout_at},
};

use super::exchange::{Answer, ReplyPart, ReplySink};
use crate::{
    ports::RequestError,
    wire::response::{Chunk, ChunkDecoder, ChunkProgress},
};

/// Bytes asked from the stream at once. If too low: more calls for a block. If too high: memory
/// for every open request.
const READ_BYTES: usize = 16 * 1024;

/// How long a peer may take to close after the last block that was asked for, before we do. All
/// blocks have been delivered by then. If too low: extra blocks go unnoticed. If too high: a peer
/// that never closes holds the request's slot longer.
const CLOSE_WAIT_MAX: Duration = Duration::from_secs(5);

/// How much, and how long, is read and thrown away of a reply that nobody wants any more. Over
/// Yamux a peer is not told that a half-closed stream was dropped: it fills the window and blocks,
/// and its place among the 32 streams of today's nodes stays taken for 180 s. Read to the end, the
/// usual reply (a quarter of 1 MiB) frees the place at once. If too low: places leak at old nodes.
/// If too high: bandwidth spent on what is not wanted.
const UNWANTED_BYTES_MAX: usize = 1024 * 1024;
/// See [`UNWANTED_BYTES_MAX`].
const UNWANTED_TIME_MAX: Duration = Duration::from_secs(10);

/// Why no further part goes to the caller.
enum Outcome {
    End,
    Failed(RequestError),
    Abandoned,
}

/// Delivers the reply into `sink`, its end included.
///
/// # Errors
/// When the stream must be dropped rather than closed; the caller of the request has been told.
pub(super) async fn read_reply<T>(io: &mut T, sink: ReplySink) -> io::Result<()>
where
    T: AsyncRead + Unpin + Send,
{
    let ReplySink { blocks_max, sent, parts, slot, answer } = sink;
    // The caller may be gone already: `deliver` finds out.
    let _ = sent.send(());
    let mut buffer = vec![0; READ_BYTES];
    match deliver(io, &mut buffer, blocks_max, (&parts, &answer)).await {
        Outcome::End => {
            finish(&parts, slot, ReplyPart::End).await;
            Ok(())
        }
        Outcome::Failed(error) => {
            finish(&parts, slot, ReplyPart::Failed(error)).await;
            Err(io::Error::from(io::ErrorKind::InvalidData))
        }
        Outcome::Abandoned => {
            drain(io, &mut buffer).await;
            Err(io::Error::from(io::ErrorKind::Interrupted))
        }
    }
}

/// Tells the caller the last part. The place is free before it hears of it, so that it can ask
/// again at once.
async fn finish(parts: &mpsc::Sender<ReplyPart>, slot: OwnedSemaphorePermit, last: ReplyPart) {
    // A caller that is gone needs no telling.
    if let Ok(room) = parts.reserve().await {
        drop(slot);
        room.send(last);
    }
}

async fn deliver<T>(
    io: &mut T,
    buffer: &mut [u8],
    blocks_max: u64,
    (parts, answer): (&mpsc::Sender<ReplyPart>, &Answer),
) -> Outcome
where
    T: AsyncRead + Unpin + Send,
{
    let mut decoder = ChunkDecoder::for_blocks();
    let mut blocks_left = blocks_max;
    loop {
        let read = read_some(io, buffer, parts, blocks_left == 0).await;
        if read.is_ok() {
            answer.begins();
        }
        let count = match read {
            Ok(0) if decoder.finish().is_ok() => return Outcome::End,
            Ok(0) => return Outcome::Failed(RequestError::Cut),
            Ok(count) => count,
            Err(outcome) => return outcome,
        };
        let mut input = buffer.get(..count).unwrap_or_default();
        loop {
            let chunk = match decoder.advance(&mut input) {
                Ok(None) => break,
                Ok(Some(ChunkProgress::Header(_))) => continue,
                Ok(Some(ChunkProgress::Chunk(chunk))) => chunk,
                Err(error) => return Outcome::Failed(RequestError::Framing(error)),
            };
            let block = match chunk {
                Chunk::Body(block) => block,
                Chunk::Error(refusal) => return Outcome::Failed(refusal.into()),
            };
            blocks_left = match blocks_left.checked_sub(1) {
                Some(left) => left,
                None => {
                    return Outcome::Failed(RequestError::TooManyBlocks { asked: blocks_max });
                }
            };
            if parts.send(ReplyPart::Block(block)).await.is_err() {
                return Outcome::Abandoned;
            }
        }
    }
}

/// Reads what there is, at least one byte; 0 at the end of the stream. After the last block the
/// end is waited for only so long.
async fn read_some<T>(
    io: &mut T,
    buffer: &mut [u8],
    parts: &mpsc::Sender<ReplyPart>,
    only_end_expected: bool,
) -> Result<usize, Outcome>
where
    T: AsyncRead + Unpin + Send,
{
    tokio::select! {
        biased;
        () = parts.closed() => Err(Outcome::Abandoned),
        () = sleep(CLOSE_WAIT_MAX), if only_end_expected => Err(Outcome::End),
        read = io.read(buffer) => read.map_err(|error| Outcome::Failed(failure(&error))),
    }
}

/// What a failed read says. A request goes out with the name of its protocol, before the peer has
/// agreed to it, so that a no is the first that is read.
fn failure(error: &io::Error) -> RequestError {
    match error.get_ref().and_then(|cause| cause.downcast_ref()) {
        Some(NegotiationError::Failed) => RequestError::Unsupported,
        Some(NegotiationError::ProtocolError(_)) | None => RequestError::Cut,
    }
}

/// Reads the rest of an unwanted reply, within bounds.
async fn drain<T>(io: &mut T, buffer: &mut [u8])
where
    T: AsyncRead + Unpin + Send,
{
    let deadline = Instant::now() + UNWANTED_TIME_MAX;
    let mut bytes_left = UNWANTED_BYTES_MAX;
    while bytes_left > 0 {
        match timeout_at(deadline, io.read(buffer)).await {
            Ok(Ok(count)) if count > 0 => bytes_left = bytes_left.saturating_sub(count),
            Ok(Ok(_) | Err(_)) | Err(_) => return,
        }
    }
}
