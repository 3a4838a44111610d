//! Strict MessagePack: the subset and the exact byte forms that the network writes.
//!
//! Owns reading and writing of single values, and the two text forms inside strings: `0x` with
//! lower-case hexadecimal digits, and decimal numbers. Does not know any structure.
//!
//! A value has one accepted encoding: the shortest. Whatever [`Reader`] accepts, [`Writer`]
//! writes back to the same bytes. Every refusal is a [`DecodeError`] that names the field, the
//! byte offset and the fault; nothing here can panic on input or recurse.

mod error;
mod reader;
mod text;
mod writer;

#[cfg(test)]
mod tests;

pub use error::{DecodeError, Fault, Kind};
pub use reader::Reader;
pub use writer::Writer;
