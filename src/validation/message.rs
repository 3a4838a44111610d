//! What the validator pool is told.

use ractor::RpcReplyPort;
use supervisors::Vital;

use super::Verdict;
use crate::flow::RawSegment;

/// When a segment is verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// Before everything in turn: single blocks that somebody waits for.
    AtOnce,
    /// After everything that came before.
    InTurn,
}

/// Messages to the validator pool.
pub enum ValidatorMsg {
    /// Verify a segment. The reply is lost if a worker panics.
    Verify {
        /// The blocks.
        segment: RawSegment,
        /// When.
        urgency: Urgency,
        /// Where the verdict goes.
        reply: RpcReplyPort<Verdict>,
    },
    /// A worker is free again.
    JobDone,
    /// The first block in turn has waited long enough for others.
    Alarm,
    /// A worker panicked: the pool must be started again.
    WorkerPanicked {
        /// What it said.
        message: String,
    },
    /// A sign of life is asked for.
    Vital(Vital),
}

impl From<Vital> for ValidatorMsg {
    fn from(vital: Vital) -> Self {
        Self::Vital(vital)
    }
}
