//! What stands between sync and everything that fails: the one way to ask a peer.

mod caller;
mod download_limit;
mod limit;
mod probe;

pub use caller::{NetworkSlot, PeerCaller, RangeCall};
pub use limit::{Allowance, QUOTA_PERIOD};
pub(crate) use limit::{Cost, Quota};
pub use probe::{ProbeAnswer, Prober, ProvenBlock};
