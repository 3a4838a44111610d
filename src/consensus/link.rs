//! The link rule: which block may follow which. Looks at two blocks and nothing else.
//!
//! Failure: a [`LinkFault`] never convicts anybody. Both blocks carry what they carry by a majority
//! of the authorities; that they do not fit together means a fork or a stale server.

use crate::{
    types::{BlockRef, BlockRoot, ExecutionHash, Height},
    wire::block::EncodedBlock,
};

/// What the next block must refer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkPoint {
    /// The height of the block.
    pub height: Height,
    /// The root of the block.
    pub root: BlockRoot,
    /// The hash of the execution block in it.
    pub execution_hash: ExecutionHash,
}

impl LinkPoint {
    /// What a child of `block` must refer to, whoever signed `block`.
    pub const fn of(block: &EncodedBlock) -> Self {
        Self { height: block.height(), root: block.root(), execution_hash: block.execution_hash() }
    }

    /// The block as height and root.
    pub const fn block_ref(&self) -> BlockRef {
        BlockRef { height: self.height, root: self.root }
    }
}

/// Why a block does not follow another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LinkFault {
    /// It names another parent.
    #[error("block {child} names parent {named}, not {parent}")]
    Parent {
        /// The block that does not fit.
        child: BlockRef,
        /// The parent that it names.
        named: BlockRoot,
        /// The block that it was to follow.
        parent: BlockRef,
    },
    /// It names the parent, but does not have the next height.
    #[error("block {child} names block {parent} as parent, which is not one below")]
    Height {
        /// The block that does not fit.
        child: BlockRef,
        /// The block that it was to follow.
        parent: BlockRef,
    },
    /// Its execution block does not follow the parent's execution block.
    #[error("block {child} names execution parent {named}, its parent holds {parent}")]
    ExecutionParent {
        /// The block that does not fit.
        child: BlockRef,
        /// The execution parent that it names.
        named: ExecutionHash,
        /// The execution block that the parent holds.
        parent: ExecutionHash,
    },
}

impl LinkFault {
    /// The block that does not fit.
    pub const fn child(&self) -> BlockRef {
        match self {
            Self::Parent { child, .. }
            | Self::Height { child, .. }
            | Self::ExecutionParent { child, .. } => *child,
        }
    }
}

/// Whether `child` follows the block at `parent`: it names its root, has the next height, and its
/// execution block names the parent's. Who signed `child` is not looked at: what passes is a chain,
/// but anybody's, unless the blocks are verified.
///
/// # Errors
/// [`LinkFault`], for the first of the three that does not hold.
pub fn links(parent: &LinkPoint, child: &EncodedBlock) -> Result<(), LinkFault> {
    let (named, execution_parent) = (child.parent(), child.execution_parent());
    let child = child.block_ref();
    if named != parent.root {
        return Err(LinkFault::Parent { child, named, parent: parent.block_ref() });
    }
    if parent.height.next() != Some(child.height) {
        return Err(LinkFault::Height { child, parent: parent.block_ref() });
    }
    if execution_parent != parent.execution_hash {
        let (named, parent) = (execution_parent, parent.execution_hash);
        return Err(LinkFault::ExecutionParent { child, named, parent });
    }
    Ok(())
}
