//! How a connection is carried.

use std::fmt;

use libp2p::{Multiaddr, multiaddr::Protocol};
use serde::{Deserialize, Serialize};

/// The transports of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// TCP with Noise and Yamux.
    Tcp,
    /// QUIC version 1.
    Quic,
}

impl Transport {
    /// What `address` is reached over, if it names one of them.
    pub fn of(address: &Multiaddr) -> Option<Self> {
        if address.iter().any(|part| part == Protocol::QuicV1) {
            return Some(Self::Quic);
        }
        address.iter().any(|part| matches!(part, Protocol::Tcp(_))).then_some(Self::Tcp)
    }

    /// The other one of the two.
    pub fn other(self) -> Self {
        match self {
            Self::Tcp => Self::Quic,
            Self::Quic => Self::Tcp,
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP",
            Self::Quic => "QUIC",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_told_by_the_address() {
        for (address, transport) in [
            ("/ip4/10.0.0.1/tcp/4001", Some(Transport::Tcp)),
            ("/dns4/host/tcp/4001", Some(Transport::Tcp)),
            ("/ip6/::1/udp/4001/quic-v1", Some(Transport::Quic)),
            ("/ip4/10.0.0.1/udp/4001", None),
            ("/memory/5", None),
        ] {
            assert_eq!(Transport::of(&address.parse().unwrap()), transport, "{address}");
        }
    }
}
