//! How others are found, and what they may take: the same choices wherever a network is started.

use alys_sync::{
    adapters::libp2p::{Libp2pOptions, ServingOptions},
    types::Multiaddr,
};
use clap::Args;

/// How others are found, and what they may take.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct ConnectionArgs {
    /// Find peers on the local network by mDNS, and be found there
    ///
    /// Whoever is on that network can then make this node dial.
    #[arg(long)]
    mdns: bool,
    /// Inbound connections from one IPv4 address, or one /64 of IPv6; loopback has no limit
    ///
    /// Give more where many peers share an address, as behind a NAT, or where a container host
    /// hides the addresses of all of them behind its own.
    #[arg(
        long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65_536),
        default_value_t = Libp2pOptions::default().connections_per_address_max
    )]
    connections_per_address: u32,
}

impl ConnectionArgs {
    /// The default options with these choices, listening at `listen` and serving so.
    pub(crate) fn options(self, listen: Vec<Multiaddr>, serving: ServingOptions) -> Libp2pOptions {
        Libp2pOptions {
            listen,
            serving,
            mdns: self.mdns,
            connections_per_address_max: self.connections_per_address,
            ..Libp2pOptions::default()
        }
    }
}
