//! Durable progress: checkpoints.
//!
//! Owns: which checkpoints are made and kept, whether one is true of the chain (`check.rs`), and
//! where a chain goes on whose head is damaged (`recovery.rs`) or that an operator sets back
//! (`set_back.rs`). Does not own: the chain and its head ([`crate::importer`]); the head is durable
//! by itself, and a restart goes on from there.
//!
//! In: the moving head, stops, requests for a checkpoint. Out: durable records, the height of the
//! newest one to the coordinator, and at the start the counters of the newest one that holds to the
//! status. A checkpoint counts once it was written, synced, read back and found the same. One that
//! fails its checks, or that the chain shows to be false, is told, set aside and never deleted. A
//! journal that fails ends the actor with the error.

mod actor;
mod check;
mod export;
mod handle;
mod keeping;
mod message;
mod record;
mod recovery;
mod set_back;
mod work;

pub(crate) use actor::Restored;
pub use actor::{CheckpointArgs, CheckpointStore, JournalFailure};
pub use check::{CheckedCheckpoint, CheckedJournal, CheckpointCheck};
pub use export::{EXPORT_BYTES_MAX, ExportError, export, import};
pub use handle::{CheckpointError, CheckpointHandle};
pub use keeping::{KeepError, Survey, check_all, make, take_in};
pub use message::CheckpointMsg;
pub use record::{BlockFacts, Checkpoint, CheckpointKind, MANUAL_KEPT_MAX, RunState, SyncProgress};
pub use recovery::{
    Damaged, Decided, NEAR_BLOCKS_MAX, Quarantine, RecoveredBy, Recovery, SAFETY_MARGIN_BLOCKS,
    SkipReason, SkippedCheckpoint, decide,
};
pub use set_back::{RecoverError, SetBack, SetBackRefused, set_back};
pub(crate) use set_back::{forget_above, may_set_back};
