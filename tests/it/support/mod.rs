//! What the tests share: real chains, serving peers, and a node under test.

pub mod behaviour;
mod chains;
#[cfg(feature = "quic")]
mod far_tcp;
mod growing;
mod node;
mod servers;

pub use chains::{TestChain, forked, generated, golden};
#[cfg(feature = "quic")]
pub use far_tcp::FarTcp;
pub use growing::Growing;
pub use node::{DEADLINE, TestNode, config};
pub use servers::{Server, serve, serve_raw};
