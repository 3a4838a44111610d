//! The network as sync sees it: peers that come and go, and ranges of blocks asked of them.

use std::{collections::BTreeSet, fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{future::BoxFuture, stream::BoxStream};

use super::BlockSource;
use crate::{
    types::{HeightRange, Multiaddr, PeerId},
    wire::response::{ChunkError, ErrorChunk, ResponseCode},
};

/// The blocks of one reply in the order the peer sent them, undecoded. The end of the stream is
/// the peer's clean close and says nothing about the height of its head. Dropping it abandons the
/// request.
pub type RangeStream = BoxStream<'static, Result<Bytes, RequestError>>;

/// A running network.
pub trait PeerNetwork: Send + Sync + 'static {
    /// Asks `peer` for `range` and resolves when the request was sent. Only
    /// [`crate::resilience::PeerCaller`] may call this: limits, deadlines and spans are there.
    fn request_range(
        &self,
        peer: PeerId,
        range: HeightRange,
    ) -> BoxFuture<'static, Result<RangeStream, RequestError>>;

    /// Tries to connect to one peer at all these addresses; the outcome is an event. Where more
    /// than one transport gets through, the network measures them with small requests, sends all
    /// requests over the faster, lets those under way finish, and closes the other, now and again
    /// later. That is no business of the callers: no request fails of it.
    fn dial(&self, addresses: Vec<Multiaddr>);

    /// Closes all connections to `peer`; the end is an event, within a second even if the link is
    /// cut.
    fn disconnect(&self, peer: PeerId);

    /// Exactly these are refused from now on: no dial, no connection accepted, no reply; their open
    /// connections are closed. A network that starts refuses nobody.
    fn refuse(&self, peers: BTreeSet<PeerId>);
}

/// Makes networks: one each time the actor that owns it starts.
pub trait NetworkStarter: Send + Sync + 'static {
    /// Starts listening and serving `source`. Dropping the returned network ends it; a later
    /// start waits until the one before has let go of its sockets.
    fn start(
        &self,
        source: Arc<dyn BlockSource>,
        events: Arc<dyn NetworkEvents>,
    ) -> BoxFuture<'static, Result<Arc<dyn PeerNetwork>, NetworkError>>;

    /// Resolves when no network of this starter runs: the one started last was dropped, and has
    /// let go of its sockets and of what it served.
    fn ended(&self) -> BoxFuture<'static, ()>;
}

/// Where a network reports to. Must not block.
pub trait NetworkEvents: Send + Sync + 'static {
    /// Something happened.
    fn on_event(&self, event: NetworkEvent);
}

/// Who opened a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The peer dialled us: its address is no address to dial.
    Inbound,
    /// We dialled it.
    Outbound,
}

/// Why a peer is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DisconnectReason {
    /// The peer or the link closed the connection.
    Remote,
    /// We closed it.
    Local,
}

/// What a peer that behaves never asks of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Misuse {
    /// A request that is none of its protocol.
    MalformedRequest,
    /// More requests open at once than today's nodes let anybody have, or far more of the small
    /// ones than anybody has use for.
    TooManyRequests,
}

/// What a network reports.
#[derive(Debug, Clone)]
pub enum NetworkEvent {
    /// We accept connections at this address (with our peer id as last part).
    Listening {
        /// The dialable address.
        address: Multiaddr,
    },
    /// A connection to a peer is up. Requests go over the first one until [`Self::Moved`].
    Connected {
        /// Who.
        peer: PeerId,
        /// The address of its end.
        address: Multiaddr,
        /// Who dialled.
        direction: Direction,
    },
    /// Requests to a connected peer go over another of its connections from now on.
    Moved {
        /// Who.
        peer: PeerId,
        /// The address of its end.
        address: Multiaddr,
    },
    /// The last connection to a peer is gone.
    Disconnected {
        /// Who.
        peer: PeerId,
        /// By whom.
        reason: DisconnectReason,
    },
    /// A dial ended without a connection, at all of its addresses.
    DialFailed {
        /// What was dialled.
        addresses: Vec<Multiaddr>,
        /// Who is there, if that is somebody who is refused.
        refused: Option<PeerId>,
        /// Why, for people.
        reason: String,
    },
    /// A peer that nobody named was found on the local network.
    Discovered {
        /// Where it can be dialled, with its peer id as last part.
        address: Multiaddr,
    },
    /// A peer found on the local network has not been heard of there for a while.
    Expired {
        /// Where it could be dialled, as it was [`Self::Discovered`].
        address: Multiaddr,
    },
    /// A peer misuses our server. At most one report a second of a peer and kind.
    Misused {
        /// Who.
        peer: PeerId,
        /// How.
        misuse: Misuse,
        /// How often since the last report of this peer and kind; at least 1.
        times: u32,
    },
    /// The network ended by itself and must be started again.
    Stopped {
        /// Why, for people.
        reason: String,
    },
}

