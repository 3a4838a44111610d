//! The status of a running node over HTTP: the server beside the node, and the client that asks.
//!
//! Owns: what is told ([`NodeReport`]), `GET /status`, and asking for it with a deadline and a
//! size limit. Does not own: what the figures mean ([`crate::coordinator`]), or how an operator
//! finds the address.
//!
//! Only reads: nothing here changes the node. There is no authentication, so the server belongs on
//! loopback. Failure: a request that fails ends by itself; the node does not notice.

mod client;
mod report;
mod server;

pub use client::{AskError, ask_status};
pub use report::{BudgetReport, ChildReport, NodeReport, WindowReport};
pub use server::{ServeError, StatusServer};

/// Where the status is.
const STATUS_PATH: &str = "/status";
