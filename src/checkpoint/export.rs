//! Checkpoints as a file to carry elsewhere: JSON with a version and a checksum. Pure.
//!
//! What is read of one is a claim: the checksum shows only that the file is as it was written. Its
//! length and the number of checkpoints in it are limited before anything is made of it.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Checkpoint, MANUAL_KEPT_MAX};
use crate::types::BlockRoot;

/// The version of the file. One that is written differently needs the next.
const FORMAT: u32 = 1;

/// The longest file that is read. Unit: bytes. A checkpoint takes about 700; the rest is room for
/// other layouts of the same. Too low: a full journal cannot be carried. Too high: memory for a
/// file that is none.
pub const EXPORT_BYTES_MAX: usize = 1 << 20;

/// Checkpoints in one file. Unit: checkpoints. Too low: a full journal cannot be carried. Too high:
/// work for a file that is none.
const EXPORTED_MAX: usize = 10 * MANUAL_KEPT_MAX;

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// It is longer than files may be.
    #[error("it has more than {EXPORT_BYTES_MAX} bytes: this is no export")]
    TooLong,
    /// It is no export.
    #[error("this is no export of checkpoints")]
    Malformed(#[source] serde_json::Error),
    /// A later release wrote it.
    #[error("the export has format {found}, this release reads {FORMAT}: use the newer release")]
    OtherFormat {
        /// Its format.
        found: u32,
    },
    /// There are more than there may be.
    #[error("{count} checkpoints are over the limit of {EXPORTED_MAX} in one file")]
    TooMany {
        /// How many.
        count: usize,
    },
    /// It is of another chain.
    #[error("the export is of the chain with genesis {found}, this is {ours}")]
    OtherChain {
        /// Its chain.
        found: BlockRoot,
        /// The chain it was to be read for.
        ours: BlockRoot,
    },
    /// It changed after it was written.
    #[error("the export fails its checksum: it was changed or cut; export again")]
    BadChecksum,
}

#[derive(Deserialize)]
struct ExportFormat {
    format: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Export {
    format: u32,
    chain: BlockRoot,
    checkpoints: Vec<Checkpoint>,
    /// SHA-256 over the checkpoints as compact JSON in the order of their fields.
    checksum: String,
}

fn checksum(checkpoints: &[Checkpoint]) -> Result<String, ExportError> {
    let text = serde_json::to_vec(checkpoints).map_err(ExportError::Malformed)?;
    Ok(hex::encode(Sha256::digest(text)))
}

/// The file of `checkpoints`, which are of `chain`.
///
/// # Errors
/// [`ExportError::TooMany`].
pub fn export(chain: BlockRoot, checkpoints: Vec<Checkpoint>) -> Result<Vec<u8>, ExportError> {
    if checkpoints.len() > EXPORTED_MAX {
        return Err(ExportError::TooMany { count: checkpoints.len() });
    }
    let checksum = checksum(&checkpoints)?;
    let export = Export { format: FORMAT, chain, checkpoints, checksum };
    let mut text = serde_json::to_vec_pretty(&export).map_err(ExportError::Malformed)?;
    text.push(b'\n');
    Ok(text)
}

/// The claims in a file, for `ours`.
///
/// # Errors
/// Each [`ExportError`].
pub fn import(ours: BlockRoot, text: &[u8]) -> Result<Vec<Checkpoint>, ExportError> {
    if text.len() > EXPORT_BYTES_MAX {
        return Err(ExportError::TooLong);
    }
    let ExportFormat { format } = serde_json::from_slice(text).map_err(ExportError::Malformed)?;
    if format != FORMAT {
        return Err(ExportError::OtherFormat { found: format });
    }
    let read: Export = serde_json::from_slice(text).map_err(ExportError::Malformed)?;
    if read.checkpoints.len() > EXPORTED_MAX {
        return Err(ExportError::TooMany { count: read.checkpoints.len() });
    }
    if read.checksum != checksum(&read.checkpoints)? {
        return Err(ExportError::BadChecksum);
    }
    let others = read.checkpoints.iter().map(|checkpoint| checkpoint.chain);
    if let Some(found) = std::iter::once(read.chain).chain(others).find(|chain| *chain != ours) {
        return Err(ExportError::OtherChain { found, ours });
    }
    let unverified = |claim| Checkpoint { verified: false, ..claim };
    Ok(read.checkpoints.into_iter().map(unverified).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::adapters::conformance::checkpoint;

    fn sample() -> (BlockRoot, Vec<u8>) {
        let all: Vec<_> = [100, 200].map(checkpoint).into();
        let chain = all[0].chain;
        (chain, export(chain, all).unwrap())
    }

    #[test]
    fn file_brings_back_what_was_written_as_claims() {
        let (chain, text) = sample();
        let claims = import(chain, &text).unwrap();
        let all = [100, 200].map(|height| Checkpoint { verified: false, ..checkpoint(height) });
        assert_eq!(claims, all);
    }

    #[test]
    fn foreign_later_long_and_changed_files_are_refused() {
        let (chain, text) = sample();
        let other = import(BlockRoot::ZERO, &text);
        assert!(matches!(other, Err(ExportError::OtherChain { ours: BlockRoot::ZERO, .. })));
        let changed = |from: &str, to: &str| {
            let text = String::from_utf8(text.clone()).unwrap();
            assert!(text.contains(from), "{text}");
            import(chain, text.replacen(from, to, 1).as_bytes()).unwrap_err()
        };
        let later = changed("\"format\": 1", "\"format\": 2");
        assert!(matches!(later, ExportError::OtherFormat { found: 2 }));
        let height = changed("\"height\": 100,", "\"height\": 101,");
        assert!(matches!(height, ExportError::BadChecksum));
        let more = changed("\"format\": 1", "\"format\": 1, \"more\": 1");
        assert!(matches!(more, ExportError::Malformed(_)));
        let long = vec![b' '; EXPORT_BYTES_MAX + 1];
        assert!(matches!(import(chain, &long), Err(ExportError::TooLong)));
        let foreign = Checkpoint { chain: BlockRoot::ZERO, ..checkpoint(3) };
        let mixed = export(chain, vec![foreign]).unwrap();
        assert!(matches!(import(chain, &mixed), Err(ExportError::OtherChain { .. })));
        let many = vec![checkpoint(3); EXPORTED_MAX + 1];
        assert!(matches!(export(chain, many), Err(ExportError::TooMany { .. })));
    }

    proptest! {
        #[test]
        fn no_change_of_the_file_brings_another_checkpoint(
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
            cut in any::<Option<prop::sample::Index>>(),
        ) {
            let (chain, text) = sample();
            let honest = import(chain, &text).unwrap();
            let mut changed = text;
            let at = at.index(changed.len());
            changed[at] = byte;
            if let Some(cut) = cut {
                changed.truncate(cut.index(changed.len()));
            }
            if let Ok(claims) = import(chain, &changed) {
                prop_assert_eq!(claims, honest);
            }
        }
    }
}
