//! Whole nodes through the public API, over real sockets on loopback.

mod support;
mod sync;
