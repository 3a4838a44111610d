//! Setting the chain back while a node runs: what has to be done first, and by whom.

use std::{sync::Arc, time::Duration};

use supervisors::CallError;
use tokio::time::{Instant, sleep};

use super::actor::{ImporterArgs, on_disk};
use crate::{
    checkpoint::{Checkpoint, SetBack, SetBackRefused, forget_above, may_set_back},
    consensus::LinkPoint,
    coordinator::CoordinatorHandle,
    ports::ChainError,
    types::Height,
};

/// How long a coordinator that is down may take to come back before it is refused to set the chain
/// back. Unit: time. Source: twice the longest pause between its restarts, and less than the grace
/// of an importer that stops, which waits for this. Too low: an operator has to ask again after a
/// crash. Too high: an importer that stops meanwhile is killed.
const COORDINATOR_BACK_MAX: Duration = Duration::from_secs(4);

/// How often that is looked at. Too low: processor time. Too high: an operator waits for longer.
const COORDINATOR_POLL: Duration = Duration::from_millis(20);

/// Sets the chain back to the checkpoint at `height`, if one of those `kept` is true of it, and
/// returns what the next block must link to.
///
/// # Errors
/// The chain failed.
pub(super) async fn set_back(
    args: ImporterArgs,
    height: Height,
    kept: Vec<Checkpoint>,
) -> Result<Result<(SetBack, LinkPoint), SetBackRefused>, ChainError> {
    let ImporterArgs { chain, coordinator, checkpoints, .. } = args;
    let looked_at = Arc::clone(&chain);
    if let Err(refused) = on_disk(move || may_set_back(&*looked_at, &kept, height)).await? {
        return Ok(Err(refused));
    }
    // Nobody may build on a head that is about to go.
    if !stops_producing(&coordinator).await {
        return Ok(Err(SetBackRefused::Produces));
    }
    // On purpose, so that nobody takes it for damage, whoever dies from here on.
    if checkpoints.give_up_above(height).await.is_err() {
        return Ok(Err(SetBackRefused::NotGivenUp));
    }
    on_disk(move || Ok(Ok((forget_above(&*chain, height)?, chain.tip()?)))).await
}

/// Has the coordinator close the gate, and says whether it has. One that is down may have left it
/// open, so the next one is waited for.
async fn stops_producing(coordinator: &CoordinatorHandle) -> bool {
    let ends = Instant::now() + COORDINATOR_BACK_MAX;
    loop {
        // What it is asked next it answers when it has done this. One that starts in between is
        // told this when it announces itself.
        let answered = match coordinator.setting_back() {
            Ok(()) => coordinator.status().await.map(|_| ()),
            Err(down) => Err(down.into()),
        };
        match answered {
            Ok(()) => return true,
            Err(CallError::Restarting | CallError::Lost) if Instant::now() < ends => {
                sleep(COORDINATOR_POLL).await;
            }
            Err(
                CallError::Restarting | CallError::Lost | CallError::Timeout | CallError::Stopped,
            ) => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use supervisors::ChildHandle;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn coordinator_that_stays_down_has_not_stopped_production() {
        let never_started = CoordinatorHandle::new(ChildHandle::new("coordinator"));
        assert!(!stops_producing(&never_started).await);
    }
}
