//! Checkpoints and the state of the run, as records of the data directory.

use super::{RecordKey, RecordKind, RunState, RunStateError, chain_error::in_full};
use crate::{
    checkpoint::{Checkpoint, RunState as Run},
    ports::{ChainError, Journal},
    types::Height,
};

const CHECKPOINTS: RecordKind = RecordKind::new("checkpoint", 1);
const RUN: RecordKind = RecordKind::new("run", 1);
/// Most checkpoints that are read back. Unit: records. Periodic ones are pruned to a few; the rest
/// was made by hand. Too low: some are not shown. Too high: memory, about 100 bytes each.
const CHECKPOINTS_MAX: usize = 10_000;

impl Journal for RunState {
    fn put_run_state(&self, run: &Run) -> Result<(), ChainError> {
        self.put(RUN, &run_key(), run)?;
        Ok(self.flush()?)
    }

    fn run_state(&self) -> Result<Option<Run>, ChainError> {
        Ok(self.get(RUN, &run_key())?)
    }

    fn put_checkpoint(&self, checkpoint: &Checkpoint) -> Result<(), ChainError> {
        self.put(CHECKPOINTS, &height_key(checkpoint.height), checkpoint)?;
        Ok(self.flush()?)
    }

    fn checkpoints(&self) -> Result<(Vec<Checkpoint>, Vec<ChainError>), ChainError> {
        let mut good = Vec::new();
        let mut damaged = Vec::new();
        for (key, checkpoint) in self.list::<Checkpoint>(CHECKPOINTS, CHECKPOINTS_MAX)? {
            match checkpoint {
                Ok(checkpoint) if height_key(checkpoint.height) == key => good.push(checkpoint),
                Ok(_) => damaged.push(ChainError::Corrupt(format!(
                    "the checkpoint record {key} is of another height"
                ))),
                Err(error) => damaged.push(error.into()),
            }
        }
        Ok((good, damaged))
    }

    fn remove_checkpoint(&self, height: Height) -> Result<(), ChainError> {
        self.remove(CHECKPOINTS, &height_key(height))?;
        Ok(self.flush()?)
    }
}

fn run_key() -> RecordKey {
    RecordKey::new("last")
}

/// Big-endian, so that the order of keys is the order of heights.
fn height_key(height: Height) -> RecordKey {
    RecordKey::new(height.get().to_be_bytes())
}

impl From<RunStateError> for ChainError {
    fn from(error: RunStateError) -> Self {
        match error {
            RunStateError::Index(index) => index.into(),
            RunStateError::BadRecord { .. } | RunStateError::LongKey { .. } => {
                Self::Corrupt(in_full(&error))
            }
        }
    }
}
