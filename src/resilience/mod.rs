//! What stands between sync and everything that fails: the one way to ask a peer, and the watch on
//! our own link.

mod activity;
mod caller;
mod download_limit;
mod limit;
mod partition;
mod probe;

pub use caller::{NetworkSlot, PeerCaller, RangeCall};
pub use partition::{CutSign, LinkCut, LinkNews, LinkWatch, Traffic};
pub use probe::{ProbeAnswer, Prober, ProvenBlock};
