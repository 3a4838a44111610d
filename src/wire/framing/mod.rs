//! How a body travels in a request or in a response chunk: the length of the body as a variable
//! length integer, then the body as a snappy stream of its own. An empty body has no stream.
//!
//! Owns both directions and all limits: a peer can make us hold no more than the body it
//! announced, within the limits of the caller, and one frame of the stream. Does not know what a
//! body means.
//!
//! Decoding is driven by bytes as they arrive, in pieces of any size. It stops after the length,
//! so that the caller can take memory from a budget before a body is received. Stricter than
//! today's nodes: the length must have its shortest form, and a stream holds data frames only (no
//! padding, no second identifier), because no node writes anything else.

mod body;
mod crc32c;
mod snappy;

#[cfg(test)]
mod tests;

pub use body::{BodyDecoder, BodyLimits, BodyProgress, encode_body};

/// Why a framed body was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The length of the body has superfluous bytes.
    #[error("length of the body is not in its shortest form")]
    LengthNotShortest,
    /// The length of the body has more than 64 bits.
    #[error("length of the body has more than 64 bits")]
    LengthOverflow,
    /// The length of the body is outside its limits.
    #[error("body of {announced} bytes announced, {min} to {max} allowed")]
    LengthOutOfRange {
        /// The length announced. Unit: bytes.
        announced: u64,
        /// The least allowed. Unit: bytes.
        min: usize,
        /// The most allowed. Unit: bytes.
        max: usize,
    },
    /// The stream does not begin with the snappy stream identifier.
    #[error("no snappy stream identifier")]
    NoStreamIdentifier,
    /// A frame that is neither compressed nor uncompressed data.
    #[error("frame of kind {kind:#04x} in a body")]
    UnexpectedFrame {
        /// The first byte of the frame.
        kind: u8,
    },
    /// A frame that is empty or longer than any frame can be.
    #[error("frame of {bytes} bytes")]
    FrameLength {
        /// The length in its header. Unit: bytes.
        bytes: usize,
    },
    /// The stream holds more than the body announced.
    #[error("more data than the {announced} bytes announced")]
    TooMuchData {
        /// The length announced. Unit: bytes.
        announced: usize,
    },
    /// The stream itself is longer than a body of this length can need.
    #[error("stream is longer than the {max} bytes that its body can need")]
    StreamTooLong {
        /// The most allowed. Unit: bytes.
        max: usize,
    },
    /// Compressed data that does not decompress to what it announces.
    #[error("frame does not decompress")]
    Corrupt,
    /// The data is not what the checksum was made of.
    #[error("checksum of a frame does not match")]
    Checksum,
}
