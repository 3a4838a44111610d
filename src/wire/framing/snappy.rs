//! The snappy framing format: a stream identifier, then frames of data with checksums.

use bytes::Bytes;
use snap::raw::{Decoder, Encoder, decompress_len};

use super::{FrameError, crc32c};

/// What a stream begins with.
const STREAM_IDENTIFIER: [u8; 10] = *b"\xff\x06\x00\x00sNaPpY";

/// The kind of a frame of compressed data.
const COMPRESSED: u8 = 0x00;

/// The kind of a frame of data as it is.
const UNCOMPRESSED: u8 = 0x01;

/// Kind and length of a frame. Unit: bytes.
const HEADER_BYTES: usize = 4;

/// The checksum, which the length of a frame includes. Unit: bytes.
const CHECKSUM_BYTES: usize = 4;

/// The most data in a frame. Unit: bytes. Source: the framing format. Lower refuses what others
/// send; higher is sent by nobody and lets a peer make us hold larger frames.
const FRAME_DATA_BYTES_MAX: usize = 1 << 16;

/// The longest compressed form of that much data. Unit: bytes. Source: snappy's worst case, 32 +
/// n + n/6. Lower refuses what others may send, higher makes us hold larger frames.
const FRAME_COMPRESSED_BYTES_MAX: usize = stream_bytes_max(FRAME_DATA_BYTES_MAX);

/// The longest stream accepted for a body of `body_bytes` bytes: what today's nodes accept, so
/// lower could refuse what they send, and higher lets a peer make us read more than it announced.
pub(super) const fn stream_bytes_max(body_bytes: usize) -> usize {
    32 + body_bytes + body_bytes / 6
}

/// Appends `body` as a stream; nothing if it is empty.
pub(super) fn encode(body: &[u8], out: &mut Vec<u8>) {
    if body.is_empty() {
        return;
    }
    out.extend(STREAM_IDENTIFIER);
    let mut encoder = Encoder::new();
    for data in body.chunks(FRAME_DATA_BYTES_MAX) {
        // Like every encoder of this format: as it is, unless compression saves an eighth.
        let worth = data.len() - data.len() / 8;
        let compressed = encoder.compress_vec(data).ok().filter(|bytes| bytes.len() < worth);
        let (kind, bytes) = match &compressed {
            Some(bytes) => (COMPRESSED, bytes.as_slice()),
            None => (UNCOMPRESSED, data),
        };
        // At most 2^16 + 4, which three bytes hold.
        let [low, middle, high, ..] = (CHECKSUM_BYTES + bytes.len()).to_le_bytes();
        out.extend([kind, low, middle, high]);
        out.extend(crc32c::masked(data).to_le_bytes());
        out.extend_from_slice(bytes);
    }
}

/// Decodes the stream of one body from its bytes as they arrive.
#[derive(Debug)]
pub(super) struct StreamDecoder {
    announced: usize,
    body: Vec<u8>,
    /// The bytes of the frame (or identifier) that is not complete yet.
    frame: Vec<u8>,
    identified: bool,
    /// How many more bytes the stream may have. Unit: bytes.
    stream_bytes_left: usize,
}

impl StreamDecoder {
    /// A decoder for the stream of a body of `announced` bytes. Allocates nothing yet.
    pub(super) const fn new(announced: usize) -> Self {
        Self {
            announced,
            body: Vec::new(),
            frame: Vec::new(),
            identified: false,
            stream_bytes_left: stream_bytes_max(announced),
        }
    }

    /// Takes from `input` what belongs to the stream. The body, once it is complete.
    pub(super) fn advance(&mut self, input: &mut &[u8]) -> Result<Option<Bytes>, FrameError> {
        while self.body.len() < self.announced {
            if !self.take_frame(input)? {
                return Ok(None);
            }
        }
        Ok(Some(Bytes::from(std::mem::take(&mut self.body))))
    }

