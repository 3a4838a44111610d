//! The swarm: transports, the blocks-by-range protocol in both roles, and connection limits.
//!
//! The two roles are two behaviours, so that a peer that fills the one with its requests cannot
//! keep us from asking it ours.

use std::time::Duration;

use libp2p::{
    StreamProtocol, Swarm, SwarmBuilder,
    connection_limits::{self, ConnectionLimits},
    core::upgrade,
    dns::{ResolverConfig, ResolverOpts},
    identity::Keypair,
    noise, request_response,
    request_response::ProtocolSupport,
    swarm::{self, NetworkBehaviour},
    tcp, yamux,
};

use super::{codec::RangeCodec, lanes::Lanes, serving::REQUESTS_OPEN_MAX};
use crate::{ports::NetworkError, wire::protocol::Protocol};

/// The one protocol that today's nodes serve.
const BLOCKS_BY_RANGE: StreamProtocol = StreamProtocol::new(Protocol::BlocksByRange.id());

/// Requests of ours open on all connections to one peer together. Unit: streams. Today's nodes
/// close a connection on its 33rd open inbound stream and free a stream a moment after we do. If
/// too low: less in flight to one-block servers. If too high: connections drop under load.
pub(super) const OPEN_REQUESTS_MAX: usize = 30;

/// Streams a peer may have open towards us on one connection, waiting ones included; the next is
/// dropped by libp2p without a word to us or to the peer. Unit: streams. Twice what the server
/// answers at once, so that it sees who asks for too much, and can say so. If too low: misuse is
/// not seen. If too high: more streams that a hostile peer can make us hold.
const SERVED_STREAMS_MAX: usize = 2 * REQUESTS_OPEN_MAX;

/// How long one request may take from first to last byte, in either role. Deadlines that matter
/// are the caller's; this one only ends what everybody forgot. The largest reply, 1,024 blocks of
/// 1 MiB, then needs 1.2 MB/s. If too low: large replies to slow peers are cut. If too high:
/// forgotten streams hold their slots longer.
const REQUEST_LIFETIME: Duration = Duration::from_secs(900);

/// How long a connection without open streams stays. Far above the pauses of a node that is at
/// the head (it asks every few slots of 5 s), so only peers that nobody uses any more go. If too
/// low: peers leave during a pause, and today's nodes do not dial again after that. If too high:
/// a dead peer's connection keeps its place, as nothing is ever sent on it.
const IDLE_CONNECTION: Duration = Duration::from_secs(3600);

/// Connections to one peer. Two over each transport, because both ends may dial at the same
/// moment: with one, each end could keep the connection that the other refuses, and none would be
/// left. More are refused after the handshake; today's nodes dial a connected peer again every 5 s
/// for ever. If too low: transports cannot be compared. If too high: one peer takes the places of
/// many.
const CONNECTIONS_PER_PEER_MAX: u32 = 4;

/// Handshakes under way, for each direction. If too low: peers are turned away in a burst of
/// dials. If too high: more half-open connections a stranger can make us hold (10 s each).
const HANDSHAKES_MAX: u32 = 64;

/// Streams of a Yamux connection in all: ours, the peer's, and those closing. Unit: streams. If
/// too low: a busy connection ends with an error. If too high: a hostile peer can park a receive
/// window of 256 KiB on each.
const YAMUX_STREAMS_MAX: usize = 128;

const _: () = assert!(YAMUX_STREAMS_MAX > OPEN_REQUESTS_MAX + SERVED_STREAMS_MAX);

/// What a QUIC peer may send on a stream that we do not read. Unit: bytes. Twice the largest
/// chunk. If too low: a distant peer sends slower (one window a round trip). If too high: memory
/// for every stream whose reader waits; libp2p's own default is 10 MB.
#[cfg(feature = "quic")]
const QUIC_STREAM_WINDOW: u32 = 2 * 1024 * 1024;

/// What the node speaks. Limits come first: a refused connection reaches none of the others.
#[derive(NetworkBehaviour)]
pub(super) struct NodeBehaviour {
    limits: connection_limits::Behaviour,
    pub(super) client: Lanes,
    pub(super) server: request_response::Behaviour<RangeCodec>,
}

impl NodeBehaviour {
    fn new(connections_max: u32) -> Self {
        let limits = ConnectionLimits::default()
            .with_max_pending_incoming(Some(HANDSHAKES_MAX))
            .with_max_pending_outgoing(Some(HANDSHAKES_MAX))
            .with_max_established_incoming(Some(inbound_max(connections_max)))
            .with_max_established(Some(connections_max))
            .with_max_established_per_peer(Some(CONNECTIONS_PER_PEER_MAX));
        Self {
            limits: connection_limits::Behaviour::new(limits),
            client: Lanes::new(
                // Slots bound ours before they get here; two more, for streams just ending.
                (0..CONNECTIONS_PER_PEER_MAX)
                    .map(|_| role(ProtocolSupport::Outbound, OPEN_REQUESTS_MAX + 2))
                    .collect(),
            ),
            server: role(ProtocolSupport::Inbound, SERVED_STREAMS_MAX),
        }
    }
}

/// Three quarters, and at least one.
fn inbound_max(connections_max: u32) -> u32 {
    connections_max.saturating_sub(connections_max / 4).max(1)
}

fn role(support: ProtocolSupport, streams_max: usize) -> request_response::Behaviour<RangeCodec> {
    let config = request_response::Config::default()
        .with_request_timeout(REQUEST_LIFETIME)
        .with_max_concurrent_streams(streams_max);
    request_response::Behaviour::new([(BLOCKS_BY_RANGE, support)], config)
}

/// A swarm that listens nowhere yet. Call it inside a tokio runtime.
///
/// # Errors
/// [`NetworkError::Transport`].
pub(super) fn build_swarm(
    key: &Keypair,
    connections_max: u32,
) -> Result<Swarm<NodeBehaviour>, NetworkError> {
    let failed = |reason: String| NetworkError::Transport { reason };
    let transports = || {
        let streams = || {
            let mut config = yamux::Config::default();
            config.set_max_num_streams(YAMUX_STREAMS_MAX);
            config
        };
        let builder = SwarmBuilder::with_existing_identity(key.clone())
            .with_tokio()
            .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, streams)
            .map_err(|error| failed(error.to_string()))?;
        #[cfg(feature = "quic")]
        let builder = builder.with_quic_config(|mut config| {
            config.max_stream_data = QUIC_STREAM_WINDOW;
            config
        });
        Ok::<_, NetworkError>(builder)
    };
    let behaviour = || NodeBehaviour::new(connections_max);
    let settings = |config: swarm::Config| {
        // The one protocol of a stream is named and used in the same breath. The other way, which
        // waits for the peer's yes, takes another round trip for each request; the bytes are the
        // same. A peer's no comes as the first answer (see `reply_reader`).
        let eager = upgrade::Version::V1Lazy;
        config
            .with_idle_connection_timeout(IDLE_CONNECTION)
            .with_substream_upgrade_protocol_override(eager)
    };
    match transports()?.with_dns() {
        Ok(builder) => {
            let Ok(builder) = builder.with_behaviour(|_| behaviour());
            Ok(builder.with_swarm_config(settings).build())
        }
        Err(error) => {
            // A machine without resolver settings still reaches peers by their IP addresses.
            tracing::warn!(%error, "no system resolver: /dns addresses cannot be dialled");
            let builder =
                transports()?.with_dns_config(ResolverConfig::default(), ResolverOpts::default());
            let Ok(builder) = builder.with_behaviour(|_| behaviour());
            Ok(builder.with_swarm_config(settings).build())
        }
    }
}
