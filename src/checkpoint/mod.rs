//! Durable progress: checkpoints.
//!
//! Owns: which checkpoints are made and kept. Does not own: the chain and its head
//! ([`crate::importer`]); the head is durable by itself, and a restart goes on from there.
//!
//! In: the moving head, requests for a checkpoint. Out: durable records, and the height of the
//! newest one to the coordinator. A journal that fails ends the actor with the
//! error.

mod actor;
mod handle;
mod message;
mod record;

pub use actor::{CheckpointArgs, CheckpointStore, JournalFailure};
pub use handle::{CheckpointError, CheckpointHandle};
pub use message::CheckpointMsg;
pub use record::{Checkpoint, CheckpointKind};
