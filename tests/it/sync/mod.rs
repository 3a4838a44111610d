//! Chains synced from real peers.

mod whole_chain;
