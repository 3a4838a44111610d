//! A block as it travels and is kept: its bytes, and what sync asks of it.

use std::{fmt, ops::Range};

use bytes::Bytes;

use super::{
    AggregateApproval, BlockError, ConsensusBlock, ExecutionPayload, SignedBlock, signing_root,
};
use crate::{
    types::{BlockRef, BlockRoot, ExecutionHash, Height, Slot},
    wire::msgpack::Reader,
};

/// The bytes of a block as received, its root, and those of its fields that sync needs. Cheap to
/// clone.
///
/// The bytes are canonical, so they are what any node would write, and they are what is stored and
/// served. Two of the same root may differ in their approval: compare roots, not bytes.
///
/// Making one reads the bytes once and builds nothing else of them: no transaction is decoded, no
/// memory is taken. Who needs more decodes it from the bytes: [`Self::payload`],
/// [`Self::to_block`].
#[derive(Clone)]
pub struct EncodedBlock {
    raw: Bytes,
    root: BlockRoot,
    parent: BlockRoot,
    slot: Slot,
    height: Height,
    timestamp: u64,
    execution_hash: ExecutionHash,
    execution_parent: ExecutionHash,
    approval: AggregateApproval,
    /// Where in `raw` the execution payload lies.
    payload: Range<usize>,
}

impl EncodedBlock {
    /// The block that `raw` encodes, if that is its canonical encoding and nothing more. The root
    /// is taken of the message in it as it stands, without encoding it again.
    ///
    /// # Errors
    /// As [`SignedBlock::decode`], for the same bytes: it is the same decoder, told to keep
    /// nothing of variable length.
    pub fn decode(raw: Bytes) -> Result<Self, BlockError> {
        let (hollow, spans) = SignedBlock::read(Reader::checking(&raw))?;
        // Of what was read only fields of fixed size are there; nothing else may be used.
        let SignedBlock { message, approval } = hollow;
        let ConsensusBlock { parent_hash: parent, slot, execution_payload, .. } = message;
        let ExecutionPayload {
            block_number: height,
            timestamp,
            block_hash: execution_hash,
            parent_hash: execution_parent,
            ..
        } = execution_payload;
        let root = signing_root(raw.get(spans.message).unwrap_or_default());
        let payload = spans.payload;
        Ok(Self {
            raw,
            root,
            parent,
            slot,
            height,
            timestamp,
            execution_hash,
            execution_parent,
            approval,
            payload,
        })
    }

    /// The canonical bytes.
    pub const fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// Its identity.
    pub const fn root(&self) -> BlockRoot {
        self.root
    }

    /// The block before it.
    pub const fn parent(&self) -> BlockRoot {
        self.parent
    }

    /// The slot that it was made in.
    pub const fn slot(&self) -> Slot {
        self.slot
    }

    /// Where it stands in the chain.
    pub const fn height(&self) -> Height {
        self.height
    }

    /// Its height and root.
    pub const fn block_ref(&self) -> BlockRef {
        BlockRef { height: self.height, root: self.root }
    }

    /// When its execution block was made. Unit: seconds since the Unix epoch.
    pub const fn timestamp(&self) -> u64 {
        self.timestamp
    }

    /// The hash that its execution payload claims.
    pub const fn execution_hash(&self) -> ExecutionHash {
        self.execution_hash
    }

    /// The hash of the execution block that its own names as parent.
    pub const fn execution_parent(&self) -> ExecutionHash {
        self.execution_parent
    }

    /// Who signed it.
    pub const fn approval(&self) -> &AggregateApproval {
        &self.approval
    }

    /// Its execution payload, decoded now from its part of the bytes.
    pub fn payload(&self) -> ExecutionPayload {
        let bytes = self.raw.get(self.payload.clone()).unwrap_or_default();
        accepted_before(ExecutionPayload::read(&mut Reader::new(bytes)))
    }

    /// All of it, decoded now.
    pub fn to_block(&self) -> SignedBlock {
        accepted_before(SignedBlock::decode(&self.raw))
    }
}

/// What was read once more of the bytes of an [`EncodedBlock`]. It cannot be refused now: the same
/// decoder accepted the same bytes before, and they never change.
fn accepted_before<T, E: fmt::Debug>(read: Result<T, E>) -> T {
    read.expect("the same decoder accepted these bytes when the block was made")
}

impl fmt::Debug for EncodedBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EncodedBlock({}, {} bytes)", self.block_ref(), self.raw.len())
    }
}

#[cfg(test)]
#[path = "encoded_tests.rs"]
mod tests;
