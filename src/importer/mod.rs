//! The one owner of the chain: ordered, batched, atomic import.
//!
//! Owns the order in which blocks reach the store, and the link check against the head. Does not
//! own: downloads, verification of single blocks, or what happens after a refusal.
//!
//! In: segments in order of height, orders to set the chain back. Out: progress and refusals to the
//! scheduler and the coordinator. A block
//! that does not link is refused and never rolls back a good one; only an operator's order sets the
//! chain back, between two transactions. A store that fails ends the
//! actor with the error: what the disk holds is then unknown, and starting again blindly would
//! make it worse.

mod actor;
mod batch;
mod handle;
mod message;
mod set_back;

pub use actor::{BlockImporter, ImporterArgs, StoreFailure};
pub use batch::{Refusal, Stop};
pub use handle::ImporterHandle;
pub(crate) use handle::SET_BACK_DEADLINE;
pub use message::{CommittedBatch, ImporterMsg, SetBackOrder};
