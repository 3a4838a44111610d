//! The status of a running node over HTTP, bans by hand and checkpoints: the server beside the
//! node, and the client that asks.
//!
//! Owns: what is told ([`NodeReport`]), `GET /status`, who may change what (`admin.rs`),
//! checkpoints (`checkpoints.rs`), and asking for it with a deadline and a size limit. Does not
//! own: what the figures mean ([`crate::coordinator`]), or how an operator finds the address.
//!
//! There is no authentication, so the server belongs on loopback; changes are refused to everybody
//! else. Failure: a request that fails ends by itself; the node does not notice.

mod admin;
mod checkpoints;
mod client;
mod report;
mod server;

pub use admin::{BanAnswer, BanRequest};
pub use checkpoints::CheckpointAnswer;
pub use client::{
    AskError, ask_status, ban_peer, check_checkpoints, create_checkpoint, import_checkpoints,
    lift_ban, recover_from_checkpoint, remove_checkpoint,
};
pub use report::{BreakerReport, BreakersReport, ChildReport, NodeReport};
pub use server::{ServeError, StatusServer};

/// Where the status is.
const STATUS_PATH: &str = "/status";

/// Where all checkpoints are.
const CHECKPOINTS_PATH: &str = "/checkpoints";

/// Where one is made; each is below it.
const CHECKPOINT_PATH: &str = "/checkpoint";

/// Where the one made by hand at `height` is.
fn checkpoint_path(height: impl std::fmt::Display) -> String {
    format!("{CHECKPOINT_PATH}/{height}")
}

/// Where a node is told to go back to the one at `height`.
fn recover_path(height: impl std::fmt::Display) -> String {
    format!("{CHECKPOINT_PATH}/{height}/recover")
}

/// What a request that changes anything must carry, whatever its value.
const ADMIN_HEADER: &str = "x-alys-admin";

/// Where the ban of a peer is.
fn ban_path(peer: impl std::fmt::Display) -> String {
    format!("/peers/{peer}/ban")
}
