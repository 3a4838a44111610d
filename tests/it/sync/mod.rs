//! Chains synced from real peers.

mod bad_peers;
mod commands;
mod follow;
mod killed_children;
mod known_peers;
mod recovery;
mod resources;
mod restart;
mod set_back;
#[cfg(feature = "quic")]
mod transports;
mod whole_chain;
