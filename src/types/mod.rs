//! The words of the domain as types with checked arithmetic.
//!
//! Depends on nothing of this crate. Nothing here reads a clock, does I/O or can panic on values
//! that come from a peer.

mod block_ref;
mod height;
mod root;
mod slot;
mod transport;

pub use block_ref::BlockRef;
pub use height::{Height, HeightRange};
pub use libp2p::{Multiaddr, PeerId};
pub use root::{BlockRoot, ExecutionHash, ParseHashError, StateRoot};
pub use slot::Slot;
pub use transport::Transport;
