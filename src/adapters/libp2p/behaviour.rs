//! The swarm: the gate to connections, the blocks-by-range protocol in both roles, and the small
//! protocols.
//!
//! The two roles are two behaviours, so that a peer that fills the one with its requests cannot
//! keep us from asking it ours.

use std::time::Duration;

use libp2p::{
    PeerId, StreamProtocol, Swarm,
    core::upgrade,
    identity::Keypair,
    request_response,
    request_response::ProtocolSupport,
    swarm::{self, NetworkBehaviour},
};

#[cfg(feature = "mdns")]
use super::neighbours::Neighbours;
use super::{
    Libp2pOptions,
    admission::CONNECTIONS_PER_PEER_MAX,
    codec::RangeCodec,
    gate::Gate,
    lanes::Lanes,
    serving::REQUESTS_OPEN_MAX,
    small_server::{SMALL_STREAMS_MAX, SmallServer, small_server},
    transports::build_transport,
};
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

/// Streams of one connection in all, ours and the peer's. Unit: streams.
pub(super) const STREAMS_MAX: usize = OPEN_REQUESTS_MAX + SERVED_STREAMS_MAX + SMALL_STREAMS_MAX;

/// What the node speaks. The gate comes first: a denied connection reaches none of the others.
#[derive(NetworkBehaviour)]
pub(super) struct NodeBehaviour {
    pub(super) gate: Gate,
    pub(super) client: Lanes,
    pub(super) server: request_response::Behaviour<RangeCodec>,
    pub(super) small_server: SmallServer,
    #[cfg(feature = "mdns")]
    neighbours: Neighbours,
}

impl NodeBehaviour {
    fn new(options: &Libp2pOptions, own: PeerId) -> Result<Self, NetworkError> {
        if options.mdns && !cfg!(feature = "mdns") {
            let reason = format!("{own} is to find others by mDNS, but was built without it");
            return Err(NetworkError::Transport { reason });
        }
        Ok(Self {
            gate: Gate::new(options.limits()),
            client: Lanes::new(
                // Slots bound ours before they get here; two more, for streams just ending.
                (0..CONNECTIONS_PER_PEER_MAX)
                    .map(|_| role(ProtocolSupport::Outbound, OPEN_REQUESTS_MAX + 2))
                    .collect(),
            ),
            server: role(ProtocolSupport::Inbound, SERVED_STREAMS_MAX),
            small_server: small_server(),
            #[cfg(feature = "mdns")]
            neighbours: Neighbours::new(options.mdns, own),
        })
    }
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
    options: &Libp2pOptions,
) -> Result<Swarm<NodeBehaviour>, NetworkError> {
    // The one protocol of a stream is named and used in the same breath. The other way, which
    // waits for the peer's yes, takes another round trip for each request; the bytes are the
    // same. A peer's no comes as the first answer (see `reply_reader`).
    let eager = upgrade::Version::V1Lazy;
    let config = swarm::Config::with_tokio_executor()
        .with_idle_connection_timeout(IDLE_CONNECTION)
        .with_substream_upgrade_protocol_override(eager);
    let peer = key.public().to_peer_id();
    Ok(Swarm::new(build_transport(key)?, NodeBehaviour::new(options, peer)?, peer, config))
}
