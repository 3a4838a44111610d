//! What the tests share: real chains, serving peers, and a node under test.

pub mod behaviour;
mod chains;
mod node;
mod servers;

pub use chains::{TestChain, generated, golden};
pub use node::{DEADLINE, TestNode, config};
pub use servers::{Server, serve, serve_raw};
