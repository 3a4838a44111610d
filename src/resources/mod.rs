//! What sync may use of the machine: memory, disk and the depth of queues against their limits.
//!
//! Owns: when less is downloaded ahead and when nothing is imported (`watch.rs`). Does not own:
//! what downloads hold ([`crate::flow`]), or the import ([`crate::importer`]), which look at the
//! budget and the gate that are set here. Both belong to the process: what was set last holds while
//! the monitor restarts.

mod actor;
mod backlog;
mod gate;
mod looks;
mod message;
mod settings;
mod watch;

pub use actor::{ResourceArgs, ResourceMonitor};
pub use backlog::Waiting;
pub use gate::ImportGate;
pub use message::ResourceMsg;
pub use settings::ResourceSettings;
pub use watch::{Orders, ResourceWatch, Shortage};
