//! What the operator decides about the network.

use std::net::IpAddr;

use libp2p::multiaddr::{Multiaddr, Protocol};

/// Settings of the libp2p network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Libp2pOptions {
    /// Where to accept connections: `/ip4/A/tcp/P`, `/ip6/A/tcp/P` and, with feature `quic`, the
    /// same with `udp/P/quic-v1`. All that give port 0 get one and the same free port, which is
    /// kept for later starts. Empty: dial only.
    pub listen: Vec<Multiaddr>,
    /// Connections open at once, both directions together; a peer that we dial while it dials us
    /// counts twice, and so does, while they are compared, one reached over two transports.
    /// At most three quarters may be inbound, so that no crowd of strangers can keep us from
    /// dialling. Default 64. If too low: few peers to choose from, and others cannot sync from us.
    /// If too high: memory, about 1 MiB a busy connection.
    pub connections_max: u32,
    /// Replies being sent at once to all peers together; more wait their turn. Default 64.
    /// If too low: one slow reader delays many. If too high: memory, up to 4 MiB each when the
    /// chain is all blocks of the largest size, about 0.3 MiB otherwise.
    pub replies_max: usize,
}

impl Default for Libp2pOptions {
    fn default() -> Self {
        Self { listen: Vec::new(), connections_max: 64, replies_max: 64 }
    }
}

/// The addresses of all transports this build has, on one port number of `ip`. Port 0 means a free
/// one.
pub fn listen_addresses(ip: IpAddr, port: u16) -> Vec<Multiaddr> {
    let tcp = Multiaddr::from(ip).with(Protocol::Tcp(port));
    if cfg!(feature = "quic") {
        let quic = Multiaddr::from(ip).with(Protocol::Udp(port)).with(Protocol::QuicV1);
        vec![tcp, quic]
    } else {
        vec![tcp]
    }
}
