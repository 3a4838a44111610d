//! A block that was only scanned against one that was decoded in full: both accept the same bytes,
//! refuse the others with the same error, and give the same fields.

use bytes::Bytes;
use proptest::{collection::vec, prelude::*, sample::Index};
use serde::Deserialize;

use super::*;
use crate::{
    consensus::generate::{GenerateOptions, Transactions, generate},
    wire::{
        block::{AuxPow, ByteLists, arbitrary, bitcoin::Transaction},
        vectors::{self, BlockRow, Hex},
    },
};

/// Asserts that scanning and decoding agree on `bytes`, and says whether they accept them.
fn agree(bytes: &[u8]) -> bool {
    let scanned = EncodedBlock::decode(Bytes::copy_from_slice(bytes));
    let block = match SignedBlock::decode(bytes) {
        Ok(block) => block,
        Err(refusal) => {
            assert_eq!(scanned.err(), Some(refusal));
            return false;
        }
    };
    let (scanned, message) = (scanned.unwrap(), &block.message);
    let payload = &message.execution_payload;
    assert_eq!(scanned.raw(), bytes);
    assert_eq!(block.encode(), bytes);
    assert_eq!(scanned.root(), message.root());
    assert_eq!(scanned.parent(), message.parent_hash);
    assert_eq!(scanned.slot(), message.slot);
    assert_eq!(scanned.height(), block.height());
    assert_eq!(scanned.block_ref(), BlockRef { height: block.height(), root: message.root() });
    assert_eq!(scanned.timestamp(), payload.timestamp);
    assert_eq!(scanned.execution_hash(), payload.block_hash);
    assert_eq!(scanned.execution_parent(), payload.parent_hash);
    assert_eq!(scanned.approval(), &block.approval);
    assert_eq!(&scanned.payload(), payload);
    assert_eq!(scanned.to_block(), block);
    true
}

#[test]
fn scan_agrees_on_every_golden_block() {
    for (name, count) in [("chain.json", 21), ("negative.json", 23)] {
        let rows: Vec<BlockRow> = vectors::rows(name);
        assert_eq!(rows.iter().filter(|row| agree(&row.encoded.0)).count(), count);
    }
    assert!(agree(&vectors::scalar("block_a_signed")));
}

#[test]
fn scan_agrees_on_every_decode_case() {
    #[derive(Deserialize)]
    struct Case {
        input_hex: Hex,
    }
    let cases: Vec<Case> = vectors::rows("decode_cases.json");
    assert_eq!(cases.iter().filter(|case| agree(&case.input_hex.0)).count(), 3);
}

#[test]
fn scan_agrees_on_a_stretch_of_the_long_real_chain() {
    let bytes = vectors::unpacked("chain-5000.bin.gz");
    let (mut rest, mut blocks) = (bytes.as_slice(), 0);
    while let Some((length, tail)) = rest.split_first_chunk() {
        let (raw, tail) = tail.split_at(u32::from_le_bytes(*length).try_into().unwrap());
        rest = tail;
        assert!(blocks % 16 != 0 || agree(raw));
        blocks += 1;
    }
    assert_eq!(blocks, 5001);
}

#[test]
fn scan_agrees_on_generated_blocks_of_every_size() {
    for transactions in [
        Transactions::default(),
        Transactions::Realistic { mean_per_block: 200 },
        Transactions::Fixed { per_block: 0, bytes: 0 },
        Transactions::Fixed { per_block: 300, bytes: 0 },
        Transactions::Fixed { per_block: 3, bytes: 100_000 },
    ] {
        let options = GenerateOptions { blocks: 6, transactions, ..GenerateOptions::default() };
        let chain = generate(options).unwrap();
        assert!(agree(chain.genesis().raw()));
        assert!(chain.blocks().all(|block| agree(block.raw())));
    }
}

#[test]
fn scan_agrees_on_every_one_byte_change_and_truncation() {
    let block = vectors::scalar("block_a_signed");
    for at in 0..block.len() {
        assert!(!agree(&block[..at]));
        for change in [0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0xff] {
            let mut changed = block.clone();
            changed[at] ^= change;
            agree(&changed);
        }
    }
}

