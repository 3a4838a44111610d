//! The Bitcoin structures that a block carries, in the network's MessagePack form (which is not
//! Bitcoin's own).

use std::fmt;

use super::ByteLists;
use crate::wire::msgpack::{DecodeError, Reader, Writer};

/// The smallest encoded transaction: no input, no output. Unit: bytes.
pub(super) const TRANSACTION_BYTES_MIN: usize = 5;

/// The smallest encoded input: empty script, small numbers, no witness. Unit: bytes.
const INPUT_BYTES_MIN: usize = 1 + 36 + 2 + 1 + 1;

/// The smallest encoded output: small value, empty script. Unit: bytes.
const OUTPUT_BYTES_MIN: usize = 1 + 1 + 2;

/// An encoded hash. Unit: bytes.
pub(super) const HASH_BYTES: usize = 34;

macro_rules! bitcoin_hash {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// Bytes are in the order in which Bitcoin hashes them; display reverses them.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub [u8; 32]);

        impl $name {
            pub(super) fn read(
                reader: &mut Reader<'_>,
                field: &'static str,
            ) -> Result<Self, DecodeError> {
                reader.binary_array(field).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut bytes = self.0;
                bytes.reverse();
                f.write_str(&hex::encode(bytes))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

bitcoin_hash! {
    /// The identity of a Bitcoin transaction.
    Txid
}

bitcoin_hash! {
    /// The identity of a Bitcoin block.
    BlockHash
}

bitcoin_hash! {
    /// A node of a Bitcoin Merkle tree.
    MerkleNode
}

/// A Bitcoin block header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The version; miners use its bits freely, so it may be negative.
    pub version: i32,
    /// The block before.
    pub prev_blockhash: BlockHash,
    /// The root of the tree of its transactions.
    pub merkle_root: MerkleNode,
    /// When it was mined. Unit: seconds since the Unix epoch.
    pub time: u32,
    /// The target, in compact form.
    pub bits: u32,
    /// What the miner searched for.
    pub nonce: u32,
}

impl Header {
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.structure("bitcoin_header", 6)?;
        Ok(Self {
            version: reader.i32("bitcoin_header.version")?,
            prev_blockhash: BlockHash::read(reader, "bitcoin_header.prev_blockhash")?,
            merkle_root: MerkleNode::read(reader, "bitcoin_header.merkle_root")?,
            time: reader.u32("bitcoin_header.time")?,
            bits: reader.u32("bitcoin_header.bits")?,
            nonce: reader.u32("bitcoin_header.nonce")?,
        })
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        writer.array(6);
        writer.i32(self.version);
        writer.binary(&self.prev_blockhash.0);
        writer.binary(&self.merkle_root.0);
        writer.u64(self.time.into());
        writer.u64(self.bits.into());
        writer.u64(self.nonce.into());
    }
}

/// A Bitcoin transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// The version.
    pub version: i32,
    /// From when on it may be mined: a height or a time, as Bitcoin defines.
    pub lock_time: u32,
    /// What it spends.
    pub input: Vec<TxIn>,
    /// What it makes.
    pub output: Vec<TxOut>,
}

impl Transaction {
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.structure("bitcoin_transaction", 4)?;
        Ok(Self {
            version: reader.i32("bitcoin_transaction.version")?,
            lock_time: reader.u32("bitcoin_transaction.lock_time")?,
            input: reader.elements(
                "bitcoin_transaction.input",
                usize::MAX,
                INPUT_BYTES_MIN,
                TxIn::read,
            )?,
            output: reader.elements(
                "bitcoin_transaction.output",
                usize::MAX,
                OUTPUT_BYTES_MIN,
                TxOut::read,
            )?,
        })
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        writer.array(4);
        writer.i32(self.version);
        writer.u64(self.lock_time.into());
        writer.array(self.input.len());
        for input in &self.input {
            input.write(writer);
        }
        writer.array(self.output.len());
        for output in &self.output {
            output.write(writer);
        }
    }
}

/// An output of an earlier transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutPoint {
    /// The transaction.
    pub txid: Txid,
    /// Which of its outputs, from 0.
    pub vout: u32,
}

/// An input of a [`Transaction`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TxIn {
    /// What it spends.
    pub previous_output: OutPoint,
    /// The script that allows it.
    pub script_sig: Vec<u8>,
    /// Its sequence number.
    pub sequence: u32,
    /// Its witness, item by item.
    pub witness: ByteLists,
}

impl TxIn {
    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.structure("bitcoin_input", 4)?;
        reader.structure("bitcoin_input.previous_output", 2)?;
        Ok(Self {
            previous_output: OutPoint {
                txid: Txid::read(reader, "bitcoin_input.txid")?,
                vout: reader.u32("bitcoin_input.vout")?,
            },
            script_sig: reader.binary_vec("bitcoin_input.script_sig")?,
            sequence: reader.u32("bitcoin_input.sequence")?,
            witness: read_witness(reader)?,
        })
    }

    fn write(&self, writer: &mut Writer) {
        writer.array(4);
        writer.array(2);
        writer.binary(&self.previous_output.txid.0);
        writer.u64(self.previous_output.vout.into());
        writer.binary(&self.script_sig);
        writer.u64(self.sequence.into());
        writer.array(self.witness.len());
        for item in self.witness.iter() {
            // Unlike scripts, witness bytes are integers of their own.
            writer.array(item.len());
            for &byte in item {
                writer.u64(byte.into());
            }
        }
    }
}

fn read_witness(reader: &mut Reader<'_>) -> Result<ByteLists, DecodeError> {
    let field = "bitcoin_input.witness";
    ByteLists::read(reader, field, usize::MAX, 1, |reader, bytes| reader.u8_list_into(field, bytes))
}

/// An output of a [`Transaction`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TxOut {
    /// How much. Unit: satoshi.
    pub value: u64,
    /// The script that will allow to spend it.
    pub script_pubkey: Vec<u8>,
}

impl TxOut {
    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.structure("bitcoin_output", 2)?;
        Ok(Self {
            value: reader.u64("bitcoin_output.value")?,
            script_pubkey: reader.binary_vec("bitcoin_output.script_pubkey")?,
        })
    }

    fn write(&self, writer: &mut Writer) {
        writer.array(2);
        writer.u64(self.value);
        writer.binary(&self.script_pubkey);
    }
}
