//! The first block of a chain. Nobody signs it; the operator vouches for it.

use bytes::Bytes;

use crate::{
    types::{BlockRoot, Height},
    wire::block::EncodedBlock,
};

use super::link::LinkPoint;

/// Why a block is no genesis block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GenesisError {
    /// Genesis is block 0.
    #[error("the genesis block must have height 0, this one has {height}")]
    Height {
        /// The height of the block given.
        height: Height,
    },
    /// Genesis follows nothing.
    #[error("the genesis block must have no parent, this one names {parent}")]
    Parent {
        /// The parent that the block given names.
        parent: BlockRoot,
    },
}

/// The genesis block of a chain: height 0, no parent. It carries no signatures and so never becomes
/// a [`VerifiedBlock`](super::VerifiedBlock); its root names the network.
#[derive(Debug, Clone)]
pub struct Genesis {
    raw: Bytes,
    link_point: LinkPoint,
}

impl Genesis {
    /// The genesis block that the operator gave.
    ///
    /// # Errors
    /// [`GenesisError`] for a block with a height or a parent.
    pub fn from_block(block: EncodedBlock) -> Result<Self, GenesisError> {
        if block.height() != Height::GENESIS {
            return Err(GenesisError::Height { height: block.height() });
        }
        if block.parent() != BlockRoot::ZERO {
            return Err(GenesisError::Parent { parent: block.parent() });
        }
        Ok(Self { raw: block.raw().clone(), link_point: LinkPoint::of(&block) })
    }

    /// The block as given.
    pub const fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// The root of the block, which is the id of the network.
    pub const fn root(&self) -> BlockRoot {
        self.link_point.root
    }

    /// What block 1 must refer to.
    pub const fn link_point(&self) -> LinkPoint {
        self.link_point
    }
}
