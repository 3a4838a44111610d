//! Proof of work merged-mined with Bitcoin.

use super::{
    Address,
    bitcoin::{BlockHash, HASH_BYTES, Header, MerkleNode, Transaction},
};
use crate::{
    types::BlockRoot,
    wire::msgpack::{DecodeError, Reader, Writer},
};

/// The claim that proof of work covers a range of blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuxPowHeader {
    /// The first block of the range.
    pub range_start: BlockRoot,
    /// The last block of the range.
    pub range_end: BlockRoot,
    /// The target that was met, in Bitcoin's compact form.
    pub bits: u32,
    /// The number of this chain in merged mining.
    pub chain_id: u32,
    /// How many such headers came before.
    pub height: u64,
    /// The proof; genesis has none.
    pub auxpow: Option<AuxPow>,
    /// Who gets the miner's share of the fees.
    pub fee_recipient: Address,
}

impl AuxPowHeader {
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.structure("auxpow_header", 7)?;
        Ok(Self {
            range_start: BlockRoot::new(reader.hex_array("auxpow_header.range_start")?),
            range_end: BlockRoot::new(reader.hex_array("auxpow_header.range_end")?),
            bits: reader.u32("auxpow_header.bits")?,
            chain_id: reader.u32("auxpow_header.chain_id")?,
            height: reader.u64("auxpow_header.height")?,
            auxpow: if reader.nil() { None } else { Some(AuxPow::read(reader)?) },
            fee_recipient: Address::read(reader, "auxpow_header.fee_recipient")?,
        })
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        writer.array(7);
        writer.hex(self.range_start.as_bytes());
        writer.hex(self.range_end.as_bytes());
        writer.u64(self.bits.into());
        writer.u64(self.chain_id.into());
        writer.u64(self.height);
        match &self.auxpow {
            Some(auxpow) => auxpow.write(writer),
            None => writer.nil(),
        }
        writer.hex(&self.fee_recipient.0);
    }
}

/// A Bitcoin block header that commits to a range of blocks, and the way from one to the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuxPow {
    /// The coinbase transaction of the Bitcoin block, which names the range.
    pub coinbase_txn: Transaction,
    /// Not used; all zero as a rule.
    pub block_hash: BlockHash,
    /// The way from the coinbase transaction to the header's Merkle root.
    pub coinbase_branch: MerkleBranch,
    /// The way from the range to the root named in the coinbase transaction.
    pub blockchain_branch: MerkleBranch,
    /// The header that did the work.
    pub parent_block: Header,
}

impl AuxPow {
    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.structure("auxpow", 5)?;
        Ok(Self {
            coinbase_txn: Transaction::read(reader)?,
            block_hash: BlockHash::read(reader, "auxpow.block_hash")?,
            coinbase_branch: MerkleBranch::read(reader)?,
            blockchain_branch: MerkleBranch::read(reader)?,
            parent_block: Header::read(reader)?,
        })
    }

    fn write(&self, writer: &mut Writer) {
        writer.array(5);
        self.coinbase_txn.write(writer);
        writer.binary(&self.block_hash.0);
        self.coinbase_branch.write(writer);
        self.blockchain_branch.write(writer);
        self.parent_block.write(writer);
    }
}

/// The way from a leaf of a Merkle tree to its root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MerkleBranch {
    /// The sibling at each level, from the leaf up.
    pub branch_hash: Vec<MerkleNode>,
    /// Bit by bit from the lowest: whether the sibling at that level stands left.
    pub branch_side_mask: u32,
}

impl MerkleBranch {
    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.structure("merkle_branch", 2)?;
        let field = "merkle_branch.branch_hash";
        Ok(Self {
            branch_hash: reader.elements(field, usize::MAX, HASH_BYTES, |reader| {
                MerkleNode::read(reader, field)
            })?,
            branch_side_mask: reader.u32("merkle_branch.branch_side_mask")?,
        })
    }

    fn write(&self, writer: &mut Writer) {
        writer.array(2);
        writer.array(self.branch_hash.len());
        for sibling in &self.branch_hash {
            writer.binary(&sibling.0);
        }
        writer.u64(self.branch_side_mask.into());
    }
}
