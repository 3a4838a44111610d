//! Arbitrary blocks for property tests: any value that the encoding can hold, with the edges of
//! its integer and length forms made frequent.

use alloy_primitives::{B256, U256};
use proptest::{array::uniform32, collection::vec, option, prelude::*};

use super::{
    APPROVAL_BITS_MAX, Address, AggregateApproval, AggregateSignature, ApprovalBits, AuxPow,
    AuxPowHeader, ByteLists, ConsensusBlock, EXTRA_DATA_BYTES_MAX, ExecutionPayload, MerkleBranch,
    Pegin, SignedBlock, WITHDRAWALS_MAX, Withdrawal,
    bitcoin::{BlockHash, Header, MerkleNode, OutPoint, Transaction, TxIn, TxOut, Txid},
};
use crate::types::{BlockRoot, ExecutionHash, Height, Slot};

/// Any signed block; its approval is made of arbitrary bytes. Boxed, as two of these strategies
/// fill the stack of a test.
pub(crate) fn signed_block() -> BoxedStrategy<SignedBlock> {
    (consensus_block().boxed(), approval())
        .prop_map(|(message, approval)| SignedBlock { message, approval })
        .boxed()
}

/// Any block.
pub(crate) fn consensus_block() -> impl Strategy<Value = ConsensusBlock> {
    (
        uniform32(any::<u8>()),
        integer(),
        option::weighted(0.3, auxpow_header()),
        execution_payload(),
        vec(pegin(), 0..18),
        option::weighted(0.3, transaction()),
        vec(transaction(), 0..3),
    )
        .prop_map(|(parent, slot, auxpow_header, payload, pegins, proposal, finalized)| {
            ConsensusBlock {
                parent_hash: BlockRoot::new(parent),
                slot: Slot::new(slot),
                auxpow_header,
                execution_payload: payload,
                pegins,
                pegout_payment_proposal: proposal,
                finalized_pegouts: finalized,
            }
        })
}

/// Any integer, those around the edges of the encodings often.
fn integer() -> impl Strategy<Value = u64> {
    let edges = [0, 0x20, 0x80, 0x100, 0x8000, 0x1_0000, 0x8000_0000, 0x1_0000_0000, u64::MAX];
    let near = (prop::sample::select(edges.to_vec()), 0..3_u64)
        .prop_map(|(edge, off)| edge.wrapping_add(off).wrapping_sub(1));
    prop_oneof![near, any::<u64>(), 0..300_u64]
}

#[expect(clippy::cast_possible_truncation, reason = "any value will do")]
fn small_integer() -> impl Strategy<Value = u32> {
    integer().prop_map(|value| value as u32)
}

fn signed_integer() -> impl Strategy<Value = i32> {
    let edges = [-32, -33, -128, -129, -32_768, -32_769, -1, 0, i32::MIN, i32::MAX];
    prop_oneof![prop::sample::select(edges.to_vec()), any::<i32>(), -300..300]
}

fn approval() -> impl Strategy<Value = AggregateApproval> {
    let signature = prop_oneof![
        Just(AggregateSignature::NONE),
        (uniform32(any::<u8>()), uniform32(any::<u8>()), uniform32(any::<u8>())).prop_map(
            |(a, b, c)| {
                let mut bytes: [u8; 96] = [a, b, c].concat().try_into().unwrap();
                bytes[0] |= 0x80;
                AggregateSignature::new(bytes).unwrap()
            }
        )
    ];
    (2..=u16::MAX, signature)
        .prop_map(|(bits, signature)| AggregateApproval { bits: bits_of(bits), signature })
}

fn bits_of(marked: u16) -> ApprovalBits {
    let [low, high] = marked.to_le_bytes();
    let bytes = [low, high];
    ApprovalBits::from_bytes(if high == 0 { &bytes[..1] } else { &bytes })
        .expect("from 2 on there is at least one bit, and never more than 15")
}

const _: () = assert!(APPROVAL_BITS_MAX == 15);

