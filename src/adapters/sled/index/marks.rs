//! A head that is moved down, and the marks that last until what was above it is dealt with.

use ::sled::Batch;

use super::{HEAD, Index, put};
use crate::{adapters::sled::IndexError, types::BlockRef};

/// There while what is above the head is being removed, in whatever order: whoever opens the store
/// meanwhile has to finish it.
const CUTTING: &str = "cutting";

/// There while what is behind the head is being moved to the quarantine: whoever opens the store
/// meanwhile has to finish it.
const RECOVERING: &str = "recovering";

impl Index {
    /// Makes a block below the head the head, durably, and notes that what is above it is to go:
    /// its entries by [`Index::forget_above`], its bodies, at last the note by [`Index::end_cut`].
    ///
    /// # Errors
    /// [`IndexError::Io`], [`IndexError::Damaged`].
    pub(in super::super) fn lower_head(&self, head: BlockRef) -> Result<(), IndexError> {
        let mut state = Batch::default();
        put(&mut state, HEAD, &head)?;
        put(&mut state, CUTTING, &head)?;
        self.database
            .write(|| self.state.apply_batch(state).map_err(IndexError::from_sled("writing")))?;
        self.database.make_durable()
    }

    /// Makes a whole block the head in place of one that is damaged, durably, and notes that what
    /// does not follow it goes to the quarantine, until [`Index::end_recovery`].
    ///
    /// # Errors
    /// [`IndexError::Io`], [`IndexError::Damaged`].
    pub(in super::super) fn begin_recovery(&self, head: BlockRef) -> Result<(), IndexError> {
        let mut state = Batch::default();
        put(&mut state, HEAD, &head)?;
        put(&mut state, RECOVERING, &head)?;
        self.database
            .write(|| self.state.apply_batch(state).map_err(IndexError::from_sled("writing")))?;
        self.database.make_durable()
    }

    /// The block that a recovery goes on from, if one was begun and not ended.
    ///
    /// # Errors
    /// [`IndexError::BadRecord`], [`IndexError::Io`], [`IndexError::Damaged`].
    pub(in super::super) fn recovering_from(&self) -> Result<Option<BlockRef>, IndexError> {
        self.find(RECOVERING)
    }

    /// Notes that what did not follow the head is in the quarantine, durably.
    ///
    /// # Errors
    /// [`IndexError::Io`], [`IndexError::Damaged`].
    pub(in super::super) fn end_recovery(&self) -> Result<(), IndexError> {
        self.database
            .write(|| self.state.remove(RECOVERING).map_err(IndexError::from_sled("writing")))?;
        self.database.make_durable()
    }

    /// The head that a cut under way makes, if one is.
    ///
    /// # Errors
    /// As for [`Index::is_cutting`].
    pub(in super::super) fn cutting_to(&self) -> Result<Option<BlockRef>, IndexError> {
        self.find(CUTTING)
    }

    /// Whether a cut was begun and not ended.
    ///
    /// # Errors
    /// [`IndexError::BadRecord`], [`IndexError::Io`], [`IndexError::Damaged`].
    pub(in super::super) fn is_cutting(&self) -> Result<bool, IndexError> {
        Ok(self.cutting_to()?.is_some())
    }

    /// Notes that nothing is left above the head, durably.
    ///
    /// # Errors
    /// [`IndexError::Io`], [`IndexError::Damaged`].
    pub(in super::super) fn end_cut(&self) -> Result<(), IndexError> {
        self.database
            .write(|| self.state.remove(CUTTING).map_err(IndexError::from_sled("writing")))?;
        self.database.make_durable()
    }
}