#[test]
fn scan_agrees_on_every_insertion_and_removal_of_a_byte() {
    let block = vectors::scalar("block_a_signed");
    for at in 0..block.len() {
        let (before, after) = block.split_at(at);
        assert!(!agree(&[before, &after[1..]].concat()));
        for inserted in [0x00, b'0', b'x', 0x90, 0xa0, 0xc0, 0xc4, 0xcc, 0xdd, 0xff] {
            assert!(!agree(&[before, &[inserted], after].concat()));
        }
    }
}

#[test]
fn scan_agrees_on_a_block_over_the_limit() {
    assert!(!agree(&vec![0x92; super::super::BLOCK_BYTES_MAX + 1]));
}

/// A change of bytes that may turn them into no block, or into another.
#[derive(Debug, Clone)]
enum Mutation {
    Set(Index, u8),
    Insert(Index, u8),
    Remove(Index),
    /// The bytes between two places stand there twice.
    Repeat(Index, Index),
}

impl Mutation {
    fn any() -> impl Strategy<Value = Self> {
        prop_oneof![
            4 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Self::Set(at, byte)),
            1 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Self::Insert(at, byte)),
            1 => any::<Index>().prop_map(Self::Remove),
            1 => (any::<Index>(), any::<Index>()).prop_map(|(a, b)| Self::Repeat(a, b)),
        ]
    }

    fn apply(&self, bytes: &mut Vec<u8>) {
        let length = bytes.len();
        match self {
            Self::Set(at, byte) => bytes[at.index(length)] = *byte,
            Self::Insert(at, byte) => bytes.insert(at.index(length), *byte),
            Self::Remove(at) => drop(bytes.remove(at.index(length))),
            Self::Repeat(a, b) => {
                let (a, b) = (a.index(length), b.index(length));
                let piece = bytes[a.min(b)..a.max(b)].to_vec();
                bytes.splice(a.min(b)..a.min(b), piece);
            }
        }
    }
}

/// Whether nothing of variable length was kept of a Bitcoin transaction.
fn hollow(transaction: &Transaction) -> bool {
    transaction.input.capacity() == 0 && transaction.output.capacity() == 0
}

proptest! {
    #[test]
    fn scan_agrees_on_any_block(block in arbitrary::signed_block()) {
        prop_assert!(agree(&block.encode()));
    }

    #[test]
    fn scan_agrees_on_any_block_after_changes(
        block in arbitrary::signed_block(),
        mutations in vec(Mutation::any(), 1..5),
    ) {
        let mut bytes = block.encode();
        for mutation in mutations {
            mutation.apply(&mut bytes);
            agree(&bytes);
        }
    }

    #[test]
    fn scan_agrees_on_two_blocks_spliced(
        (head, tail) in (arbitrary::signed_block(), arbitrary::signed_block()),
        (until, from) in any::<(Index, Index)>(),
    ) {
        let (head, tail) = (head.encode(), tail.encode());
        let (until, from) = (until.index(head.len()), from.index(tail.len()));
        agree(&[&head[..until], &tail[from..]].concat());
        agree(&[&head[..until], &tail[until.min(tail.len())..]].concat());
    }

    #[test]
    fn scan_keeps_nothing_of_variable_length(block in arbitrary::signed_block()) {
        let bytes = block.encode();
        let (read, _) = SignedBlock::read(Reader::checking(&bytes)).unwrap();
        let message = read.message;
        let payload = message.execution_payload;
        prop_assert_eq!(payload.transactions, ByteLists::default());
        prop_assert_eq!(payload.extra_data.capacity(), 0);
        prop_assert_eq!(payload.withdrawals.capacity(), 0);
        prop_assert_eq!(message.pegins.capacity(), 0);
        prop_assert_eq!(message.finalized_pegouts.capacity(), 0);
        prop_assert!(message.pegout_payment_proposal.iter().all(hollow));
        if let Some(AuxPow { coinbase_txn, coinbase_branch, blockchain_branch, .. }) =
            message.auxpow_header.and_then(|header| header.auxpow)
        {
            prop_assert!(hollow(&coinbase_txn));
            prop_assert_eq!(coinbase_branch.branch_hash.capacity(), 0);
            prop_assert_eq!(blockchain_branch.branch_hash.capacity(), 0);
        }
    }
}
