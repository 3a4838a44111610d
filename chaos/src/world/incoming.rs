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

/// Bytes of one reply that are on the way before the node has read the first of them. Source: the
/// window that Yamux begins a stream with. Lower: a reply over a long way is slower than any real
/// one. Higher: more is sent in vain when the node gives a reply up.
const STREAM_WINDOW: usize = 256 << 10;

/// One reply, from the request's arrival at the peer to its last byte here.
pub(super) struct Incoming {
    peer: Arc<SimPeer>,
    reply: Reply,
    parts: VecDeque<Part>,
    /// On the way, each with the time at which the peer has sent it.
    on_the_way: VecDeque<(Instant, Part)>,
    bytes_on_the_way: usize,
    /// When the peer has sent what is on the way.
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
    /// The node has read all of it.
    whole: bool,
}

impl Drop for OpenReply {
    fn drop(&mut self) {
        self.world.open_replies.fetch_sub(1, Ordering::Relaxed);
        let (peer, request, whole) = (self.peer.index, self.request, self.whole);
        self.world.trace.record(Event::ReplyOver { peer, request, whole });
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
        let open = OpenReply { world, peer: Arc::clone(&peer), request, whole: false };
        Self {
            peer,
            parts: reply.parts.iter().cloned().collect(),
            reply,
            on_the_way: VecDeque::new(),
            bytes_on_the_way: 0,
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
        self.open.whole = self.over || self.delivered == self.asked;
        next
    }

    async fn advance(&mut self) -> Result<Option<Bytes>, RequestError> {
        loop {
            if let Some(block) = self.decode()? {
                return Ok(Some(block));
            }
            self.send();
            match self.on_the_way.pop_front() {
                Some((at, Part::Bytes(bytes))) => {
                    self.arrival(at).await?;
                    self.bytes_on_the_way -= bytes.len();
                    self.arrived = bytes;
                }
                Some((_, Part::Pause(_))) => {}
                Some((at, Part::Cut)) => {
                    self.arrival(at).await?;
                    return Err(RequestError::Cut);
                }
                Some((_, Part::Silence)) => {
                    self.connection.reached().await;
                    return Err(RequestError::Cut);
                }
                None => {
                    self.arrival(self.sent_at).await?;
                    return self.decoder.finish().map(|()| None).map_err(|_| RequestError::Cut);
                }
            }
        }
    }

    /// The peer sends what fits into the stream's window. It hears of what the node has read one
    /// delay later: all that is put on the link is put there for that moment, so that the replies
    /// of a peer queue up in the order in which it sends them.
    fn send(&mut self) {
        let speed = self.peer.speed(self.open.world.is_healed());
        let heard_at = Instant::now() + speed.delay;
        while self.bytes_on_the_way < STREAM_WINDOW
            && let Some(part) = self.parts.pop_front()
        {
            let ready = self.sent_at.max(heard_at);
            match &part {
                Part::Bytes(bytes) => {
                    self.bytes_on_the_way += bytes.len();
                    self.sent_at = self.peer.link.send(speed, ready, bytes.len());
                }
                Part::Pause(pause) => self.sent_at = ready + *pause,
                Part::Cut | Part::Silence => {}
            }
            self.on_the_way.push_back((self.sent_at, part));
        }
    }

    /// Waits until what the peer has sent by `sent_at` is here, through outages that begin
    /// meanwhile.
    async fn arrival(&mut self, sent_at: Instant) -> Result<(), RequestError> {
        let delay = self.peer.speed(self.open.world.is_healed()).delay;
        let mut at = sent_at + delay;
        loop {
            tokio::select! {
                biased;
                () = self.connection.reached() => return Err(RequestError::Cut),
                () = sleep_until(at) => {}
            }
            let now = Instant::now();
            at = self.peer.arrival(now, self.connection.opened());
            if at <= now {
                return Ok(());
            }
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
