//! What the operator decides about the network.

use std::net::IpAddr;

use libp2p::multiaddr::{Multiaddr, Protocol};

use super::admission::Limits;

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
    /// Inbound connections from one IPv4 address, or one /64 of IPv6, handshakes under way
    /// included; loopback has no such limit. Default 8. If too low: peers that share an address,
    /// as behind a NAT or a container host that hides where connections come from, keep each other
    /// out. If too high: one machine takes the places of all.
    pub connections_per_address_max: u32,
}

impl Default for Libp2pOptions {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            connections_max: 64,
            replies_max: 64,
            connections_per_address_max: 8,
        }
    }
}

impl Libp2pOptions {
    /// What connections there may be.
    pub(super) fn limits(&self) -> Limits {
        let as_size = |limit| usize::try_from(limit).unwrap_or(usize::MAX);
        Limits {
            total: as_size(self.connections_max),
            inbound_per_place: as_size(self.connections_per_address_max),
        }
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
