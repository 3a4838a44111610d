//! The stable address of the validator pool.

use std::time::Duration;

use ractor::ActorCell;
use supervisors::{CallError, ChildHandle};

use super::{ValidatorMsg, Verdict};
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
    pub async fn verify(&self, segment: RawSegment) -> Result<Verdict, CallError> {
        self.child.call(|reply| ValidatorMsg::Verify { segment, reply }, VERDICT_DEADLINE).await
    }
}

/// Tells a pool that one of its workers panicked; a pool that is already gone needs no telling.
pub(super) fn report_panic(pool: &ActorCell, message: String) {
    let _ = pool.send_message(ValidatorMsg::WorkerPanicked { message });
}
