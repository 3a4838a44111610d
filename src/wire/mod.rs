//! What travels between nodes and what chain files hold, byte for byte.
//!
//! Owns the block codec, the framing of requests and responses and the chain file format. Does
//! not own consensus rules: a block that decodes here may still be unsigned, unlinked or absurd.
//!
//! Everything here is pure: bytes come in as slices, nothing reads a clock or a socket. Every
//! input is taken for hostile. It is accepted only in the one canonical form or refused with a
//! typed error; every length is checked before anything is allocated for it.
#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

pub mod block;
pub mod chain_file;
pub mod framing;
pub mod msgpack;
pub mod protocol;
pub mod request;
pub mod response;
#[cfg(test)]
pub(crate) mod vectors;
