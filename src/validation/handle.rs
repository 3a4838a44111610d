//! The stable address of the validator pool.

use std::time::Duration;

use supervisors::{CallError, ChildHandle};

use super::{Urgency, ValidatorMsg, Verdict};
use crate::flow::RawSegment;

/// How long one segment may wait for its verdict, behind everything that is queued before it.
/// Unit: time. The byte budget bounds the queue: 64 MiB of blocks of 1.3 kB take one core about a
/// minute. Too low: verified work is thrown away on slow machines. Too high: a lost verdict holds
/// its heights for long (a dead pool is noticed at once).
const VERDICT_DEADLINE: Duration = Duration::from_secs(120);

/// Sends to the validator pool, whichever incarnation lives.
#[derive(Clone)]
pub struct ValidatorHandle {
    child: ChildHandle<ValidatorMsg>,
}

impl ValidatorHandle {
    /// The address behind `child`.
    pub fn new(child: ChildHandle<ValidatorMsg>) -> Self {
        Self { child }
    }

    /// Verifies a segment.
    ///
    /// # Errors
    /// [`CallError`]: the blocks are lost and must be asked again.
    pub async fn verify(
        &self,
        segment: RawSegment,
        urgency: Urgency,
    ) -> Result<Verdict, CallError> {
        let message = |reply| ValidatorMsg::Verify { segment, urgency, reply };
        self.child.call(message, VERDICT_DEADLINE).await
    }
}