fn execution_payload() -> impl Strategy<Value = ExecutionPayload> {
    let hashes = (hash(), address(), hash(), hash(), hash(), hash());
    let numbers = (integer(), integer(), integer(), integer());
    let rest = (
        prop_oneof![Just(vec![0; 256]), vec(any::<u8>(), 256)],
        vec(any::<u8>(), 0..=EXTRA_DATA_BYTES_MAX),
        prop_oneof![
            Just(U256::MAX),
            Just(U256::ZERO),
            any::<[u64; 4]>().prop_map(U256::from_limbs)
        ],
        byte_lists(0..20, 0..300),
        vec(withdrawal(), 0..=WITHDRAWALS_MAX),
    );
    (hashes, numbers, rest).prop_map(|(hashes, numbers, rest)| {
        let (parent_hash, fee_recipient, state_root, receipts_root, prev_randao, block_hash) =
            hashes;
        let (block_number, gas_limit, gas_used, timestamp) = numbers;
        let (bloom, extra_data, base_fee_per_gas, transactions, withdrawals) = rest;
        ExecutionPayload {
            parent_hash: ExecutionHash::new(parent_hash.0),
            fee_recipient,
            state_root,
            receipts_root,
            logs_bloom: bloom.try_into().unwrap(),
            prev_randao,
            block_number: Height::new(block_number),
            gas_limit,
            gas_used,
            timestamp,
            extra_data,
            base_fee_per_gas,
            block_hash: ExecutionHash::new(block_hash.0),
            transactions,
            withdrawals,
        }
    })
}

fn byte_lists(
    strings: std::ops::Range<usize>,
    bytes: std::ops::Range<usize>,
) -> impl Strategy<Value = ByteLists> {
    vec(vec(any::<u8>(), bytes), strings).prop_map(ByteLists::from_iter)
}

fn hash() -> impl Strategy<Value = B256> {
    uniform32(any::<u8>()).prop_map(B256::new)
}

fn address() -> impl Strategy<Value = Address> {
    any::<[u8; 20]>().prop_map(Address)
}

fn withdrawal() -> impl Strategy<Value = Withdrawal> {
    (integer(), integer(), address(), integer()).prop_map(
        |(index, validator_index, address, amount)| Withdrawal {
            index,
            validator_index,
            address,
            amount,
        },
    )
}

fn pegin() -> impl Strategy<Value = Pegin> {
    (uniform32(any::<u8>()), uniform32(any::<u8>()))
        .prop_map(|(txid, block)| Pegin { txid: Txid(txid), block_hash: BlockHash(block) })
}

fn transaction() -> impl Strategy<Value = Transaction> {
    (signed_integer(), small_integer(), vec(input(), 0..3), vec(output(), 0..18)).prop_map(
        |(version, lock_time, input, output)| Transaction { version, lock_time, input, output },
    )
}

fn input() -> impl Strategy<Value = TxIn> {
    (
        uniform32(any::<u8>()),
        small_integer(),
        vec(any::<u8>(), 0..300),
        small_integer(),
        byte_lists(0..4, 0..40),
    )
        .prop_map(|(txid, vout, script_sig, sequence, witness)| TxIn {
            previous_output: OutPoint { txid: Txid(txid), vout },
            script_sig,
            sequence,
            witness,
        })
}

fn output() -> impl Strategy<Value = TxOut> {
    (integer(), vec(any::<u8>(), 0..40))
        .prop_map(|(value, script_pubkey)| TxOut { value, script_pubkey })
}

fn auxpow_header() -> impl Strategy<Value = AuxPowHeader> {
    (
        uniform32(any::<u8>()),
        uniform32(any::<u8>()),
        (small_integer(), small_integer(), integer()),
        option::of(auxpow()),
        address(),
    )
        .prop_map(|(start, end, (bits, chain_id, height), auxpow, fee_recipient)| {
            AuxPowHeader {
                range_start: BlockRoot::new(start),
                range_end: BlockRoot::new(end),
                bits,
                chain_id,
                height,
                auxpow,
                fee_recipient,
            }
        })
}

fn auxpow() -> impl Strategy<Value = AuxPow> {
    (transaction(), uniform32(any::<u8>()), branch(), branch(), header()).prop_map(
        |(coinbase_txn, block_hash, coinbase_branch, blockchain_branch, parent_block)| AuxPow {
            coinbase_txn,
            block_hash: BlockHash(block_hash),
            coinbase_branch,
            blockchain_branch,
            parent_block,
        },
    )
}

fn branch() -> impl Strategy<Value = MerkleBranch> {
    (vec(uniform32(any::<u8>()).prop_map(MerkleNode), 0..18), small_integer())
        .prop_map(|(branch_hash, branch_side_mask)| MerkleBranch { branch_hash, branch_side_mask })
}

fn header() -> impl Strategy<Value = Header> {
    (
        signed_integer(),
        uniform32(any::<u8>()),
        uniform32(any::<u8>()),
        (small_integer(), small_integer(), small_integer()),
    )
        .prop_map(|(version, previous, root, (time, bits, nonce))| Header {
            version,
            prev_blockhash: BlockHash(previous),
            merkle_root: MerkleNode(root),
            time,
            bits,
            nonce,
        })
}
