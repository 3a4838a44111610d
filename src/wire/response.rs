//! Response chunks: a result code, then a framed body. A response is any number of them; its end
//! is the end of the stream, and a chunk with an error ends it too.
//!
//! Owns the chunks in both directions and their limits. Does not decode blocks, and does not
//! judge how many chunks there are: a short response means nothing.

use std::{fmt, num::NonZeroU8, time::Duration};

use bytes::Bytes;

use super::{
    block::BLOCK_BYTES_MAX,
    framing::{BodyDecoder, BodyLimits, BodyProgress, FrameError, encode_body},
};

/// The code of a chunk that is no error.
const SUCCESS: u8 = 0;

/// The longest text of an error. Unit: bytes. Source: the network's bound of the list. Lower
/// refuses what others send, higher is refused by them.
const ERROR_TEXT_BYTES_MAX: usize = 256;

/// Why a response was refused from some byte on. Chunks before it are good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// The framing is wrong.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The response stops inside a chunk.
    #[error("response ends inside a chunk")]
    Cut,
    /// Bytes follow a chunk with an error, or a refusal.
    #[error("bytes follow the end of the response")]
    AfterEnd,
}

/// What [`ChunkDecoder::advance`] came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChunkProgress {
    /// A chunk begins. Memory for it has not been taken yet: this is the moment to take its share
    /// of a budget.
    Header(ChunkHeader),
    /// The chunk is complete.
    Chunk(Chunk),
}

/// The beginning of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkHeader {
    /// What went wrong, if the chunk is an error.
    pub error: Option<ResponseCode>,
    /// How long its body will be. Unit: bytes.
    pub body_bytes: usize,
}

/// A chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chunk {
    /// The body of a response: for a range of blocks, the encoding of one block (not yet decoded).
    Body(Bytes),
    /// Why there will be no more.
    Error(ErrorChunk),
}

/// Decodes the chunks of one response from bytes as they arrive, in pieces of any size.
///
/// It never holds more than the announced body, which the limits bound, and one frame of at most
/// about 75 KiB; and nothing of the body before its first frame is there.
///
/// To be driven in a loop: [`Self::advance`] until it gives `None`, then read more; at the end of
/// the stream, [`Self::finish`].
#[derive(Debug)]
pub struct ChunkDecoder {
    limits: BodyLimits,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Between,
    Body { error: Option<ResponseCode>, decoder: BodyDecoder },
    Ended,
}

impl ChunkDecoder {
    /// A decoder for a response whose bodies are within `limits`, see
    /// [`super::protocol::Protocol::response_limits`].
    pub const fn new(limits: BodyLimits) -> Self {
        Self { limits, stage: Stage::Between }
    }

    /// A decoder for a response of blocks.
    pub const fn for_blocks() -> Self {
        Self::new(BodyLimits { min: 1, max: BLOCK_BYTES_MAX })
    }

    /// Takes bytes from the front of `input` up to the next header or the end of the chunk.
    /// `None` when the input is used up.
    ///
    /// # Errors
    /// Any [`ChunkError`] but [`ChunkError::Cut`]. The sender is to blame; the response is over.
    pub fn advance(&mut self, input: &mut &[u8]) -> Result<Option<ChunkProgress>, ChunkError> {
        // Whoever goes on after an error is told that this is the end.
        match std::mem::replace(&mut self.stage, Stage::Ended) {
            Stage::Between => match input.split_first() {
                Some((&code, rest)) => {
                    *input = rest;
                    let error = ResponseCode::from_byte(code);
                    let limits = match error {
                        Some(_) => BodyLimits { min: 0, max: ERROR_TEXT_BYTES_MAX },
                        None => self.limits,
                    };
                    self.advance_body(error, BodyDecoder::new(limits), input)
                }
                None => {
                    self.stage = Stage::Between;
                    Ok(None)
                }
            },
            Stage::Body { error, decoder } => self.advance_body(error, decoder, input),
            Stage::Ended if input.is_empty() => Ok(None),
            Stage::Ended => Err(ChunkError::AfterEnd),
        }
    }

    /// To be called at the end of the stream.
    ///
    /// # Errors
    /// [`ChunkError::Cut`] if that is inside a chunk. Chunks before it are good all the same.
    pub const fn finish(&self) -> Result<(), ChunkError> {
        match self.stage {
            Stage::Between | Stage::Ended => Ok(()),
            Stage::Body { .. } => Err(ChunkError::Cut),
        }
    }