    /// Takes one frame, or the identifier. `false` if the input does not suffice.
    fn take_frame(&mut self, input: &mut &[u8]) -> Result<bool, FrameError> {
        if !self.identified {
            if !self.fill(STREAM_IDENTIFIER.len(), input) {
                return self.check_identifier().map(|()| false);
            }
            self.check_identifier()?;
            self.identified = true;
        } else {
            if !self.fill(HEADER_BYTES, input) {
                return Ok(false);
            }
            let Some(&[kind, low, middle, high]) = self.frame.first_chunk() else {
                return Ok(false);
            };
            let length = u32::from_le_bytes([low, middle, high, 0]);
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            self.check_header(kind, length)?;
            if !self.fill(HEADER_BYTES + length, input) {
                return Ok(false);
            }
            self.take_data(kind)?;
        }
        self.stream_bytes_left = self.stream_bytes_left.saturating_sub(self.frame.len());
        self.frame.clear();
        Ok(true)
    }

    /// Moves bytes from `input` until the frame has `wanted`. Whether it has.
    fn fill(&mut self, wanted: usize, input: &mut &[u8]) -> bool {
        let missing = wanted.saturating_sub(self.frame.len()).min(input.len());
        if let Some((bytes, rest)) = input.split_at_checked(missing) {
            self.frame.extend_from_slice(bytes);
            *input = rest;
        }
        self.frame.len() >= wanted
    }

    /// Whether what is there of the identifier is right: a wrong byte is refused at once, not
    /// when ten have arrived.
    fn check_identifier(&self) -> Result<(), FrameError> {
        if STREAM_IDENTIFIER.starts_with(&self.frame) {
            Ok(())
        } else {
            Err(FrameError::NoStreamIdentifier)
        }
    }

    fn check_header(&self, kind: u8, length: usize) -> Result<(), FrameError> {
        let max = match kind {
            COMPRESSED => FRAME_COMPRESSED_BYTES_MAX,
            UNCOMPRESSED => FRAME_DATA_BYTES_MAX,
            _ => return Err(FrameError::UnexpectedFrame { kind }),
        };
        if length <= CHECKSUM_BYTES || length > CHECKSUM_BYTES + max {
            return Err(FrameError::FrameLength { bytes: length });
        }
        if kind == UNCOMPRESSED {
            self.check_room(length - CHECKSUM_BYTES)?;
        }
        if HEADER_BYTES + length > self.stream_bytes_left {
            return Err(FrameError::StreamTooLong { max: stream_bytes_max(self.announced) });
        }
        Ok(())
    }

    fn check_room(&self, data_bytes: usize) -> Result<(), FrameError> {
        if data_bytes > self.announced - self.body.len() {
            return Err(FrameError::TooMuchData { announced: self.announced });
        }
        Ok(())
    }

    /// Appends the data of the complete frame to the body.
    fn take_data(&mut self, kind: u8) -> Result<(), FrameError> {
        let content = self.frame.get(HEADER_BYTES..).unwrap_or_default();
        let (checksum, data) = content.split_first_chunk().ok_or(FrameError::Corrupt)?;
        let before = self.body.len();
        let data_bytes = if kind == COMPRESSED {
            decompress_len(data).map_err(|_| FrameError::Corrupt)?
        } else {
            data.len()
        };
        if data_bytes == 0 || data_bytes > FRAME_DATA_BYTES_MAX {
            return Err(FrameError::FrameLength { bytes: data_bytes });
        }
        self.check_room(data_bytes)?;
        // Only now, when a whole frame has arrived, does the announced length cost memory.
        self.body.reserve_exact(self.announced - before);
        if kind == COMPRESSED {
            self.body.resize(before + data_bytes, 0);
            let room = self.body.get_mut(before..).unwrap_or_default();
            let done = Decoder::new().decompress(data, room).map_err(|_| FrameError::Corrupt)?;
            if done != data_bytes {
                return Err(FrameError::Corrupt);
            }
        } else {
            self.body.extend_from_slice(data);
        }
        let data = self.body.get(before..).unwrap_or_default();
        if crc32c::masked(data) == u32::from_le_bytes(*checksum) {
            Ok(())
        } else {
            Err(FrameError::Checksum)
        }
    }
}
