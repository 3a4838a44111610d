//! Chains synced from real peers.

mod bad_peers;
mod commands;
mod follow;
mod killed_children;
mod restart;
mod whole_chain;
