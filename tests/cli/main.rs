//! The program as people and scripts use it: the real binary, over loopback, with a deadline on
//! every wait.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod bad_input;
mod bench;
mod chain;
mod checkpoint;
mod demo;
mod peers;
mod run;
mod support;
#[cfg(target_os = "linux")]
mod thousand;
mod traces;
