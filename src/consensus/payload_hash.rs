//! The hash of the execution block that a payload describes.
//!
//! A payload states its own block hash. Execution clients compute it again and refuse the payload
//! if it differs; so does sync, before it gives the payload to anybody. Payloads of this chain are
//! always of the Shanghai form (with withdrawals, without blobs): a header of 17 fields.
//!
//! Failure: none. Every decoded payload has a hash; whether the payload can be executed is for the
//! execution client to say.

use alloy_primitives::{U256, keccak256};
use alloy_rlp::{Encodable, Header};
use alloy_trie::root::{ordered_trie_root_encoded, ordered_trie_root_with_encoder};

use crate::{
    types::ExecutionHash,
    wire::block::{ExecutionPayload, Withdrawal},
};

/// keccak-256 of the RLP of an empty list: the hash of the uncles, of which there are none since
/// the merge. Source: EIP-3675. Any other value makes every hash wrong.
const NO_UNCLES_HASH: [u8; 32] = [
    0x1d, 0xcc, 0x4d, 0xe8, 0xde, 0xc7, 0x5d, 0x7a, 0xab, 0x85, 0xb5, 0x67, 0xb6, 0xcc, 0xd4, 0x1a,
    0xd3, 0x12, 0x45, 0x1b, 0x94, 0x8a, 0x74, 0x13, 0xf0, 0xa1, 0x42, 0xfd, 0x40, 0xd4, 0x93, 0x47,
];

/// Difficulty of every block since the merge. Source: EIP-3675.
const DIFFICULTY: u64 = 0;

/// Nonce of every block since the merge. Source: EIP-3675.
const NONCE: [u8; 8] = [0; 8];

/// Space for a header without asking twice: 256 bytes of bloom and 16 smaller fields. Unit: bytes.
/// Lower: one more allocation. Higher: unused memory for the moment of hashing.
const HEADER_BYTES_USUAL: usize = 640;

/// The hash of the execution block that `payload` describes, computed from everything in it but
/// the hash that it claims.
pub fn execution_hash(payload: &ExecutionPayload) -> ExecutionHash {
    let mut fields = Vec::with_capacity(HEADER_BYTES_USUAL);
    header_fields(payload, &mut fields);
    let mut rlp = Vec::with_capacity(HEADER_BYTES_USUAL);
    Header { list: true, payload_length: fields.len() }.encode(&mut rlp);
    rlp.extend_from_slice(&fields);
    ExecutionHash::new(keccak256(&rlp).0)
}

/// The RLP of the header's fields, in order, without the list around them.
fn header_fields(payload: &ExecutionPayload, out: &mut Vec<u8>) {
    let transactions: Vec<&[u8]> = payload.transactions.iter().collect();
    let transactions_root = ordered_trie_root_encoded(&transactions);
    let withdrawals_root = ordered_trie_root_with_encoder(&payload.withdrawals, withdrawal);
    bytes(payload.parent_hash.as_bytes(), out);
    bytes(&NO_UNCLES_HASH, out);
    bytes(&payload.fee_recipient.0, out);
    bytes(payload.state_root.as_slice(), out);
    bytes(transactions_root.as_slice(), out);
    bytes(payload.receipts_root.as_slice(), out);
    bytes(payload.logs_bloom.as_slice(), out);
    DIFFICULTY.encode(out);
    payload.block_number.get().encode(out);
    payload.gas_limit.encode(out);
    payload.gas_used.encode(out);
    payload.timestamp.encode(out);
    bytes(&payload.extra_data, out);
    bytes(payload.prev_randao.as_slice(), out);
    bytes(&NONCE, out);
    number(payload.base_fee_per_gas, out);
    bytes(withdrawals_root.as_slice(), out);
}

fn withdrawal(withdrawal: &Withdrawal, out: &mut Vec<u8>) {
    let mut fields = Vec::with_capacity(48);
    withdrawal.index.encode(&mut fields);
    withdrawal.validator_index.encode(&mut fields);
    bytes(&withdrawal.address.0, &mut fields);
    withdrawal.amount.encode(&mut fields);
    Header { list: true, payload_length: fields.len() }.encode(out);
    out.extend_from_slice(&fields);
}

fn bytes(bytes: &[u8], out: &mut Vec<u8>) {
    bytes.encode(out);
}

/// A number is its big-endian bytes without leading zeros.
fn number(number: U256, out: &mut Vec<u8>) {
    bytes(&number.to_be_bytes_trimmed_vec(), out);
}

#[cfg(test)]
mod tests {
    use alloy_primitives::B256;
    use serde_json::Value;

