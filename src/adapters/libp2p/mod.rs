//! The network over libp2p.

mod identity;

pub use identity::{KeyError, load_or_create};
