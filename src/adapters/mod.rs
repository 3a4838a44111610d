//! The outside world behind the ports: disk and network. Glue, no rules of sync.

#[cfg(test)]
mod conformance;
pub mod libp2p;
pub mod memory;
pub mod sled;
