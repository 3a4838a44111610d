//! A reply on its way: bytes of a peer arrive over its link and are decoded as on a real stream.

use std::{
    collections::VecDeque,
    sync::{Arc, atomic::Ordering},
};

use alys_sync::{
    ports::{RangeStream, RequestError},
    wire::response::{Chunk, ChunkDecoder, ChunkProgress},
};
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use tokio::time::{Instant, sleep_until};

use super::{Part, Reply, SimPeer, connection::ConnectionEnd, network::World};
use crate::trace::Event;

/// One reply, from the request's arrival at the peer to its last byte here.
pub(super) struct Incoming {
    peer: Arc<SimPeer>,
    reply: Reply,
    parts: VecDeque<Part>,
    /// When the peer has sent what came so far.
    sent_at: Instant,
    decoder: ChunkDecoder,
    /// Arrived and not decoded.
    arrived: Bytes,
    asked: u64,
    delivered: u64,
    over: bool,
    connection: ConnectionEnd,
    open: OpenReply,
}

/// Counts one open reply until it is dropped.
struct OpenReply {
    world: Arc<World>,
    peer: Arc<SimPeer>,
    request: u64,
}

impl Drop for OpenReply {
    fn drop(&mut self) {
        self.world.open_replies.fetch_sub(1, Ordering::Relaxed);
        let (peer, request) = (self.peer.index, self.request);
        self.world.trace.record(Event::ReplyOver { peer, request });
    }
}

impl Incoming {
    /// The reply of `peer` to `request` for `asked` blocks. It breaks when `connection` ends.
    pub(super) fn new(
        world: Arc<World>,
        peer: Arc<SimPeer>,
        (request, asked): (u64, u64),
        reply: Reply,
        connection: ConnectionEnd,
    ) -> Self {
        world.open_replies.fetch_add(1, Ordering::Relaxed);
        let sent_at = Instant::now() + peer.speed(world.is_healed()).delay;
        let open = OpenReply { world, peer: Arc::clone(&peer), request };
        Self {
            peer,
            parts: reply.parts.iter().cloned().collect(),
            reply,
            sent_at,
            decoder: ChunkDecoder::for_blocks(),
            arrived: Bytes::new(),
            asked,
            delivered: 0,
            over: false,
            connection,
            open,
        }
    }

    /// Its blocks, as the port wants them.
    pub(super) fn into_stream(self) -> RangeStream {
        stream::unfold(self, |mut incoming| async move {
            let next = incoming.next().await?;
            Some((next, incoming))
        })
        .boxed()
    }

    async fn next(&mut self) -> Option<Result<Bytes, RequestError>> {
        if self.over {
            return None;
        }
        let next = self.advance().await.transpose();
        self.over = !matches!(next, Some(Ok(_)));
        next
    }

    async fn advance(&mut self) -> Result<Option<Bytes>, RequestError> {
        loop {
            if let Some(block) = self.decode()? {
                return Ok(Some(block));
            }
            match self.parts.pop_front() {
                Some(Part::Bytes(bytes)) => {
                    let speed = self.peer.speed(self.open.world.is_healed());
                    self.sent_at = self.peer.link.send(speed, self.sent_at, bytes.len());
                    self.arrival().await?;
                    self.arrived = bytes;
                }
                Some(Part::Pause(pause)) => self.sent_at += pause,
                Some(Part::Cut) => {
                    self.arrival().await?;
                    return Err(RequestError::Cut);
                }
                Some(Part::Silence) => {
                    self.connection.reached().await;
                    return Err(RequestError::Cut);
                }
                None => {
                    self.arrival().await?;
                    return self.decoder.finish().map(|()| None).map_err(|_| RequestError::Cut);
                }
            }
        }
    }

    /// Waits until what was sent last is here.
    async fn arrival(&mut self) -> Result<(), RequestError> {
        let delay = self.peer.speed(self.open.world.is_healed()).delay;
        tokio::select! {
            biased;
            () = self.connection.reached() => Err(RequestError::Cut),
            () = sleep_until(self.sent_at + delay) => Ok(()),
        }
    }

    /// The next block that has arrived whole.
    fn decode(&mut self) -> Result<Option<Bytes>, RequestError> {
        let arrived = std::mem::take(&mut self.arrived);
        let mut input = arrived.as_ref();
        loop {
            let progress = self.decoder.advance(&mut input).map_err(RequestError::Framing)?;
            match progress {
                None => return Ok(None),
                Some(ChunkProgress::Header(_)) => {}
                Some(ChunkProgress::Chunk(Chunk::Error(refusal))) => return Err(refusal.into()),
                Some(ChunkProgress::Chunk(Chunk::Body(block))) => {
                    self.arrived = arrived.slice(arrived.len() - input.len()..);
                    return self.deliver(block).map(Some);
                }
            }
        }
    }

    fn deliver(&mut self, block: Bytes) -> Result<Bytes, RequestError> {
        if self.delivered >= self.asked {
            return Err(RequestError::TooManyBlocks { asked: self.asked });
        }
        let lie = usize::try_from(self.delivered).is_ok_and(|at| self.reply.lies.contains(&at));
        self.delivered += 1;
        let (peer, request) = (self.peer.index, self.open.request);
        self.open.world.trace.record(Event::Delivered { peer, request, lie });
        Ok(block)
    }
}
