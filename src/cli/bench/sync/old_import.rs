//! How today's node takes in a block of a sync, done step by step: nothing is slept, nothing that
//! it does once is done twice, and nothing that it does twice is done once.
//!
//! Of what it does these are here: decoding, which decompresses the signature; encoding the message
//! and hashing it each time that a root is asked for; reading and decoding the parent; the slot
//! rule; the aggregate signature, three times; encoding and writing the block. Not here are its
//! database's own work and the wallet, so it is as fast as that node could be at most. What it asks
//! of its execution client is in [`super::old_execution`].

use std::{io, sync::Arc};

use alys_sync::{
    consensus::{
        ChainSpec, Genesis, SignerSet,
        bls::{BlsError, Signature, fast_aggregate_verify},
        slot_is_in_future,
    },
    types::{BlockRoot, Height},
    wire::block::{BlockError, ExecutionPayload, SignedBlock},
};

use super::old_store::OldStore;

/// A block as its network task hands it to its sync task.
#[derive(Debug)]
pub(super) struct DecodedBlock {
    block: SignedBlock,
    signature: Signature,
}

/// Why it takes a block no further.
#[derive(Debug, thiserror::Error)]
pub(super) enum OldImportError {
    #[error("a block cannot be decoded")]
    Decode(#[from] BlockError),
    #[error("a signature cannot be decoded")]
    Signature(#[from] BlsError),
    #[error("the store of the old algorithm failed")]
    Store(#[from] io::Error),
    #[error("block {height} is refused: {why}")]
    Refused { height: Height, why: &'static str },
}

impl DecodedBlock {
    /// The block that came as `raw`.
    pub(super) fn decode(raw: &[u8]) -> Result<Self, OldImportError> {
        let block = SignedBlock::decode(raw)?;
        let signature = Signature::from_bytes(block.approval.signature.as_bytes())?;
        Ok(Self { block, signature })
    }

    /// Encodes the message and hashes it.
    fn root(&self) -> BlockRoot {
        self.block.message.root()
    }

    /// What its execution client is to execute.
    pub(super) const fn payload(&self) -> &ExecutionPayload {
        &self.block.message.execution_payload
    }

    fn height(&self) -> Height {
        self.block.message.execution_payload.block_number
    }
}

/// Takes in blocks one by one.
#[derive(Debug)]
pub(super) struct OldImporter {
    spec: Arc<ChainSpec>,
    store: OldStore,
    head: Height,
}

impl OldImporter {
    /// One whose head is `genesis`.
    pub(super) fn new(
        spec: Arc<ChainSpec>,
        genesis: &Genesis,
        mut store: OldStore,
    ) -> Result<Self, OldImportError> {
        store.put(genesis.root(), genesis.raw())?;
        Ok(Self { spec, store, head: Height::GENESIS })
    }

    /// The last block taken in.
    pub(super) const fn head(&self) -> Height {
        self.head
    }

    /// Makes all its checks of the block after the head; gives back the root, to keep it by.
    pub(super) fn check(&self, block: &DecodedBlock) -> Result<BlockRoot, OldImportError> {
        let height = block.height();
        let refused = |why| OldImportError::Refused { height, why };
        let root = block.root();
        if height <= self.head {
            return Err(refused("old block"));
        }
        let message = &block.block.message;
        let parent = self.store.get(&message.parent_hash)?;
        let parent = SignedBlock::decode(&parent.ok_or_else(|| refused("missing parent"))?)?;
        // Decoding decompresses the signature, used or not. That of genesis is empty.
        if parent.message.execution_payload.block_number > Height::GENESIS {
            Signature::from_bytes(parent.approval.signature.as_bytes())?;
        }
        let execution_parent = parent.message.execution_payload.block_hash;
        if message.execution_payload.parent_hash != execution_parent {
            return Err(refused("execution chain is not contiguous"));
        }
        // First check, of the block as proposed.
        let majority = self.check_signed(block)?;
        // Second and third, of its majority: the first is repeated, then verified again.
        self.check_signed(block)?;
        self.verify(block)?;
        if !majority {
            return Err(refused("no majority"));
        }
        Ok(root)
    }

    /// Makes the block that was checked the head.
    pub(super) fn keep(
        &mut self,
        root: BlockRoot,
        block: &DecodedBlock,
    ) -> Result<(), OldImportError> {
        self.store.put(root, &block.block.encode())?;
        self.head = block.height();
        Ok(())
    }

    /// Slot and signature; whether a majority signed.
    fn check_signed(&self, block: &DecodedBlock) -> Result<bool, OldImportError> {
        let message = &block.block.message;
        let duration = self.spec.slot_duration_at(block.height());
        if slot_is_in_future(message.slot, message.execution_payload.timestamp, duration) {
            let why = "slot is in the future";
            return Err(OldImportError::Refused { height: block.height(), why });
        }
        let signers = self.verify(block)?;
        Ok(signers.count() >= self.spec.authorities_at(block.height()).majority())
    }

    /// Verifies the aggregate signature by itself; who signed.
    fn verify(&self, block: &DecodedBlock) -> Result<SignerSet, OldImportError> {
        let authorities = self.spec.authorities_at(block.height());
        let count = authorities.len();
        let signers = SignerSet::below(count, block.block.approval.bits.signers_below(count));
        let keys = authorities.keys_of(signers);
        if fast_aggregate_verify(&block.root(), keys, &block.signature) {
            Ok(signers)
        } else {
            let why = "bad signature";
            Err(OldImportError::Refused { height: block.height(), why })
        }
    }
}

#[cfg(test)]
mod tests {
    use alys_sync::consensus::generate::{GenerateOptions, GeneratedChain, generate};

    use super::*;

    fn chain(blocks: u64) -> GeneratedChain {
        generate(GenerateOptions { blocks, ..GenerateOptions::default() }).unwrap()
    }

    fn importer(chain: &GeneratedChain, dir: &tempfile::TempDir) -> OldImporter {
        let store = OldStore::create(&dir.path().join("blocks")).unwrap();
        let genesis = Genesis::from_block(chain.genesis().clone()).unwrap();
        OldImporter::new(Arc::clone(chain.spec()), &genesis, store).unwrap()
    }

    #[test]
    fn takes_in_a_chain_block_by_block_and_no_block_out_of_turn() {
        let (chain, dir) = (chain(3), tempfile::tempdir().unwrap());
        let mut importer = importer(&chain, &dir);
        let blocks: Vec<_> =
            chain.blocks().map(|block| DecodedBlock::decode(block.raw()).unwrap()).collect();
        assert!(importer.check(&blocks[1]).is_err(), "its parent is missing");
        for block in &blocks {
            let root = importer.check(block).unwrap();
            importer.keep(root, block).unwrap();
        }
        assert_eq!(importer.head(), Height::new(3));
        assert!(importer.check(&blocks[2]).is_err(), "it is there already");
    }

    #[test]
    fn refuses_a_block_that_others_signed() {
        let (chain, dir) = (chain(2), tempfile::tempdir().unwrap());
        let importer = importer(&chain, &dir);
        let blocks: Vec<_> = chain.blocks().map(|block| block.to_block()).collect();
        let mut forged = blocks[0].clone();
        forged.approval.signature = blocks[1].approval.signature;
        let forged = DecodedBlock::decode(&forged.encode()).unwrap();
        let error = importer.check(&forged).unwrap_err();
        assert!(error.to_string().contains("bad signature"), "{error}");
    }
}
