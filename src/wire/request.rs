//! Requests, and the small messages that answer some of them.
//!
//! Owns the bodies of fixed length and their bytes on the wire, in both directions. Does not
//! judge them: a range may be empty, enormous or beyond the end of the chain. A request is read
//! whole (its sender closes its side of the stream), at most [`REQUEST_BYTES_MAX`], then decoded;
//! a refusal is a [`RequestError`].

use super::{
    framing::{BodyDecoder, BodyLimits, BodyProgress, FrameError, encode_body},
    response,
};
use crate::types::{BlockRoot, Height};

/// The longest request on the wire. Unit: bytes. Source: length, stream and limit for the longest
/// body, a status of 64 bytes. Lower refuses valid requests, higher reads more of invalid ones.
pub const REQUEST_BYTES_MAX: usize = 1 + 32 + Status::BYTES + Status::BYTES / 6;

/// Why bytes are no request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The framing is wrong.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The request stops before its end. Also what a stream gives that was opened and dropped.
    #[error("request of {received} bytes ends early")]
    Cut {
        /// How many bytes came. Unit: bytes.
        received: usize,
    },
    /// Bytes follow the request.
    #[error("{count} bytes follow the request")]
    TrailingBytes {
        /// How many.
        count: usize,
    },
    /// The body is none of this message.
    #[error(transparent)]
    Message(#[from] MessageError),
}

/// Why a body is not the message expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// Another length than all bodies of this message have.
    #[error("body of {found} bytes, expected {expected}")]
    WrongLength {
        /// The length of the message. Unit: bytes.
        expected: usize,
        /// The length found. Unit: bytes.
        found: usize,
    },
    /// Bits are set that stand for nothing.
    #[error("metadata names sync committees that do not exist")]
    UnknownSyncnets,
}

/// A message whose body has a fixed length.
pub trait FixedMessage: Sized {
    /// The length of the body. Unit: bytes.
    const BYTES: usize;

    /// The body.
    fn to_body(&self) -> Vec<u8>;

    /// The message with this body.
    ///
    /// # Errors
    /// [`MessageError`], if it is not the body of such a message.
    fn from_body(body: &[u8]) -> Result<Self, MessageError>;

    /// The message as a request on the wire. A body of no bytes takes none.
    fn encode_request(&self) -> Vec<u8> {
        let mut wire = Vec::new();
        if Self::BYTES > 0 {
            encode_body(&self.to_body(), &mut wire);
        }
        wire
    }

    /// The request that `wire` is, from its first to its last byte.
    ///
    /// # Errors
    /// [`RequestError`] says what is wrong; the sender is to blame, unless it was cut.
    fn decode_request(wire: &[u8]) -> Result<Self, RequestError> {
        let mut input = wire;
        let mut body = bytes::Bytes::new();
        if Self::BYTES > 0 {
            let mut decoder = BodyDecoder::new(BodyLimits::exactly(Self::BYTES));
            body = loop {
                match decoder.advance(&mut input)? {
                    Some(BodyProgress::Announced(_)) => {}
                    Some(BodyProgress::Complete(body)) => break body,
                    None => return Err(RequestError::Cut { received: wire.len() }),
                }
            };
        }
        match input.len() {
            0 => Ok(Self::from_body(&body)?),
            count => Err(RequestError::TrailingBytes { count }),
        }
    }

    /// The message as a response on the wire.
    fn encode_response(&self) -> Vec<u8> {
        response::encode_success(&self.to_body())
    }
}

/// Asks for `count` blocks from `start` on. Nodes may answer with fewer, down to none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BlocksByRangeRequest {
    /// The lowest height.
    pub start: Height,
    /// How many blocks. Any value: what is served is the server's decision. Unit: blocks.
    pub count: u64,
}

impl FixedMessage for BlocksByRangeRequest {
    const BYTES: usize = 16;

    fn to_body(&self) -> Vec<u8> {
        [self.start.get().to_le_bytes(), self.count.to_le_bytes()].concat()
    }

    fn from_body(body: &[u8]) -> Result<Self, MessageError> {
        let [start, count] = halves::<8>(body)?;
        Ok(Self { start: Height::new(u64::from_le_bytes(start)), count: u64::from_le_bytes(count) })
    }
}

/// What today's nodes would tell of their chain, without any height.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Status {
    /// The last block covered by proof of work.
    pub finalized: BlockRoot,
    /// The last block.
    pub head: BlockRoot,
}

impl FixedMessage for Status {
    const BYTES: usize = 64;

    fn to_body(&self) -> Vec<u8> {
        [*self.finalized.as_bytes(), *self.head.as_bytes()].concat()
    }

