//! Block sync for the Alys node: a Bitcoin merge-mined EVM sidechain whose blocks are signed by
//! three to fifteen Aura authorities with aggregate BLS signatures.
//!
//! The crate takes a node from any height to the head of the network, keeps it there, serves
//! blocks to others and says when the node may produce.
//!
//! Start with [`node::Node`]; `ARCHITECTURE.md` has the map.

pub mod adapters;
pub mod checkpoint;
pub mod config;
pub mod consensus;
pub mod coordinator;
#[cfg(test)]
mod doubles;
pub mod flow;
pub mod http;
pub mod importer;
pub mod network;
pub mod node;
pub mod ports;
pub mod reputation;
pub mod resilience;
pub mod resources;
pub mod scheduler;
pub mod selection;
pub mod tree;
pub mod types;
pub mod validation;
pub mod wire;