/// Why the network did not start.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {reason}")]
    Listen {
        /// Which one.
        address: Multiaddr,
        /// Why, for people.
        reason: String,
    },
    /// A transport could not be set up.
    #[error("cannot set up the transport: {reason}")]
    Transport {
        /// Why, for people.
        reason: String,
    },
    /// The network before this one did not let go of its sockets in time.
    #[error("the previous network did not end within {waited:?}")]
    PreviousStillRunning {
        /// How long it was waited for.
        waited: Duration,
    },
}

/// Why a request, or the rest of its reply, failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// There is no connection to the peer.
    #[error("not connected")]
    NotConnected,
    /// The peer does not speak the protocol.
    #[error("the peer does not speak the protocol")]
    Unsupported,
    /// Our own limit of open streams on a connection is reached.
    #[error("too many open streams")]
    TooManyStreams,
    /// The peer answered with an error.
    #[error("refused by the peer: {code:?}{}", text_suffix(text))]
    Refused {
        /// What it said.
        code: ResponseCode,
        /// The text it added, at most 256 bytes, control characters removed.
        text: String,
    },
    /// The peer limits its requesters, and has nothing left for us.
    #[error("the peer limits how much it is asked for{}", wait_suffix(*wait))]
    RateLimited {
        /// How long to wait, if it said so.
        wait: Option<Duration>,
    },
    /// Our own account of what a peer that limits its requesters has left for us.
    #[error("the peer would refuse so much before {wait:?} have passed")]
    OverQuota {
        /// How long to wait.
        wait: Duration,
    },
    /// The peer has failed too often to be asked now: its breaker is open.
    #[error("the peer has failed too often to be asked before {wait:?} have passed")]
    BreakerOpen {
        /// When to try again. The breaker may still be open then: it opens early where nobody else
        /// delivers.
        wait: Duration,
    },
    /// The peer's bytes break the framing.
    #[error("broken framing")]
    Framing(#[source] ChunkError),
    /// The peer sent more blocks than were asked for. Those asked for were delivered before.
    #[error("more than the {asked} blocks asked for")]
    TooManyBlocks {
        /// How many were asked for.
        asked: u64,
    },
    /// The connection or stream ended in the middle, or nothing came for too long.
    #[error("the stream was cut")]
    Cut,
    /// No first block, or no next one, within the deadline.
    #[error("nothing arrived for {waited:?}")]
    TimedOut {
        /// How long was waited.
        waited: Duration,
    },
    /// The network is being restarted.
    #[error("the network is restarting")]
    Restarting,
}

impl From<ErrorChunk> for RequestError {
    fn from(ErrorChunk { code, text }: ErrorChunk) -> Self {
        match code {
            ResponseCode::RateLimited => Self::RateLimited { wait: text.wait() },
            ResponseCode::InvalidRequest
            | ResponseCode::ServerError
            | ResponseCode::ResourceUnavailable
            | ResponseCode::Unknown(_) => Self::Refused { code, text: text.to_string() },
        }
    }
}

fn wait_suffix(wait: Option<Duration>) -> String {
    wait.map(|wait| format!(", and says to wait {wait:?}")).unwrap_or_default()
}

fn text_suffix(text: &str) -> impl fmt::Display + '_ {
    struct Suffix<'a>(&'a str);
    impl fmt::Display for Suffix<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            if self.0.is_empty() { Ok(()) } else { write!(f, " ({})", self.0) }
        }
    }
    Suffix(text)
}
