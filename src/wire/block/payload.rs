//! The execution payload of a block.

use std::fmt;

use alloy_primitives::{B256, U256};

use super::ByteLists;
use crate::{
    types::{ExecutionHash, Height},
    wire::msgpack::{DecodeError, Reader, Writer},
};

/// The longest extra data. Unit: bytes. Source: the payload's definition. Lower refuses valid
/// blocks, higher accepts blocks that execution clients and today's nodes refuse.
pub const EXTRA_DATA_BYTES_MAX: usize = 32;

/// The most withdrawals of a payload. Unit: withdrawals. Source: the payload's definition. Lower
/// refuses valid blocks, higher accepts blocks that today's nodes refuse.
pub const WITHDRAWALS_MAX: usize = 16;

/// The most transactions of a payload. Unit: transactions. Source: the payload's definition. A
/// block of at most 1 MiB cannot reach it; it is here so that raising that limit keeps this one.
pub const TRANSACTIONS_MAX: usize = 1 << 20;

/// The smallest encoded transaction: a string of `0x`. Unit: bytes.
const TRANSACTION_BYTES_MIN: usize = 3;

/// The smallest encoded withdrawal: three numbers of one digit and an address. Unit: bytes.
const WITHDRAWAL_BYTES_MIN: usize = 1 + 3 * 2 + 44;

/// An account of the execution chain.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Address(pub [u8; 20]);

impl Address {
    pub(super) fn read(reader: &mut Reader<'_>, field: &'static str) -> Result<Self, DecodeError> {
        reader.hex_array(field).map(Self)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{}", hex::encode(self.0))
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The execution block that a consensus block carries (version Capella).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecutionPayload {
    /// The execution block before.
    pub parent_hash: ExecutionHash,
    /// Who gets the fees.
    pub fee_recipient: Address,
    /// The root of the state after it.
    pub state_root: B256,
    /// The root of its receipts.
    pub receipts_root: B256,
    /// The filter of its logs.
    pub logs_bloom: [u8; 256],
    /// The randomness of the block before.
    pub prev_randao: B256,
    /// Its number, which is the height of the consensus block.
    pub block_number: Height,
    /// How much gas it may use. Unit: gas.
    pub gas_limit: u64,
    /// How much gas it used. Unit: gas.
    pub gas_used: u64,
    /// When it was made. Unit: seconds since the Unix epoch.
    pub timestamp: u64,
    /// Whatever its maker put there, at most [`EXTRA_DATA_BYTES_MAX`] bytes.
    pub extra_data: Vec<u8>,
    /// The base fee. Unit: wei per gas.
    pub base_fee_per_gas: U256,
    /// The hash of its header.
    pub block_hash: ExecutionHash,
    /// Its transactions as raw bytes.
    pub transactions: ByteLists,
    /// Its withdrawals, at most [`WITHDRAWALS_MAX`].
    pub withdrawals: Vec<Withdrawal>,
}

impl ExecutionPayload {
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.structure("execution_payload", 15)?;
        Ok(Self {
            parent_hash: ExecutionHash::new(reader.hex_array("execution_payload.parent_hash")?),
            fee_recipient: Address::read(reader, "execution_payload.fee_recipient")?,
            state_root: B256::new(reader.hex_array("execution_payload.state_root")?),
            receipts_root: B256::new(reader.hex_array("execution_payload.receipts_root")?),
            logs_bloom: reader.hex_array("execution_payload.logs_bloom")?,
            prev_randao: B256::new(reader.hex_array("execution_payload.prev_randao")?),
            block_number: Height::new(reader.decimal_u64("execution_payload.block_number")?),
            gas_limit: reader.decimal_u64("execution_payload.gas_limit")?,
            gas_used: reader.decimal_u64("execution_payload.gas_used")?,
            timestamp: reader.decimal_u64("execution_payload.timestamp")?,
            extra_data: read_extra_data(reader)?,
            base_fee_per_gas: reader.decimal_u256("execution_payload.base_fee_per_gas")?,
            block_hash: ExecutionHash::new(reader.hex_array("execution_payload.block_hash")?),
            transactions: read_transactions(reader)?,
            withdrawals: reader.elements(
                "execution_payload.withdrawals",
                WITHDRAWALS_MAX,
                WITHDRAWAL_BYTES_MIN,
                Withdrawal::read,
            )?,
        })
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        writer.array(15);
        writer.hex(self.parent_hash.as_bytes());
        writer.hex(&self.fee_recipient.0);
        writer.hex(self.state_root.as_slice());
        writer.hex(self.receipts_root.as_slice());
        writer.hex(self.logs_bloom.as_slice());
        writer.hex(self.prev_randao.as_slice());
        writer.decimal_u64(self.block_number.get());
        writer.decimal_u64(self.gas_limit);
        writer.decimal_u64(self.gas_used);
        writer.decimal_u64(self.timestamp);
        writer.hex(&self.extra_data);
        writer.decimal_u256(self.base_fee_per_gas);
        writer.hex(self.block_hash.as_bytes());
        writer.array(self.transactions.len());
        for transaction in self.transactions.iter() {
            writer.hex(transaction);
        }
        writer.array(self.withdrawals.len());
        for withdrawal in &self.withdrawals {
            withdrawal.write(writer);
        }
    }
}

fn read_extra_data(reader: &mut Reader<'_>) -> Result<Vec<u8>, DecodeError> {
    let mut extra_data = Vec::new();
    reader.hex_into("execution_payload.extra_data", EXTRA_DATA_BYTES_MAX, &mut extra_data)?;
    Ok(extra_data)
}

fn read_transactions(reader: &mut Reader<'_>) -> Result<ByteLists, DecodeError> {
    let field = "execution_payload.transactions";
    ByteLists::read(reader, field, TRANSACTIONS_MAX, TRANSACTION_BYTES_MIN, |reader, bytes| {
        // A transaction's own limit (1 GiB) is far above that of a whole block.
        reader.hex_into(field, usize::MAX, bytes)
    })
}

/// A credit to an account without a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Withdrawal {
    /// Its number; Alys writes 0.
    pub index: u64,
    /// Whose it is on a beacon chain; Alys writes 0.
    pub validator_index: u64,
    /// Who gets it.
    pub address: Address,
    /// How much. Unit: gwei.
    pub amount: u64,
}

impl Withdrawal {
    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.structure("withdrawal", 4)?;
        Ok(Self {
            index: reader.decimal_u64("withdrawal.index")?,
            validator_index: reader.decimal_u64("withdrawal.validator_index")?,
            address: Address::read(reader, "withdrawal.address")?,
            amount: reader.decimal_u64("withdrawal.amount")?,
        })
    }

    fn write(&self, writer: &mut Writer) {
        writer.array(4);
        writer.decimal_u64(self.index);
        writer.decimal_u64(self.validator_index);
        writer.hex(&self.address.0);
        writer.decimal_u64(self.amount);
    }
}
