//! The small protocols: status, ping, metadata and goodbye, answered and never asked. Today's nodes
//! leave each such request of ours open for ever, and close a connection at the 33rd.
//!
//! An answer is made of what is in memory, at once. What a peer may ask for is bounded by its
//! streams and by its [`RequestRate`]; what it sends is at most one request of 107 bytes a stream.

use std::{io, time::Duration};

use futures::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use libp2p::{
    StreamProtocol,
    request_response::{self, ProtocolSupport},
};
use tokio::time::timeout;

use crate::{
    ports::BlockSource,
    wire::{
        protocol::Protocol,
        request::{
            FixedMessage, Goodbye, Metadata, MetadataRequest, Ping, REQUEST_BYTES_MAX,
            RequestError, Status,
        },
        response::{ErrorChunk, ErrorText, ResponseCode, encode_error_chunk},
    },
};

/// Streams of these protocols that a peer may have open on one connection; the next is dropped.
/// Unit: streams. A node that asks has one or two. If too low: a peer that asks for all at once
/// gets no answer. If too high: more idle streams a hostile peer can make us hold (10 s each).
pub(super) const SMALL_STREAMS_MAX: usize = 8;

/// How long a request may take to arrive, and an answer to be taken. Unit: time. Today's nodes give
/// up at 10 s themselves. If too low: peers on bad links get no answer. If too high: a silent
/// stream holds its place longer.
const STREAM_STALL_MAX: Duration = Duration::from_secs(10);

/// Time in which one more request is granted. Unit: time. Twice as often as the limiter of today's
/// nodes, which is off, would let all four protocols together. If too low: a flood is answered. If
/// too high: a peer that pings often is told off.
const REQUEST_EVERY: Duration = Duration::from_millis(500);

/// What may be asked for at once: 16 requests. Unit: time, in which as many are granted. If too
/// low: a peer that reconnects and greets is told off. If too high: a flood is answered for longer.
const BURST: Duration = Duration::from_secs(8);

/// How often our metadata has changed. It never does: there is nothing to subscribe to.
const METADATA_CHANGES: u64 = 0;

/// The server's side of the small protocols.
pub(super) type SmallServer = request_response::Behaviour<SmallCodec>;

/// A server of the small protocols.
pub(super) fn small_server() -> SmallServer {
    let config = request_response::Config::default()
        .with_request_timeout(2 * STREAM_STALL_MAX)
        .with_max_concurrent_streams(SMALL_STREAMS_MAX);
    let protocols = [Protocol::Status, Protocol::Ping, Protocol::Metadata, Protocol::Goodbye];
    let served = protocols.map(|it| (StreamProtocol::new(it.id()), ProtocolSupport::Inbound));
    SmallServer::new(served, config)
}

/// What a peer asks for or says.
#[derive(Debug)]
pub(super) enum SmallRequest {
    Status,
    Ping,
    Metadata,
    Goodbye(Goodbye),
    Malformed(RequestError),
}

impl SmallRequest {
    fn decode(protocol: &StreamProtocol, wire: &[u8]) -> Self {
        let id = protocol.as_ref();
        let decoded = if id == Protocol::Status.id() {
            Status::decode_request(wire).map(|_| Self::Status)
        } else if id == Protocol::Ping.id() {
            Ping::decode_request(wire).map(|_| Self::Ping)
        } else if id == Protocol::Metadata.id() {
            MetadataRequest::decode_request(wire).map(|_| Self::Metadata)
        } else {
            Goodbye::decode_request(wire).map(Self::Goodbye)
        };
        decoded.unwrap_or_else(Self::Malformed)
    }

    /// The bytes of the answer, where there is one.
    pub(super) fn answer(&self, source: &dyn BlockSource) -> Option<Vec<u8>> {
        match self {
            Self::Status => {
                // Today's nodes name here what proof of work has made final. All that we hold is
                // durable and never undone by us, so it is as final as we can say.
                let head = source.head().root;
                Some(Status { finalized: head, head }.encode_response())
            }
            Self::Ping => Some(Ping { seq_number: METADATA_CHANGES }.encode_response()),
            Self::Metadata => {
                let (attnets, syncnets) = ([0; 8], 0);
                let none = Metadata { seq_number: METADATA_CHANGES, attnets, syncnets };
                Some(none.encode_response())
            }
            Self::Goodbye(_) => None,
            Self::Malformed(_) => {
                Some(refusal(ResponseCode::InvalidRequest, "malformed request".to_owned()))
            }
        }
    }
}