    fn advance_body(
        &mut self,
        error: Option<ResponseCode>,
        mut decoder: BodyDecoder,
        input: &mut &[u8],
    ) -> Result<Option<ChunkProgress>, ChunkError> {
        let progress = decoder.advance(input)?;
        Ok(match (progress, error) {
            (None, _) => {
                self.stage = Stage::Body { error, decoder };
                None
            }
            (Some(BodyProgress::Announced(body_bytes)), _) => {
                self.stage = Stage::Body { error, decoder };
                Some(ChunkProgress::Header(ChunkHeader { error, body_bytes }))
            }
            (Some(BodyProgress::Complete(body)), None) => {
                self.stage = Stage::Between;
                Some(ChunkProgress::Chunk(Chunk::Body(body)))
            }
            (Some(BodyProgress::Complete(text)), Some(code)) => {
                let text = ErrorText(text);
                Some(ChunkProgress::Chunk(Chunk::Error(ErrorChunk { code, text })))
            }
        })
    }
}

/// The other side's refusal, in its own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorChunk {
    /// Of what kind.
    pub code: ResponseCode,
    /// The explanation.
    pub text: ErrorText,
}

/// Kinds of refusals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResponseCode {
    /// The request makes no sense.
    InvalidRequest,
    /// The server failed.
    ServerError,
    /// The server does not have it.
    ResourceUnavailable,
    /// The client asks too much.
    RateLimited,
    /// Something else; today's nodes write 255.
    Unknown(NonZeroU8),
}

impl ResponseCode {
    /// The code with this number; `None` for the one that means success.
    pub const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            SUCCESS => return None,
            1 => Self::InvalidRequest,
            2 => Self::ServerError,
            3 => Self::ResourceUnavailable,
            139 => Self::RateLimited,
            other => match NonZeroU8::new(other) {
                Some(other) => Self::Unknown(other),
                None => return None,
            },
        })
    }

    /// The number of the code.
    pub const fn to_byte(self) -> u8 {
        match self {
            Self::InvalidRequest => 1,
            Self::ServerError => 2,
            Self::ResourceUnavailable => 3,
            Self::RateLimited => 139,
            Self::Unknown(byte) => byte.get(),
        }
    }
}

/// The text of a refusal: at most 256 bytes of whatever the other side chose.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct ErrorText(Bytes);

impl ErrorText {
    /// As much of `text` as fits.
    pub fn new(text: &str) -> Self {
        let fitting = text.split_at(text.floor_char_boundary(ERROR_TEXT_BYTES_MAX)).0;
        Self(Bytes::copy_from_slice(fitting.as_bytes()))
    }

    /// The bytes as they came.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// How long the other side says to wait, if this is the text of its limiter: `Wait` and a
    /// duration as Rust's debug format writes it, such as `Wait 1.234s` or `Wait 20.5ms`.
    pub fn wait(&self) -> Option<Duration> {
        let text = str::from_utf8(&self.0).ok()?.strip_prefix("Wait ")?;
        let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, unit) = text.split_at_checked(digits)?;
        let seconds = match unit {
            "s" => 1.0,
            "ms" => 1e-3,
            "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()
    }
}

/// Readable and harmless: whatever could steer a terminal or break a line is replaced.
impl fmt::Display for ErrorText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        String::from_utf8_lossy(&self.0).chars().try_for_each(|character| {
            let harmless =
                character.is_ascii_graphic() || character == ' ' || character.is_alphanumeric();
            f.write_char(if harmless { character } else { char::REPLACEMENT_CHARACTER })
        })
    }
}

impl fmt::Debug for ErrorText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

/// A block that cannot be sent: empty, or more than any node accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("block of {bytes} bytes cannot be sent, 1 to {BLOCK_BYTES_MAX} can")]
pub struct UnsendableBlock {
    /// How long it is. Unit: bytes.
    pub bytes: usize,
}

/// A block, encoded as `raw`, as a chunk of a response.
///
/// # Errors
/// [`UnsendableBlock`]; nothing of it may be sent then, for others would take it for a cut chunk.
pub fn encode_block_chunk(raw: &[u8]) -> Result<Vec<u8>, UnsendableBlock> {
    match raw.len() {
        1..=BLOCK_BYTES_MAX => Ok(encode_success(raw)),
        bytes => Err(UnsendableBlock { bytes }),
    }
}

/// A refusal as the last chunk of a response.
pub fn encode_error_chunk(error: &ErrorChunk) -> Vec<u8> {
    encode_chunk(error.code.to_byte(), error.text.as_bytes())
}

/// A body as a chunk of a response.
pub(super) fn encode_success(body: &[u8]) -> Vec<u8> {
    encode_chunk(SUCCESS, body)
}

fn encode_chunk(code: u8, body: &[u8]) -> Vec<u8> {
    let mut wire = vec![code];
    encode_body(body, &mut wire);
    wire
}

#[cfg(test)]
mod tests;
