//! Ports on loan: whoever lent one can wait until it is given back.
//!
//! Work on a blocking thread outlives the actor that asked for it, because nothing can stop it. So
//! that a tree has ended does not mean that nobody reads its chain any more, and a data directory
//! cannot be opened again before.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;

use super::{BlockSource, Chain, ChainError, Journal};
use crate::{
    checkpoint::{Checkpoint, CheckpointKind},
    consensus::{LinkPoint, VerifiedBlock},
    reputation::StoredPeer,
    types::{BlockRef, BlockRoot, Height, PeerId},
};

/// A port that tells when its last user has let it go.
pub(crate) struct Lent<P: ?Sized> {
    // Let go before it is told: fields are dropped in this order.
    port: Arc<P>,
    _users: watch::Sender<()>,
}

/// The other side of a [`Lent`].
#[derive(Clone)]
pub(crate) struct Loan(watch::Receiver<()>);

impl<P: ?Sized> Lent<P> {
    /// Lends `port` to all owners of what is returned.
    pub(crate) fn new(port: Arc<P>) -> (Arc<Self>, Loan) {
        let (users, loan) = watch::channel(());
        (Arc::new(Self { port, _users: users }), Loan(loan))
    }
}

impl Loan {
    /// Waits until nobody uses the port any more. Cancel-safe.
    pub(crate) async fn given_back(&self) {
        // Nothing is ever sent: what ends the wait is that the sender is gone.
        while self.0.clone().changed().await.is_ok() {}
    }
}

impl BlockSource for Lent<dyn Chain> {
    fn head(&self) -> BlockRef {
        self.port.head()
    }

    fn oldest(&self) -> Height {
        self.port.oldest()
    }

    fn read(
        &self,
        start: Height,
        blocks_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<Bytes>, ChainError> {
        self.port.read(start, blocks_max, bytes_max)
    }
}

impl Chain for Lent<dyn Chain> {
    fn genesis(&self) -> BlockRoot {
        self.port.genesis()
    }

    fn tip(&self) -> Result<LinkPoint, ChainError> {
        self.port.tip()
    }

    fn link_point(&self, height: Height) -> Result<LinkPoint, ChainError> {
        self.port.link_point(height)
    }

    fn append(&self, blocks: &[VerifiedBlock]) -> Result<BlockRef, ChainError> {
        self.port.append(blocks)
    }

    fn truncate_to(&self, height: Height) -> Result<BlockRef, ChainError> {
        self.port.truncate_to(height)
    }
}

impl Journal for Lent<dyn Journal> {
    fn put_checkpoint(&self, checkpoint: &Checkpoint) -> Result<(), ChainError> {
        self.port.put_checkpoint(checkpoint)
    }

    fn checkpoints(&self) -> Result<(Vec<Checkpoint>, Vec<ChainError>), ChainError> {
        self.port.checkpoints()
    }

    fn remove_checkpoint(&self, height: Height, kind: CheckpointKind) -> Result<bool, ChainError> {
        self.port.remove_checkpoint(height, kind)
    }

    fn set_aside_damaged(&self) -> Result<Vec<ChainError>, ChainError> {
        self.port.set_aside_damaged()
    }

    fn set_aside(&self, height: Height, kind: CheckpointKind) -> Result<(), ChainError> {
        self.port.set_aside(height, kind)
    }

    fn store_peers(&self, changed: &[StoredPeer], forgotten: &[PeerId]) -> Result<(), ChainError> {
        self.port.store_peers(changed, forgotten)
    }

    fn peers(&self) -> Result<(Vec<StoredPeer>, Vec<ChainError>), ChainError> {
        self.port.peers()
    }
}
