//! What the validator pool is told.

use ractor::RpcReplyPort;

use super::Verdict;
use crate::flow::RawSegment;

/// Messages to the validator pool.
pub enum ValidatorMsg {
    /// Verify a segment. The reply is lost if a worker panics.
    Verify {
        /// The blocks.
        segment: RawSegment,
        /// Where the verdict goes.
        reply: RpcReplyPort<Verdict>,
    },
    /// A worker panicked: the pool must be started again.
    WorkerPanicked {
        /// What it said.
        message: String,
    },
}
