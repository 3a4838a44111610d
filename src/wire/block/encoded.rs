//! A block together with the bytes it came in.

use std::{fmt, sync::Arc};

use bytes::Bytes;

use super::{BlockError, SignedBlock, signing_root};
use crate::types::{BlockRef, BlockRoot, Height};

/// A block, its bytes as received and its root. Cheap to clone.
///
/// The bytes are canonical, so they are what any node would write, and they are what is stored and
/// served. Two of the same root may differ in their approval: compare roots, not bytes.
#[derive(Clone)]
pub struct EncodedBlock {
    raw: Bytes,
    block: Arc<SignedBlock>,
    root: BlockRoot,
}

impl EncodedBlock {
    /// Decodes `raw` and takes the root of the message in it, without encoding it again.
    ///
    /// # Errors
    /// As [`SignedBlock::decode`].
    pub fn decode(raw: Bytes) -> Result<Self, BlockError> {
        let (block, message) = SignedBlock::decode_spanned(&raw)?;
        let root = signing_root(raw.get(message).unwrap_or_default());
        Ok(Self { raw, block: Arc::new(block), root })
    }

    /// The canonical bytes.
    pub const fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// The block.
    pub fn block(&self) -> &SignedBlock {
        &self.block
    }

    /// Its identity.
    pub const fn root(&self) -> BlockRoot {
        self.root
    }

    /// Where it stands in the chain.
    pub fn height(&self) -> Height {
        self.block.height()
    }

    /// The block before it.
    pub fn parent(&self) -> BlockRoot {
        self.block.message.parent_hash
    }

    /// Its height and root.
    pub fn block_ref(&self) -> BlockRef {
        BlockRef { height: self.height(), root: self.root }
    }
}

impl fmt::Debug for EncodedBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EncodedBlock({}, {} bytes)", self.block_ref(), self.raw.len())
    }
}
