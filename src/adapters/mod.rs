//! The outside world behind the ports: disk and network. Glue, no rules of sync.

pub mod chain_file;
#[cfg(test)]
pub(crate) mod conformance;
pub mod libp2p;
pub mod memory;
pub mod sled;
mod system_resources;

pub use system_resources::SystemResources;
