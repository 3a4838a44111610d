//! Supervision of real actors, under paused time but for the tests that need several threads.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod heartbeat;
mod nesting;
mod probe;
mod restart;
mod shutdown;
mod strategies;
