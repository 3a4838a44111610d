//! Whole nodes through the public API, over real sockets on loopback.
#![allow(unreachable_pub, reason = "a test binary has no outside")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod recovery_table;
mod support;
mod sync;
