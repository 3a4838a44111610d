//! Stateless verification of blocks on all cores.
//!
//! Owns the checks that need nothing but the block, the chain specification and its neighbours in
//! the same reply. Does not own: what becomes of blocks that fail, or any chain state.
//!
//! In: [`ValidatorMsg::Verify`] with a raw segment. Out: a [`Verdict`] in the order of heights,
//! however the work was spread. A worker that panics fails its segment only: the reply is lost,
//! and the pool's actor ends with the panic, to be started again.

mod actor;
mod batcher;
#[cfg(test)]
mod doubles;
mod handle;
mod message;
mod meter;
mod stages;
mod verdict;
mod work;

pub use actor::{ValidatorArgs, ValidatorPool, WorkerPanic};
pub use handle::ValidatorHandle;
pub use message::{Urgency, ValidatorMsg};
pub use meter::{Meter, VerificationGauge, process_cpu};
pub use verdict::{Fault, ReplyFault, Verdict};
