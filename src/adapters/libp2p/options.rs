//! What the operator decides about the network.

use std::{net::IpAddr, num::NonZeroU32};

use libp2p::multiaddr::{Multiaddr, Protocol};

use super::admission::Limits;
use crate::resilience::Allowance;

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
    /// Inbound connections from one IPv4 address, or one /64 of IPv6, handshakes under way
    /// included; loopback has no such limit. Default 8. If too low: peers that share an address,
    /// as behind a NAT or a container host that hides where connections come from, keep each other
    /// out. If too high: one machine takes the places of all.
    pub connections_per_address_max: u32,
    /// How blocks are served.
    pub serving: ServingOptions,
    /// Look for peers on the local network by mDNS, and be found there. Needs feature `mdns`. Off
    /// by default: whoever is on that network can then make us dial.
    pub mdns: bool,
}

impl Default for Libp2pOptions {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            connections_max: 64,
            connections_per_address_max: 8,
            serving: ServingOptions::default(),
            mdns: false,
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

/// How blocks are served. Whoever asks for more than its allowance is served more slowly, and never
/// refused: its replies wait between two pieces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServingOptions {
    /// Pieces of up to 128 KiB read from the store at once for all peers together; no peer gets
    /// more than two of them. Default 4. If too low: a slow disk is used badly. If too high: the
    /// first request of a peer waits for more, and reading takes the cores from our own sync.
    pub reads_max: usize,
    /// What each peer may have. Default [`Self::PER_PEER`]. If too low: others sync slowly from
    /// us; with less than 100 blocks or 4 MiB a reply can take longer than today's nodes wait for
    /// (180 s for a block), and they hang. If too high: each takes more of our link and cores.
    pub per_peer: Allowance,
    /// What all peers together may have, divided fairly between those that ask. Default: no limit.
    /// If too low: as for one, times the peers that ask. If too high: it limits nothing.
    pub overall: Allowance,
}

impl ServingOptions {
    /// Far more than a node with two cores takes in, which is 7,000 blocks and 40 MB a second; so
    /// it limits only what nobody can need for a sync. 10,000 blocks and 64 MiB a second, and 500
    /// requests, which is a node that asks for one block at a time over a good link.
    pub const PER_PEER: Allowance = Allowance {
        requests: NonZeroU32::new(5_000),
        blocks: NonZeroU32::new(100_000),
        mebibytes: NonZeroU32::new(640),
    };

    /// The limit that is built into the network's software, where today's nodes leave it off: 1024
    /// blocks in 10 s.
    pub const PER_PEER_OF_OLD_NODES: Allowance =
        Allowance { blocks: NonZeroU32::new(1024), ..Allowance::UNLIMITED };
}

impl Default for ServingOptions {
    fn default() -> Self {
        Self { reads_max: 4, per_peer: Self::PER_PEER, overall: Allowance::UNLIMITED }
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