/// The answer to a peer that asks for too much: what the limiter of today's nodes would say.
pub(super) fn too_many(wait: Duration) -> Vec<u8> {
    refusal(ResponseCode::RateLimited, format!("Wait {wait:?}"))
}

fn refusal(code: ResponseCode, text: String) -> Vec<u8> {
    encode_error_chunk(&ErrorChunk { code, text: ErrorText::new(&text) })
}

/// How often a peer asks, against how often it may.
#[derive(Debug, Default)]
pub(super) struct RequestRate {
    /// When all that was granted would be used up, one request each [`REQUEST_EVERY`].
    used_until: Duration,
}

impl RequestRate {
    /// Uses one request.
    ///
    /// # Errors
    /// How long to wait, if there is none left.
    pub(super) fn take(&mut self, now: Duration) -> Result<(), Duration> {
        let used_until = self.used_until.max(now) + REQUEST_EVERY;
        match used_until.checked_sub(now + BURST) {
            Some(wait) if !wait.is_zero() => Err(wait),
            Some(_) | None => {
                self.used_until = used_until;
                Ok(())
            }
        }
    }
}

/// Reads requests and writes answers.
#[derive(Clone, Default)]
pub(super) struct SmallCodec;

impl request_response::Codec for SmallCodec {
    type Protocol = StreamProtocol;
    type Request = SmallRequest;
    type Response = Vec<u8>;

    async fn read_request<T>(
        &mut self,
        protocol: &StreamProtocol,
        io: &mut T,
    ) -> io::Result<SmallRequest>
    where
        T: AsyncRead + Unpin + Send,
    {
        // One byte more than any request has, so that a longer one is seen to be too long.
        let limit = REQUEST_BYTES_MAX + 1;
        let mut wire = Vec::with_capacity(limit);
        let mut bounded = io.take(u64::try_from(limit).unwrap_or(u64::MAX));
        timeout(STREAM_STALL_MAX, bounded.read_to_end(&mut wire))
            .await
            .map_err(|_| io::ErrorKind::TimedOut)??;
        Ok(SmallRequest::decode(protocol, &wire))
    }

    async fn write_response<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        answer: Vec<u8>,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        let write = async {
            io.write_all(&answer).await?;
            io.flush().await
        };
        timeout(STREAM_STALL_MAX, write).await.map_err(|_| io::ErrorKind::TimedOut)?
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, _: &mut T) -> io::Result<Vec<u8>>
    where
        T: AsyncRead + Unpin + Send,
    {
        Err(io::Error::from(io::ErrorKind::Unsupported))
    }

    async fn write_request<T>(
        &mut self,
        _: &StreamProtocol,
        _: &mut T,
        _: SmallRequest,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        Err(io::Error::from(io::ErrorKind::Unsupported))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixteen_requests_at_once_and_two_a_second_are_granted() {
        let mut rate = RequestRate::default();
        let mut now = Duration::from_secs(3);
        for _ in 0..16 {
            assert_eq!(rate.take(now), Ok(()));
        }
        assert_eq!(rate.take(now), Err(REQUEST_EVERY));
        now += REQUEST_EVERY / 2;
        assert_eq!(rate.take(now), Err(REQUEST_EVERY / 2), "asking in vain costs nothing");
        for _ in 0..10 {
            now += REQUEST_EVERY;
            assert_eq!(rate.take(now), Ok(()));
            assert!(rate.take(now).is_err());
        }
        now += 100 * BURST;
        let granted = (0..100).filter(|_| rate.take(now).is_ok()).count();
        assert_eq!(granted, 16, "what is not used is not saved up for ever");
    }

    #[test]
    fn request_is_read_by_the_name_of_its_protocol() {
        let decode = |protocol: Protocol, wire: &[u8]| {
            SmallRequest::decode(&StreamProtocol::new(protocol.id()), wire)
        };
        let ping = Ping { seq_number: 5 }.encode_request();
        assert!(matches!(decode(Protocol::Ping, &ping), SmallRequest::Ping));
        assert!(matches!(decode(Protocol::Metadata, &[]), SmallRequest::Metadata));
        let said = decode(Protocol::Goodbye, &Goodbye::TooManyPeers.encode_request());
        assert!(matches!(said, SmallRequest::Goodbye(Goodbye::TooManyPeers)));
        for (protocol, wire) in [
            (Protocol::Status, &ping[..]),
            (Protocol::Ping, &[]),
            (Protocol::Metadata, &ping),
            (Protocol::Goodbye, &ping[..5]),
        ] {
            let request = decode(protocol, wire);
            assert!(matches!(request, SmallRequest::Malformed(_)), "{protocol:?}: {request:?}");
        }
    }
}
