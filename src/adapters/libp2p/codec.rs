//! Streams of the blocks-by-range protocol, read and written piece by piece.
//!
//! A codec runs inside its connection's task: it must not panic, must not block, and does nothing
//! but framing. The reply of one of our requests is not returned but pushed, block by block, into
//! the [`ReplySink`] that came with the request; the reply to a peer
//! is drained from a channel.
//!
//! A stream that ends without having been closed looks like a clean end to the peer: Yamux and
//! QUIC both send a FIN when a stream is dropped whose other half is closed. So whoever cannot
//! finish a reply must say so by an error chunk.

use std::{io, time::Duration};

use futures::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use libp2p::{StreamProtocol, request_response};
use tokio::time::timeout;

use super::{
    exchange::{Piece, Reply, ReplySink, Request},
    reply_reader::read_reply,
};
use crate::wire::request::REQUEST_BYTES_MAX;

/// How long a peer may take to send its request, which is 35 bytes. Today's nodes give up at 10 s
/// themselves. If too low: peers on bad links cannot ask. If too high: a silent stream holds its
/// place among the connection's streams longer.
const REQUEST_READ_MAX: Duration = Duration::from_secs(10);

/// How long a stream may take nothing before its piece is given back, and others of the same peer
/// go on before it. Unit: time. If too low: on distant links pieces are read twice. If too high:
/// replies that a peer has forgotten, which we are not told of, delay those that it waits for.
const WRITE_STALL: Duration = Duration::from_millis(500);

/// How long a peer may take none of a reply before it is given up. Unit: time. If too low: a peer
/// that reads on later finds a reply that looks complete and is not. If too high: a reply that its
/// peer has forgotten keeps its stream for longer; no turn of anybody waits for it.
const WRITE_STALL_MAX: Duration = Duration::from_secs(30);

/// The codec of one stream; the behaviour clones an empty one for each.
#[derive(Default)]
pub(super) struct RangeCodec {
    /// Set between the request we wrote and its reply.
    sink: Option<ReplySink>,
}

impl Clone for RangeCodec {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl request_response::Codec for RangeCodec {
    type Protocol = StreamProtocol;
    type Request = Request;
    type Response = Reply;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Request>
    where
        T: AsyncRead + Unpin + Send,
    {
        // One byte more than any request has, so that a longer one is seen to be too long.
        let limit = REQUEST_BYTES_MAX + 1;
        let mut body = Vec::with_capacity(limit);
        let mut bounded = io.take(u64::try_from(limit).unwrap_or(u64::MAX));
        timeout(REQUEST_READ_MAX, bounded.read_to_end(&mut body))
            .await
            .map_err(|_| io::ErrorKind::TimedOut)??;
        Ok(Request { body, sink: None })
    }

    async fn write_request<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        request: Request,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        if request.sink.as_ref().is_some_and(|sink| sink.parts.is_closed()) {
            return Err(io::Error::from(io::ErrorKind::Interrupted));
        }
        io.write_all(&request.body).await?;
        io.flush().await?;
        self.sink = request.sink;
        Ok(())
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Reply>
    where
        T: AsyncRead + Unpin + Send,
    {
        let Some(sink) = self.sink.take() else {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        };
        read_reply(io, sink).await?;
        Ok(Reply::Delivered)
    }

    async fn write_response<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        reply: Reply,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        let Reply::Pieces(mut pieces) = reply else {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        };
        while let Some(piece) = pieces.recv().await {
            write_piece(io, piece).await?;
        }
        Ok(())
    }
}

/// Writes a piece, or gives back what the stream does not take in time.
async fn write_piece<T>(io: &mut T, mut piece: Piece) -> io::Result<()>
where
    T: AsyncWrite + Unpin + Send,
{
    let mut written = 0;
    while let Some(left) = piece.bytes().get(written..).filter(|left| !left.is_empty()) {
        let patience = if piece.can_shrink() { WRITE_STALL } else { WRITE_STALL_MAX };
        match timeout(patience, io.write(left)).await {
            Ok(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(taken) => written += taken?,
            Err(_) if piece.can_shrink() => {
                piece.shrink(written);
                written = 0;
            }
            Err(_) => return Err(io::ErrorKind::TimedOut.into()),
        }
    }
    timeout(WRITE_STALL_MAX, io.flush()).await.map_err(|_| io::ErrorKind::TimedOut)??;
    piece.taken();
    Ok(())
}
