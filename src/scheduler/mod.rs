//! Which range of blocks is asked of whom, and when it may go on to import.
//!
//! Owns: the window of heights, the requests in flight, the byte budget and the order of release.
//! Does not own: who is usable ([`crate::reputation`]), how far to go ([`crate::coordinator`]), or
//! whether a block is valid ([`crate::validation`]).
//!
//! In: the window, usable peers, and what the fetch tasks report. Out: requests through the
//! [`crate::resilience::PeerCaller`], segments to the importer, evidence to reputation. Started
//! again it knows nothing, says so, and is given window and peers anew; what was in flight is
//! asked again.

mod actor;
mod core;
mod fetch;
mod handle;
mod height_set;
mod message;
mod policy;
mod reply_meter;
mod settings;

pub use actor::{DownloadScheduler, SchedulerArgs};
pub use core::{DownloadCore, DownloadEffect, DownloadEvent, Front, Held, WindowGauge};
pub use handle::SchedulerHandle;
pub use height_set::HeightSet;
pub use message::SchedulerMsg;
pub use policy::{
    Adaptive, Allocation, ArrivedPiece, Assignment, DownloadPolicy, DownloadView, EndedReply,
    PeerWork, ReplyEnd, Unanswered,
};
pub use settings::Settings;
