//! Small durable records beside the chain: checkpoints, and what is known of peers.

use super::ChainError;
use crate::{
    checkpoint::Checkpoint,
    reputation::StoredPeer,
    types::{Height, PeerId},
};

/// A durable store of checkpoints and of records of peers. What it returns has passed its checksum.
/// All calls block on disk: never call one on an async worker.
pub trait Journal: Send + Sync + 'static {
    /// Stores a checkpoint under its height, durably when it returns.
    ///
    /// # Errors
    /// [`ChainError::Io`].
    fn put_checkpoint(&self, checkpoint: &Checkpoint) -> Result<(), ChainError>;

    /// All checkpoints that pass their checks, in order of height. Those that do not are left
    /// where they are and named in the second part.
    ///
    /// # Errors
    /// [`ChainError::Io`].
    fn checkpoints(&self) -> Result<(Vec<Checkpoint>, Vec<ChainError>), ChainError>;

    /// Forgets the checkpoint at `height`, durably when it returns.
    ///
    /// # Errors
    /// [`ChainError::Io`].
    fn remove_checkpoint(&self, height: Height) -> Result<(), ChainError>;

    /// Stores records of peers over those that are there, and removes those of others, durably
    /// when it returns. A crash before leaves each record as it was or as it was to be.
    ///
    /// # Errors
    /// [`ChainError::Io`].
    fn store_peers(&self, changed: &[StoredPeer], forgotten: &[PeerId]) -> Result<(), ChainError>;

    /// All records of peers that pass their checks. Those that do not are left where they are and
    /// named in the second part.
    ///
    /// # Errors
    /// [`ChainError::Io`].
    fn peers(&self) -> Result<(Vec<StoredPeer>, Vec<ChainError>), ChainError>;
}
