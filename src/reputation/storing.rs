//! When records are stored, and the tasks that do it and that read the chain.

use std::{sync::Arc, time::Duration};

use ractor::ActorRef;
use tokio::{
    task::{JoinSet, spawn_blocking},
    time::sleep,
};

use super::{ReputationMsg, StoredPeer};
use crate::{
    checkpoint::CheckpointHandle,
    ports::Chain,
    types::{BlockRef, Height, PeerId},
};

/// How often changed records are stored; bans are at once. Unit: time. Too low: a disk sync for
/// every few blocks. Too high: what a crash forgets.
const STORE_EVERY: Duration = Duration::from_secs(10);

/// Pause before a store that did not answer is asked again. Unit: time. It comes back within a
/// tenth of a second.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// What is stored and what not.
pub(super) struct Storing {
    checkpoints: CheckpointHandle,
    /// Nothing is stored before it is known what was: it would be overwritten.
    restored: bool,
    storing: bool,
    urgent: bool,
    due_at: Duration,
}

impl Storing {
    pub(super) fn new(checkpoints: CheckpointHandle) -> Self {
        Self { checkpoints, restored: false, storing: false, urgent: false, due_at: Duration::ZERO }
    }

    /// Asks for what was stored, until it is answered.
    pub(super) fn ask(&self, myself: &ActorRef<ReputationMsg>, tasks: &mut JoinSet<()>) {
        let (checkpoints, myself) = (self.checkpoints.clone(), myself.clone());
        tasks.spawn(async move {
            loop {
                match checkpoints.peers().await {
                    Ok(stored) => {
                        // Reputation that is gone has aborted this.
                        let _ = myself.cast(ReputationMsg::Restored { stored });
                        return;
                    }
                    Err(error) => {
                        tracing::debug!(%error, "what is stored of peers is not known yet");
                        sleep(ASK_AGAIN).await;
                    }
                }
            }
        });
    }

    /// It is known what was stored.
    pub(super) fn restored(&mut self, now: Duration) {
        self.restored = true;
        self.due_at = now + STORE_EVERY;
    }

    /// What was under way has ended.
    pub(super) fn ended(&mut self) {
        self.storing = false;
    }

    /// Who is kept out changed: that is not to wait.
    pub(super) fn hurry(&mut self) {
        self.urgent = true;
    }

    /// Whether to store now what has changed.
    pub(super) fn is_due(&self, now: Duration) -> bool {
        self.restored && !self.storing && (self.urgent || now >= self.due_at)
    }

    /// Stores.
    pub(super) fn store(
        &mut self,
        now: Duration,
        (changed, forgotten): (Vec<StoredPeer>, Vec<PeerId>),
        myself: &ActorRef<ReputationMsg>,
        tasks: &mut JoinSet<()>,
    ) {
        self.due_at = now + STORE_EVERY;
        self.urgent = false;
        if changed.is_empty() && forgotten.is_empty() {
            return;
        }
        self.storing = true;
        let (checkpoints, myself) = (self.checkpoints.clone(), myself.clone());
        tasks.spawn(async move {
            let peers: Vec<_> = changed.iter().filter_map(StoredPeer::peer).collect();
            let failed = match checkpoints.store_peers(changed, forgotten).await {
                Ok(()) => Vec::new(),
                Err(error) => {
                    tracing::debug!(%error, "records of peers were not stored: tried again");
                    peers
                }
            };
            // Reputation that is gone has aborted this.
            let _ = myself.cast(ReputationMsg::Stored { failed });
        });
    }

    /// Stores at the end, and waits for it: the checkpoint store is still there.
    pub(super) async fn store_at_the_end(&self, changes: (Vec<StoredPeer>, Vec<PeerId>)) {
        if !self.restored {
            return;
        }
        if let Err(error) = self.checkpoints.store_peers(changes.0, changes.1).await {
            tracing::warn!(%error, "the last changes of what is known of peers are lost");
        }
    }
}

/// Reads which blocks the chain has at the heights that questions are open of.
pub(super) fn settle(
    chain: Arc<dyn Chain>,
    wanted: impl FnOnce(Height) -> Vec<Height> + Send + 'static,
    myself: ActorRef<ReputationMsg>,
    tasks: &mut JoinSet<()>,
) {
    tasks.spawn(async move {
        let read = spawn_blocking(move || {
            let heights = wanted(chain.head().height).into_iter();
            // One that cannot be read stays open; the store's owner will notice.
            let block = |height| Some(chain.link_point(height).ok()?.block_ref());
            heights.filter_map(block).collect::<Vec<BlockRef>>()
        });
        let blocks = read.await.unwrap_or_default();
        // Reputation that is gone has aborted this.
        let _ = myself.cast(ReputationMsg::Settled { blocks });
    });
}
