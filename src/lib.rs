//! Block sync for the Alys node: a Bitcoin merge-mined EVM sidechain whose blocks are signed by
//! three to fifteen Aura authorities with aggregate BLS signatures.
//!
//! The crate takes a node from any height to the head of the network, keeps it there, serves
//! blocks to others and says when the node may produce.

pub mod adapters;
pub mod consensus;
pub mod ports;
pub mod types;
pub mod wire;
