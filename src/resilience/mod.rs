//! What stands between sync and everything that fails: the one way to ask a peer, breakers around
//! what fails again and again, and the watch on our own link.

mod activity;
mod breaker;
mod breakers;
mod call_span;
mod caller;
mod download_limit;
mod guard;
mod guarded_source;
mod limit;
mod partition;
mod probe;
mod recovery;
mod retry;

pub use breaker::BreakerState;
pub use breakers::{BreakerStatus, BreakerTotals};
pub use caller::{NetworkSlot, PeerCaller, RangeCall};
pub use guarded_source::GuardedSource;
pub use limit::{Allowance, QUOTA_PERIOD};
pub(crate) use limit::{Cost, Quota};
pub use partition::{CutSign, LinkCut, LinkNews, LinkWatch, Traffic};
pub use probe::{ProbeAnswer, Prober, ProvenBlock};
pub use recovery::{
    ASK_AGAIN, BREAKER_FAILURES, BREAKER_OPEN, CHECK_AGAIN, ErrorClass, LIES_MAX, RECOVERY_TABLE,
    REDIAL, REDIAL_WHILE_CUT, RecoveryRow, SYNC_AGAIN, Step, Tries,
};
pub(crate) use retry::Pauses;
