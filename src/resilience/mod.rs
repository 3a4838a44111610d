//! What stands between sync and everything that fails: the one way to ask a peer.

mod caller;
mod download_limit;
mod limit;
mod probe;

pub use caller::{NetworkSlot, PeerCaller, RangeCall};
pub use probe::{ProbeAnswer, Prober, ProvenBlock};