    use super::*;
    use crate::{
        types::Height,
        wire::{
            block::{Address, ByteLists},
            vectors,
        },
    };

    fn decoded<const N: usize>(value: &Value) -> [u8; N] {
        many(value).try_into().unwrap()
    }

    fn many(value: &Value) -> Vec<u8> {
        hex::decode(value.as_str().unwrap().strip_prefix("0x").unwrap()).unwrap()
    }

    fn quantity(value: &Value) -> u64 {
        u64::from_str_radix(value.as_str().unwrap().strip_prefix("0x").unwrap(), 16).unwrap()
    }

    fn withdrawal(json: &Value) -> Withdrawal {
        Withdrawal {
            index: quantity(&json["index"]),
            validator_index: quantity(&json["validatorIndex"]),
            address: Address(decoded(&json["address"])),
            amount: quantity(&json["amount"]),
        }
    }

    fn payload(json: &Value) -> ExecutionPayload {
        ExecutionPayload {
            parent_hash: ExecutionHash::new(decoded(&json["parentHash"])),
            fee_recipient: Address(decoded(&json["feeRecipient"])),
            state_root: B256::new(decoded(&json["stateRoot"])),
            receipts_root: B256::new(decoded(&json["receiptsRoot"])),
            logs_bloom: decoded(&json["logsBloom"]),
            prev_randao: B256::new(decoded(&json["prevRandao"])),
            block_number: Height::new(quantity(&json["blockNumber"])),
            gas_limit: quantity(&json["gasLimit"]),
            gas_used: quantity(&json["gasUsed"]),
            timestamp: quantity(&json["timestamp"]),
            extra_data: many(&json["extraData"]),
            base_fee_per_gas: json["baseFeePerGas"].as_str().unwrap().parse().unwrap(),
            block_hash: ExecutionHash::new(decoded(&json["blockHash"])),
            transactions: json["transactions"].as_array().unwrap().iter().map(many).collect(),
            withdrawals: json["withdrawals"].as_array().unwrap().iter().map(withdrawal).collect(),
        }
    }

    fn real_payloads() -> Vec<ExecutionPayload> {
        let lines = vectors::unpacked("execution/payloads-150.jsonl.gz");
        let lines = String::from_utf8(lines).unwrap();
        lines.lines().map(|line| payload(&serde_json::from_str(line).unwrap())).collect()
    }

    #[test]
    fn gives_the_hash_that_an_execution_client_gave() {
        let payloads = real_payloads();
        assert_eq!(payloads.len(), 150);
        assert!(payloads.iter().any(|payload| payload.transactions.len() > 16));
        for payload in payloads {
            assert_eq!(execution_hash(&payload), payload.block_hash, "{}", payload.block_number);
        }
    }

    #[test]
    fn every_field_but_the_claimed_hash_counts() {
        let original = real_payloads().swap_remove(0);
        let changes: [fn(&mut ExecutionPayload); 14] = [
            |p| p.parent_hash = ExecutionHash::ZERO,
            |p| p.fee_recipient.0[0] ^= 1,
            |p| p.state_root.0[0] ^= 1,
            |p| p.receipts_root.0[0] ^= 1,
            |p| p.logs_bloom[255] ^= 1,
            |p| p.prev_randao.0[0] ^= 1,
            |p| p.block_number = Height::new(2),
            |p| p.gas_limit += 1,
            |p| p.gas_used += 1,
            |p| p.timestamp += 1,
            |p| p.extra_data.push(0),
            |p| p.base_fee_per_gas += U256::from(1),
            |p| p.transactions.push(&[2]),
            |p| p.withdrawals[3].amount += 1,
        ];
        for (index, change) in changes.iter().enumerate() {
            let mut changed = original.clone();
            change(&mut changed);
            assert_ne!(execution_hash(&changed), original.block_hash, "change {index}");
        }
        let mut claims = original.clone();
        claims.block_hash = ExecutionHash::ZERO;
        assert_eq!(execution_hash(&claims), original.block_hash);
    }

    #[test]
    fn extreme_values_have_a_hash() {
        let mut payload = real_payloads().swap_remove(0);
        payload.block_number = Height::new(u64::MAX);
        payload.timestamp = u64::MAX;
        payload.base_fee_per_gas = U256::MAX;
        payload.extra_data.clear();
        payload.withdrawals.clear();
        for count in [0, 1, 2, 127, 128, 129, 256, 70_000] {
            let empty: &[u8] = &[];
            payload.transactions = std::iter::repeat_n(empty, count).collect::<ByteLists>();
            assert_ne!(execution_hash(&payload), ExecutionHash::ZERO);
        }
    }
}
