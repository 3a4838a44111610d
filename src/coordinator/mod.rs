//! Where the sync is and where it goes: phases, target, progress, production gate.
//!
//! Owns: the phase, the target and how it is proven, the figures shown to people, and the
//! commands. Does not own: which blocks come from whom ([`crate::scheduler`]), or the chain
//! ([`crate::importer`]).
//!
//! In: commands, usable peers, imports, answers to probes. Out: the window to the scheduler,
//! probes to peers, the status to whoever watches. Started again it reads the head, the peers and
//! what it was told to do from those who know, and sets the window anew.

mod actor;
mod core;
mod gate;
mod handle;
mod last_command;
mod last_look;
mod message;
mod phase;
mod progress;
mod search;
mod searches;
mod stall;
mod status;

pub use actor::{CoordinatorArgs, SyncCoordinator};
pub use gate::Gate;
pub use handle::{CommandError, CoordinatorHandle};
pub use last_command::LastCommand;
pub use last_look::LastLook;
pub use message::{Command, CoordinatorMsg};
pub use phase::{FailureReason, Phase, Refused};
pub use stall::{Stall, StallReason};
pub use status::SyncStatus;
