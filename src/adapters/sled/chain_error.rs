//! What the errors of the parts mean to the port.

use std::error::Error;

use super::{BlockDamage, IndexError, RecordStoreError, SegmentError};
use crate::ports::ChainError;

impl From<SegmentError> for ChainError {
    fn from(error: SegmentError) -> Self {
        match error {
            SegmentError::Io { action, file, source } => {
                Self::Io { action: format!("{action} {}", file.display()), source }
            }
            damage @ (SegmentError::Missing { .. }
            | SegmentError::BadHeader { .. }
            | SegmentError::OtherVersion { .. }
            | SegmentError::Cut { .. }
            | SegmentError::BadLength { .. }
            | SegmentError::BadChecksum { .. }
            | SegmentError::Unstorable { .. }
            | SegmentError::Leftover { .. }
            | SegmentError::Exhausted { .. }) => Self::Corrupt(in_full(&damage)),
        }
    }
}

impl From<IndexError> for ChainError {
    fn from(error: IndexError) -> Self {
        match error {
            IndexError::Io { action, source } => {
                Self::Io { action: format!("{action} the index"), source }
            }
            IndexError::Poisoned => Self::Poisoned,
            damage @ (IndexError::Damaged { .. }
            | IndexError::Missing { .. }
            | IndexError::BadRecord { .. }
            | IndexError::BadEntry { .. }
            | IndexError::BadRoot) => Self::Corrupt(in_full(&damage)),
        }
    }
}

impl From<BlockDamage> for ChainError {
    fn from(damage: BlockDamage) -> Self {
        match damage {
            BlockDamage::Entry(error) => error.into(),
            BlockDamage::Record(error) => error.into(),
            BlockDamage::Encoding(_) | BlockDamage::OtherBlock { .. } => {
                Self::Corrupt(in_full(&damage))
            }
        }
    }
}

impl From<RecordStoreError> for ChainError {
    fn from(error: RecordStoreError) -> Self {
        match error {
            RecordStoreError::Index(error) => error.into(),
            RecordStoreError::BadRecord { .. } | RecordStoreError::LongKey { .. } => {
                Self::Corrupt(in_full(&error))
            }
        }
    }
}

/// The damage of a record that was listed, which is not the listing's.
pub(super) fn damage_of(error: &RecordStoreError) -> ChainError {
    ChainError::Corrupt(in_full(error))
}

/// The error with its causes, since the port carries text.
pub(super) fn in_full(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
