//! Small durable records beside the chain.

use super::ChainError;
use crate::{checkpoint::Checkpoint, types::Height};

/// A durable store of checkpoints. What it returns has passed its checksum. All calls
/// block on disk: never call one on an async worker.
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
}
