//! How bytes travel: TCP with Noise and Yamux, QUIC, and names resolved before either dials.

use std::time::Duration;

use libp2p::{
    PeerId, Transport,
    core::{
        muxing::StreamMuxerBox,
        transport::{Boxed, timeout::TransportTimeout},
        upgrade,
    },
    dns::{self, ResolverConfig, ResolverOpts},
    identity::Keypair,
    noise, tcp, yamux,
};
#[cfg(feature = "quic")]
use {futures::future::Either, libp2p::quic};

use super::{behaviour::STREAMS_MAX, prompt_close::PromptClose};
use crate::ports::NetworkError;

/// How long a connection may take from the first packet to the end of its handshake, the lookup of
/// a name included. libp2p's own value. If too low: peers on bad links cannot connect. If too high:
/// a stranger that does not go on holds a place among the handshakes longer.
const HANDSHAKE_WAIT_MAX: Duration = Duration::from_secs(10);

/// Streams of a Yamux connection in all: ours, the peer's, and those closing. Unit: streams. If
/// too low: a busy connection ends with an error. If too high: a hostile peer can park a receive
/// window of 256 KiB on each.
const YAMUX_STREAMS_MAX: usize = 128;

const _: () = assert!(YAMUX_STREAMS_MAX > STREAMS_MAX);

/// What a QUIC peer may send on a stream that we do not read. Unit: bytes. Twice the largest
/// chunk. If too low: a distant peer sends slower (one window a round trip). If too high: memory
/// for every stream whose reader waits; libp2p's own default is 10 MB.
#[cfg(feature = "quic")]
const QUIC_STREAM_WINDOW: u32 = 2 * 1024 * 1024;

type Connections = Boxed<(PeerId, StreamMuxerBox)>;

/// All transports of this build. Call it inside a tokio runtime.
///
/// # Errors
/// [`NetworkError::Transport`].
pub(super) fn build_transport(key: &Keypair) -> Result<Connections, NetworkError> {
    let named = match dns::tokio::Transport::system(by_ip_address(key)?) {
        Ok(named) => named,
        Err(error) => {
            // A machine without resolver settings still reaches peers by their IP addresses.
            tracing::warn!(%error, "no system resolver: /dns addresses cannot be dialled");
            let (config, options) = (ResolverConfig::default(), ResolverOpts::default());
            dns::tokio::Transport::custom(by_ip_address(key)?, config, options)
        }
    };
    Ok(TransportTimeout::new(named, HANDSHAKE_WAIT_MAX).boxed())
}

fn by_ip_address(key: &Keypair) -> Result<Connections, NetworkError> {
    let noise = noise::Config::new(key)
        .map_err(|error| NetworkError::Transport { reason: error.to_string() })?;
    let mut streams = yamux::Config::default();
    streams.set_max_num_streams(YAMUX_STREAMS_MAX);
    let tcp = tcp::tokio::Transport::new(tcp::Config::default().nodelay(true))
        .upgrade(upgrade::Version::V1Lazy)
        .authenticate(noise)
        .multiplex(streams)
        .map(|(peer, streams), _| (peer, StreamMuxerBox::new(PromptClose::new(streams))));
    #[cfg(feature = "quic")]
    {
        let mut config = quic::Config::new(key);
        config.max_stream_data = QUIC_STREAM_WINDOW;
        let quic = quic::tokio::Transport::new(config)
            .map(|(peer, streams), _| (peer, StreamMuxerBox::new(PromptClose::new(streams))));
        let both = quic.or_transport(tcp).map(|connection, _| match connection {
            Either::Left(quic) => quic,
            Either::Right(tcp) => tcp,
        });
        Ok(both.boxed())
    }
    #[cfg(not(feature = "quic"))]
    Ok(tcp.boxed())
}
