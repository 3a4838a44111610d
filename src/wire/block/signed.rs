//! A block with its approval: the unit of the chain.

use std::ops::Range;

use super::{
    AggregateApproval, AuxPowHeader, ExecutionPayload,
    bitcoin::{self, BlockHash, Transaction, Txid},
};
use crate::{
    types::{BlockRoot, Height, Slot},
    wire::msgpack::{DecodeError, Reader, Writer},
};

/// The largest encoded block. Unit: bytes. Source: the network's limit for a response chunk, in
/// both directions. Lower refuses blocks that the network accepts, so the chain cannot be synced
/// past them; higher lets a peer make us hold more memory, for blocks that no node could send on.
pub const BLOCK_BYTES_MAX: usize = 1 << 20;

/// An encoded pegin: two hashes and the array around. Unit: bytes.
const PEGIN_BYTES: usize = 1 + 2 * bitcoin::HASH_BYTES;

/// What an encoded block without transactions takes, roughly: room for the buffer. Unit: bytes.
/// Too low costs growing the buffer, too high costs memory for a moment.
const EMPTY_BLOCK_BYTES: usize = 2048;

/// Why bytes are no block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// More bytes than a block may have; nothing was read.
    #[error("block of {bytes} bytes is over the limit of {BLOCK_BYTES_MAX}")]
    TooLarge {
        /// How many bytes.
        bytes: usize,
    },
    /// Not the canonical encoding of a block.
    #[error(transparent)]
    Encoding(#[from] DecodeError),
}

/// A block and the approval of its authorities.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedBlock {
    /// The block proper: what its root is made of and what is signed.
    pub message: ConsensusBlock,
    /// Who signed it.
    pub approval: AggregateApproval,
}

impl SignedBlock {
    /// The block that `bytes` encode, if they are its canonical encoding and nothing more:
    /// [`Self::encode`] gives the same bytes back.
    ///
    /// # Errors
    /// [`BlockError`] says which field is wrong, where and how. Blame whoever sent the bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, BlockError> {
        Self::read(Reader::new(bytes)).map(|(block, _)| block)
    }

    /// What `reader`, at its start, reads as a block up to its end, and where the parts lie.
    pub(super) fn read(mut reader: Reader<'_>) -> Result<(Self, Spans), BlockError> {
        let bytes = reader.remaining();
        if bytes > BLOCK_BYTES_MAX {
            return Err(BlockError::TooLarge { bytes });
        }
        reader.structure("block", 2)?;
        let start = reader.offset();
        let (message, payload) = ConsensusBlock::read(&mut reader)?;
        let spans = Spans { message: start..reader.offset(), payload };
        let approval = AggregateApproval::read(&mut reader)?;
        reader.end("block")?;
        Ok((Self { message, approval }, spans))
    }

    /// The canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = self.message.writer();
        writer.array(2);
        self.message.write(&mut writer);
        self.approval.write(&mut writer);
        writer.into_bytes()
    }

    /// Where it stands in the chain.
    pub const fn height(&self) -> Height {
        self.message.height()
    }
}

/// Where parts of a block lie in its encoding. Unit: bytes from the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spans {
    /// The message: what the root is taken of.
    pub(super) message: Range<usize>,
    /// The execution payload, within the message.
    pub(super) payload: Range<usize>,
}

/// A block without its approval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsensusBlock {
    /// The block before.
    pub parent_hash: BlockRoot,
    /// When it was made.
    pub slot: Slot,
    /// Proof of work over earlier blocks, if it brings any.
    pub auxpow_header: Option<AuxPowHeader>,
    /// Its execution block.
    pub execution_payload: ExecutionPayload,
    /// The Bitcoin deposits that it credits.
    pub pegins: Vec<Pegin>,
    /// The Bitcoin transaction that it proposes for withdrawals.
    pub pegout_payment_proposal: Option<Transaction>,
    /// The Bitcoin transactions that its proof of work finalizes.
    pub finalized_pegouts: Vec<Transaction>,
}

impl ConsensusBlock {
    /// The canonical bytes: what [`super::signing_root`] is taken of.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = self.writer();
        self.write(&mut writer);
        writer.into_bytes()
    }

    /// Its identity. Costs an encoding: a block that was received has it at hand in
    /// [`super::EncodedBlock`].
    pub fn root(&self) -> BlockRoot {
        super::signing_root(&self.encode())
    }

    /// Where it stands in the chain. The execution block alone says so.
    pub const fn height(&self) -> Height {
        self.execution_payload.block_number
    }

    /// A block, and where its payload lies.
    fn read(reader: &mut Reader<'_>) -> Result<(Self, Range<usize>), DecodeError> {
        reader.structure("message", 7)?;
        let parent_hash = BlockRoot::new(reader.hex_array("parent_hash")?);
        let slot = Slot::new(reader.u64("slot")?);
        let auxpow_header = if reader.nil() { None } else { Some(AuxPowHeader::read(reader)?) };
        let start = reader.offset();
        let execution_payload = ExecutionPayload::read(reader)?;
        let payload = start..reader.offset();
        let message = Self {
            parent_hash,
            slot,
            auxpow_header,
            execution_payload,
            pegins: reader.elements("pegins", usize::MAX, PEGIN_BYTES, Pegin::read)?,
            pegout_payment_proposal: if reader.nil() {
                None
            } else {
                Some(Transaction::read(reader)?)
            },
            finalized_pegouts: reader.elements(
                "finalized_pegouts",
                usize::MAX,
                bitcoin::TRANSACTION_BYTES_MIN,
                Transaction::read,
            )?,
        };
        Ok((message, payload))
    }

    fn write(&self, writer: &mut Writer) {
        writer.array(7);
        writer.hex(self.parent_hash.as_bytes());
        writer.u64(self.slot.get());
        match &self.auxpow_header {
            Some(header) => header.write(writer),
            None => writer.nil(),
        }
        self.execution_payload.write(writer);
        writer.array(self.pegins.len());
        for pegin in &self.pegins {
            pegin.write(writer);
        }
        match &self.pegout_payment_proposal {
            Some(transaction) => transaction.write(writer),
            None => writer.nil(),
        }
        writer.array(self.finalized_pegouts.len());
        for transaction in &self.finalized_pegouts {
            transaction.write(writer);
        }
    }

    fn writer(&self) -> Writer {
        let transactions = &self.execution_payload.transactions;
        let hex = 2 * transactions.bytes_total() + 8 * transactions.len();
        Writer::with_capacity(EMPTY_BLOCK_BYTES + hex)
    }
}

/// A Bitcoin deposit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pegin {
    /// The transaction that made it.
    pub txid: Txid,
    /// The Bitcoin block that holds the transaction.
    pub block_hash: BlockHash,
}

impl Pegin {
    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.structure("pegin", 2)?;
        Ok(Self {
            txid: Txid::read(reader, "pegin.txid")?,
            block_hash: BlockHash::read(reader, "pegin.block_hash")?,
        })
    }

    fn write(&self, writer: &mut Writer) {
        writer.array(2);
        writer.binary(&self.txid.0);
        writer.binary(&self.block_hash.0);
    }
}
