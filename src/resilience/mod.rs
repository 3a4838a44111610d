//! What stands between sync and everything that fails: the one way to ask a peer, and breakers
//! around what fails again and again.

mod breaker;
mod breakers;
mod call_span;
mod caller;
mod download_limit;
mod guard;
mod guarded_source;
mod limit;
mod probe;
mod retry;

pub use breaker::BreakerState;
pub use breakers::{BreakerStatus, BreakerTotals};
pub use caller::{NetworkSlot, PeerCaller, RangeCall};
pub use guarded_source::GuardedSource;
pub use probe::{ProbeAnswer, Prober, ProvenBlock};
