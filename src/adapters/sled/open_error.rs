//! Why a data directory could not be opened, in words an operator can act on.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use super::{IndexError, SegmentError};
use crate::{
    types::{BlockRef, BlockRoot, Height},
    wire::block::BlockError,
};

/// Why a data directory could not be opened. Nothing that was committed was changed or removed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The path is a file, or a directory with other things in it.
    #[error(
        "{} is not a data directory and not empty: choose a new or empty directory",
        dir.display()
    )]
    NotADataDirectory {
        /// Which one.
        dir: PathBuf,
    },
    /// Somebody uses it.
    #[error(
        "{} is in use by another process: stop that one or choose another directory",
        dir.display()
    )]
    Locked {
        /// Which one.
        dir: PathBuf,
    },
    /// It holds another chain.
    #[error(
        "{} holds the chain with genesis {stored}, not {given}: choose the directory of this \
         chain or a new one",
        dir.display()
    )]
    OtherChain {
        /// Which one.
        dir: PathBuf,
        /// The genesis of the chain in it.
        stored: BlockRoot,
        /// The genesis it was to be opened for.
        given: BlockRoot,
    },
    /// Another release laid it out.
    #[error(
        "{} has layout {found}, this release reads {known}: use the release that made it or \
         sync into a new directory",
        dir.display()
    )]
    OtherVersion {
        /// Which one.
        dir: PathBuf,
        /// Its layout.
        found: u32,
        /// The layout known.
        known: u32,
    },
    /// The file that says what the directory is cannot be understood.
    #[error(
        "{} cannot be understood: restore it, or move the directory away and sync again",
        file.display()
    )]
    BadMarker {
        /// Which file.
        file: PathBuf,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
    /// The block that the chain ends with fails its checks. Blocks below it are kept.
    #[error("block {height} in {} is damaged: {}", file.display(), Advice(*good))]
    CorruptBlock {
        /// The height of the block.
        height: Height,
        /// The file it is in.
        file: PathBuf,
        /// The newest block below that passes, if there is one near.
        good: Option<Height>,
        /// How it fails.
        #[source]
        damage: Box<BlockDamage>,
    },
    /// The index cannot be used.
    #[error(
        "the index in {} is damaged: `alys-sync chain reindex` makes it anew from the blocks",
        dir.display()
    )]
    CorruptIndex {
        /// Which directory.
        dir: PathBuf,
        /// How.
        #[source]
        source: IndexError,
    },
    /// The segment files are not what the index says.
    #[error("the blocks in {} are damaged: move the directory away and sync again", dir.display())]
    CorruptSegments {
        /// Which directory.
        dir: PathBuf,
        /// How.
        #[source]
        source: SegmentError,
    },
    /// It was to be opened at a height that it does not hold.
    #[error("height {height} is outside the stored range {oldest}..={head}")]
    OutOfRange {
        /// The height that was asked for.
        height: Height,
        /// The lowest height stored.
        oldest: Height,
        /// The highest height stored.
        head: Height,
    },
    /// The operating system refused.
    #[error("{action} {} failed", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

impl OpenError {
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_path_buf(), source }
    }
}

/// How a stored block fails.
#[derive(Debug, thiserror::Error)]
pub enum BlockDamage {
    /// Its entry in the index.
    #[error("its index entry is damaged")]
    Entry(#[from] IndexError),
    /// Its record in the segment file.
    #[error("its record is damaged")]
    Record(#[from] SegmentError),
    /// The bytes are no block.
    #[error("its record holds no block")]
    Encoding(#[from] BlockError),
    /// It is a block, but not the one that the index names.
    #[error("its record holds block {found}, not {indexed}")]
    OtherBlock {
        /// The block that is there.
        found: BlockRef,
        /// The block that should be.
        indexed: BlockRef,
    },
}

/// What can be done about a damaged head.
struct Advice(Option<Height>);

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(good) => write!(
                f,
                "`alys-sync run` goes on from a whole block by itself; or truncate the chain to \
                 {good}, the newest block that is whole (`alys-sync chain \
                 truncate --to {good}`), or move the directory away and sync again"
            ),
            None => f.write_str("move the directory away and sync again"),
        }
    }
}