    fn from_body(body: &[u8]) -> Result<Self, MessageError> {
        let [finalized, head] = halves::<32>(body)?;
        Ok(Self { finalized: BlockRoot::new(finalized), head: BlockRoot::new(head) })
    }
}

/// Whether the other side is there; answered with the same message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ping {
    /// The number of changes of the sender's metadata.
    pub seq_number: u64,
}

impl FixedMessage for Ping {
    const BYTES: usize = 8;

    fn to_body(&self) -> Vec<u8> {
        self.seq_number.to_le_bytes().to_vec()
    }

    fn from_body(body: &[u8]) -> Result<Self, MessageError> {
        Ok(Self { seq_number: u64::from_le_bytes(exactly(body)?) })
    }
}

/// Why a node leaves. Never answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Goodbye {
    /// It shuts down.
    Shutdown,
    /// This is not its network.
    IrrelevantNetwork,
    /// It or the other side failed.
    Fault,
    /// It cannot tell whether this is its network.
    UnableToVerifyNetwork,
    /// It has too many peers.
    TooManyPeers,
    /// It has a low opinion of the other side.
    BadScore,
    /// It has banned the other side.
    Banned,
    /// It has banned the address of the other side.
    BannedAddress,
    /// It does not say, or in a way that is not known here.
    Unknown {
        /// What it says.
        code: u64,
    },
}

impl FixedMessage for Goodbye {
    const BYTES: usize = 8;

    fn to_body(&self) -> Vec<u8> {
        let code: u64 = match *self {
            Self::Shutdown => 1,
            Self::IrrelevantNetwork => 2,
            Self::Fault => 3,
            Self::UnableToVerifyNetwork => 128,
            Self::TooManyPeers => 129,
            Self::BadScore => 250,
            Self::Banned => 251,
            Self::BannedAddress => 252,
            Self::Unknown { code } => code,
        };
        code.to_le_bytes().to_vec()
    }

    fn from_body(body: &[u8]) -> Result<Self, MessageError> {
        Ok(match u64::from_le_bytes(exactly(body)?) {
            1 => Self::Shutdown,
            2 => Self::IrrelevantNetwork,
            3 => Self::Fault,
            128 => Self::UnableToVerifyNetwork,
            129 => Self::TooManyPeers,
            250 => Self::BadScore,
            251 => Self::Banned,
            252 => Self::BannedAddress,
            code => Self::Unknown { code },
        })
    }
}

/// Asks for [`Metadata`]. Takes no bytes at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MetadataRequest;

impl FixedMessage for MetadataRequest {
    const BYTES: usize = 0;

    fn to_body(&self) -> Vec<u8> {
        Vec::new()
    }

    fn from_body(body: &[u8]) -> Result<Self, MessageError> {
        exactly::<0>(body).map(|_| Self)
    }
}

/// What a node subscribes to, in a network that has such subscriptions. Meaningless here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Metadata {
    /// The number of changes so far.
    pub seq_number: u64,
    /// A bit for each of 64 attestation subnets.
    pub attnets: [u8; 8],
    /// A bit for each of 4 sync committee subnets, from the lowest. Below 16.
    pub syncnets: u8,
}

impl FixedMessage for Metadata {
    const BYTES: usize = 17;

    fn to_body(&self) -> Vec<u8> {
        [&self.seq_number.to_le_bytes()[..], &self.attnets, &[self.syncnets]].concat()
    }

    fn from_body(body: &[u8]) -> Result<Self, MessageError> {
        let body: [u8; Self::BYTES] = exactly(body)?;
        let [seq_number @ .., _, _, _, _, _, _, _, _, _] = body;
        let [_, _, _, _, _, _, _, _, attnets @ .., syncnets] = body;
        if syncnets >= 1 << 4 {
            return Err(MessageError::UnknownSyncnets);
        }
        Ok(Self { seq_number: u64::from_le_bytes(seq_number), attnets, syncnets })
    }
}

fn exactly<const N: usize>(body: &[u8]) -> Result<[u8; N], MessageError> {
    body.try_into().map_err(|_| MessageError::WrongLength { expected: N, found: body.len() })
}

/// Both halves of a body of twice `N` bytes.
fn halves<const N: usize>(body: &[u8]) -> Result<[[u8; N]; 2], MessageError> {
    match body.as_chunks() {
        ([first, second], []) => Ok([*first, *second]),
        _ => Err(MessageError::WrongLength { expected: 2 * N, found: body.len() }),
    }
}

#[cfg(test)]
mod tests;
