//! Small durable records beside the chain: checkpoints, and what is known of peers.

use super::ChainError;
use crate::{
    checkpoint::{Checkpoint, CheckpointKind},
    reputation::StoredPeer,
    types::{Height, PeerId},
};

/// A durable store of checkpoints and of records of peers. What it returns has passed its checksum.
/// All calls block on disk: never call one on an async worker.
pub trait Journal: Send + Sync + 'static {
    /// Stores a checkpoint under its height and kind. When it returns, what was stored was made
    /// durable, read back and found to be the same.
    ///
    /// # Errors
    /// [`ChainError::Io`]; [`ChainError::Corrupt`] when something else was read back.
    fn put_checkpoint(&self, checkpoint: &Checkpoint) -> Result<(), ChainError>;

    /// All checkpoints that pass their checks, in order of height and kind. Those that do not are
    /// left where they are and named in the second part.
    ///
    /// # Errors
    /// [`ChainError::Io`].
    fn checkpoints(&self) -> Result<(Vec<Checkpoint>, Vec<ChainError>), ChainError>;

    /// Forgets a checkpoint and says whether there was one, durably when it returns.
    ///
    /// # Errors
    /// [`ChainError::Io`].
    fn remove_checkpoint(&self, height: Height, kind: CheckpointKind) -> Result<bool, ChainError>;

    /// Moves the records of checkpoints that fail their checks to where they are kept and never
    /// read as checkpoints again, durably, and returns how each fails.
    ///
    /// # Errors
    /// [`ChainError::Io`].
    fn set_aside_damaged(&self) -> Result<Vec<ChainError>, ChainError>;

    /// Does the same with a checkpoint that passes its checks and is false.
    ///
    /// # Errors
    /// [`ChainError::Io`].
    fn set_aside(&self, height: Height, kind: CheckpointKind) -> Result<(), ChainError>;

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
