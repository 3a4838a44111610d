//! The envelope around every small record on disk: magic, version, length, checksum, body.
//!
//! Owns the encoding of bodies and is the only file that knows bincode. Does not know what a record
//! means or where it lies. Bytes that were not written by [`encode`], or that changed since, are a
//! typed error: lengths are checked before anything is allocated, and nothing here panics.
//!
//! Layout: magic `ALYR`, version `u8`, body length `u32` LE, crc32 `u32` LE over version, length
//! and body, then the body (bincode 1, fixed-width integers, no trailing bytes).

use bincode::Options;
use serde::{Serialize, de::DeserializeOwned};

/// What a record starts with. Any other bytes were not written by us.
const MAGIC: [u8; 4] = *b"ALYR";

/// Where the version is.
const VERSION_AT: usize = MAGIC.len();

/// Where the length of the body starts.
const LENGTH_AT: usize = VERSION_AT + 1;

/// Where the checksum starts.
const CHECKSUM_AT: usize = LENGTH_AT + 4;

/// Bytes before the body.
const HEADER_BYTES: usize = CHECKSUM_AT + 4;

/// Why a record was refused.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The bytes do not start as a record does, or end before its header does.
    #[error("not a record of this program")]
    BadMagic,
    /// A later release wrote the record.
    #[error("record version {found} is newer than {known}, the newest this release knows")]
    FutureVersion {
        /// The version of the record.
        found: u8,
        /// The newest version known.
        known: u8,
    },
    /// An earlier release wrote the record and this one cannot read it.
    #[error("record version {found} is older than {known}, the oldest this release reads")]
    PastVersion {
        /// The version of the record.
        found: u8,
        /// The version expected.
        known: u8,
    },
    /// The length in the header is over the limit or is not the length of what follows.
    #[error("record length {stated} does not fit: {present} bytes are present, at most {max}")]
    BadLength {
        /// The length in the header, in bytes.
        stated: u32,
        /// Bytes after the header.
        present: usize,
        /// The limit, in bytes.
        max: u32,
    },
    /// The bytes changed after they were written.
    #[error("record checksum is {found:08x}, not {stated:08x}")]
    BadChecksum {
        /// The checksum in the header.
        stated: u32,
        /// The checksum of what is there.
        found: u32,
    },
    /// The body is no value of its type, or the value is over the limit.
    #[error("record body does not fit its type or the limit of {max} bytes")]
    BadBody {
        /// The limit, in bytes.
        max: u32,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// The envelope with `body` in it.
///
/// # Errors
/// [`RecordError::BadBody`] when the body takes more than `body_bytes_max` or cannot be encoded.
pub(super) fn encode<T: Serialize>(
    version: u8,
    body_bytes_max: u32,
    body: &T,
) -> Result<Vec<u8>, RecordError> {
    let bad_body = |source| RecordError::BadBody { max: body_bytes_max, source };
    let body = options(body_bytes_max).serialize(body).map_err(|error| bad_body(error.into()))?;
    let length = u32::try_from(body.len()).map_err(|error| bad_body(error.into()))?;
    let mut record = Vec::with_capacity(HEADER_BYTES + body.len());
    record.extend_from_slice(&MAGIC);
    record.push(version);
    record.extend_from_slice(&length.to_le_bytes());
    record.extend_from_slice(&checksum(version, length, &body).to_le_bytes());
    record.extend_from_slice(&body);
    Ok(record)
}

/// The body of an envelope that [`encode`] made with the same `version`.
///
/// # Errors
/// Each [`RecordError`], by what is wrong first in the order of the layout.
pub(super) fn decode<T: DeserializeOwned>(
    version: u8,
    body_bytes_max: u32,
    record: &[u8],
) -> Result<T, RecordError> {
    let (header, body) = record.split_first_chunk::<HEADER_BYTES>().ok_or(RecordError::BadMagic)?;
    let [m0, m1, m2, m3, found, l0, l1, l2, l3, c0, c1, c2, c3] = *header;
    if [m0, m1, m2, m3] != MAGIC {
        return Err(RecordError::BadMagic);
    }
    if found > version {
        return Err(RecordError::FutureVersion { found, known: version });
    }
    if found < version {
        return Err(RecordError::PastVersion { found, known: version });
    }
    let length = u32::from_le_bytes([l0, l1, l2, l3]);
    if length > body_bytes_max || usize::try_from(length) != Ok(body.len()) {
        let present = body.len();
        return Err(RecordError::BadLength { stated: length, present, max: body_bytes_max });
    }
    let stated = u32::from_le_bytes([c0, c1, c2, c3]);
    let found = checksum(version, length, body);
    if found != stated {
        return Err(RecordError::BadChecksum { stated, found });
    }
    options(body_bytes_max)
        .deserialize(body)
        .map_err(|source| RecordError::BadBody { max: body_bytes_max, source: source.into() })
}

fn options(body_bytes_max: u32) -> impl Options {
    bincode::DefaultOptions::new()
        .with_fixint_encoding()
        .with_limit(body_bytes_max.into())
        .reject_trailing_bytes()
}

fn checksum(version: u8, length: u32, body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&[version]);
    hasher.update(&length.to_le_bytes());
    hasher.update(body);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAX: u32 = 256;

    fn sample() -> Vec<u8> {
        encode(3, MAX, &(7_u64, "seven".to_owned())).unwrap()
    }

    fn read(record: &[u8]) -> Result<(u64, String), RecordError> {
        decode(3, MAX, record)
    }

    #[test]
    fn returns_what_was_put_in() {
        assert_eq!(read(&sample()).unwrap(), (7, "seven".to_owned()));
    }

    #[test]
    fn refuses_other_versions_by_direction() {
        let record = sample();
        assert!(matches!(
            decode::<(u64, String)>(2, MAX, &record),
            Err(RecordError::FutureVersion { found: 3, known: 2 })
        ));
        assert!(matches!(
            decode::<(u64, String)>(4, MAX, &record),
            Err(RecordError::PastVersion { found: 3, known: 4 })
        ));
    }

    #[test]
    fn refuses_foreign_and_short_bytes() {
        assert!(matches!(read(b""), Err(RecordError::BadMagic)));
        assert!(matches!(read(&sample()[..HEADER_BYTES - 1]), Err(RecordError::BadMagic)));
        assert!(matches!(read(&[0; 64]), Err(RecordError::BadMagic)));
    }

    #[test]
    fn refuses_cut_extended_and_oversized_bodies() {
        let mut record = sample();
        record.push(0);
        assert!(matches!(read(&record), Err(RecordError::BadLength { .. })));
        record.truncate(record.len() - 2);
        assert!(matches!(read(&record), Err(RecordError::BadLength { .. })));
        assert!(matches!(
            decode::<(u64, String)>(3, 4, &sample()),
            Err(RecordError::BadLength { max: 4, .. })
        ));
        assert!(matches!(
            encode(3, MAX, &vec![0_u8; 300]),
            Err(RecordError::BadBody { max: MAX, .. })
        ));
    }

    #[test]
    fn refuses_a_body_of_another_type() {
        assert!(matches!(decode::<Vec<u64>>(3, MAX, &sample()), Err(RecordError::BadBody { .. })));
        assert!(matches!(decode::<u8>(3, MAX, &sample()), Err(RecordError::BadBody { .. })));
    }

    proptest! {
        #[test]
        fn notices_every_changed_byte(at in 0..sample().len(), flip in 1..=u8::MAX) {
            let mut record = sample();
            record[at] ^= flip;
            prop_assert!(read(&record).is_err());
        }

        #[test]
        fn survives_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            prop_assert!(read(&bytes).is_err());
        }
    }
}
