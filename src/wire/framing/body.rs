//! A length and a stream: one body.

use bytes::Bytes;

use super::{
    FrameError,
    snappy::{self, StreamDecoder},
};

/// How long a body may be. Both ends included. Unit: bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyLimits {
    /// The least.
    pub min: usize,
    /// The most.
    pub max: usize,
}

impl BodyLimits {
    /// Exactly `bytes` bytes.
    pub const fn exactly(bytes: usize) -> Self {
        Self { min: bytes, max: bytes }
    }

    fn check(self, announced: u64) -> Result<usize, FrameError> {
        let Self { min, max } = self;
        match usize::try_from(announced) {
            Ok(bytes) if (min..=max).contains(&bytes) => Ok(bytes),
            _ => Err(FrameError::LengthOutOfRange { announced, min, max }),
        }
    }
}

/// Appends `body` with its length in front.
pub fn encode_body(body: &[u8], out: &mut Vec<u8>) {
    out.reserve(body.len() + 32);
    let mut length = body.len();
    while length >= 0x80 {
        let [low, ..] = length.to_le_bytes();
        out.push(low | 0x80);
        length >>= 7;
    }
    let [low, ..] = length.to_le_bytes();
    out.push(low);
    snappy::encode(body, out);
}

/// What [`BodyDecoder::advance`] came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BodyProgress {
    /// The body will have so many bytes. Memory for it has not been taken yet.
    Announced(usize),
    /// The whole body.
    Complete(Bytes),
}

/// Decodes one body from bytes as they arrive.
#[derive(Debug)]
pub struct BodyDecoder {
    limits: BodyLimits,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Length { value: u64, shift: u32 },
    Stream(StreamDecoder),
}

impl BodyDecoder {
    /// A decoder for a body within `limits`.
    pub const fn new(limits: BodyLimits) -> Self {
        Self { limits, stage: Stage::Length { value: 0, shift: 0 } }
    }

    /// Takes from `input` what belongs to the body, and stops after its length and after its end.
    /// `None` when the input is used up. To be dropped after the end and after an error.
    ///
    /// # Errors
    /// Any [`FrameError`]. The rest of the input means nothing then.
    pub fn advance(&mut self, input: &mut &[u8]) -> Result<Option<BodyProgress>, FrameError> {
        match &mut self.stage {
            Stage::Stream(stream) => Ok(stream.advance(input)?.map(BodyProgress::Complete)),
            Stage::Length { value, shift } => {
                while let Some((&byte, rest)) = input.split_first() {
                    *input = rest;
                    if let Some(announced) = add_length_byte(value, shift, byte)? {
                        let bytes = self.limits.check(announced)?;
                        self.stage = Stage::Stream(StreamDecoder::new(bytes));
                        return Ok(Some(BodyProgress::Announced(bytes)));
                    }
                }
                Ok(None)
            }
        }
    }
}

/// Adds the next byte, seven bits from the lowest on, to a length. The length, after its last.
fn add_length_byte(value: &mut u64, shift: &mut u32, byte: u8) -> Result<Option<u64>, FrameError> {
    if byte == 0 && *shift > 0 {
        return Err(FrameError::LengthNotShortest);
    }
    // The tenth byte holds bit 63 alone.
    if *shift == 63 && byte > 1 {
        return Err(FrameError::LengthOverflow);
    }
    *value |= u64::from(byte & 0x7f) << *shift;
    *shift += 7;
    Ok((byte < 0x80).then_some(*value))
}
