//! A block named by height and root.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{BlockRoot, Height};

/// A block, named by its height and its root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BlockRef {
    /// Where in the chain.
    pub height: Height,
    /// Which block.
    pub root: BlockRoot,
}

impl fmt::Display for BlockRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.height, self.root)
    }
}
