//! What generated blocks carry: everything but links, hashes and signatures.

use alloy_primitives::{B256, U256};
use alloy_trie::EMPTY_ROOT_HASH;
use rand::{Rng, RngCore, SeedableRng, rngs::StdRng};
use sha2::{Digest, Sha256};

use super::{GenerateOptions, Transactions};
use crate::{
    consensus::{chain_spec::ChainSpec, payload_hash::execution_hash},
    types::{BlockRoot, ExecutionHash, Height, Slot},
    wire::block::{
        Address, AggregateApproval, AggregateSignature, ApprovalBits, AuxPowHeader, ConsensusBlock,
        EncodedBlock, ExecutionPayload, SignedBlock, Withdrawal,
    },
};

/// Gas that a block may use. Unit: gas. Source: the limit that the network's blocks state. Nothing
/// here runs, so other figures change nothing.
const GAS_LIMIT: u64 = 30_000_000;

/// Gas of a plain transfer. Unit: gas. Source: the execution rules.
const TRANSFER_GAS: u64 = 21_000;

/// Base fee of every block. Unit: wei per gas. Source: the usual start value, one gwei.
const BASE_FEE_WEI: u64 = 1_000_000_000;

/// One block in so many carries withdrawals, to have their root among the checked ones.
const BLOCKS_PER_WITHDRAWAL: u32 = 16;

/// What stands in the extra data, so that a generated block is known for one.
const EXTRA_DATA: &[u8] = b"alys-sync generated";

/// The source of everything random in the block at `height`: the same however many blocks are made
/// at once.
pub(super) fn block_rng(seed: u64, height: Height) -> StdRng {
    let digest = Sha256::new()
        .chain_update(b"alys-sync block")
        .chain_update(seed.to_be_bytes())
        .chain_update(height.get().to_be_bytes())
        .finalize();
    StdRng::from_seed(digest.into())
}

/// Block 0: no transactions, no signers, the start of proof of work.
pub(super) fn genesis(options: &GenerateOptions, spec: &ChainSpec) -> EncodedBlock {
    let mut rng = block_rng(options.seed, Height::GENESIS);
    let mut payload = payload(&mut rng, Transactions::Fixed { per_block: 0, bytes: 0 });
    payload.timestamp = options.genesis_time;
    payload.withdrawals.clear();
    payload.block_hash = execution_hash(&payload);
    let message = ConsensusBlock {
        auxpow_header: Some(AuxPowHeader {
            range_start: BlockRoot::ZERO,
            range_end: BlockRoot::ZERO,
            bits: spec.bits,
            chain_id: spec.chain_id,
            height: 0,
            auxpow: None,
            fee_recipient: Address::default(),
        }),
        ..message(BlockRoot::ZERO, Slot::new(0), payload)
    };
    let approval =
        AggregateApproval { bits: ApprovalBits::NONE, signature: AggregateSignature::NONE };
    encoded(&SignedBlock { message, approval })
}

/// The block as verifiers get it.
pub(super) fn encoded(block: &SignedBlock) -> EncodedBlock {
    EncodedBlock::decode(block.encode().into())
        .expect("an encoding is canonical, and transactions are bounded so that it is not too long")
}

/// A block with this payload and nothing of Bitcoin.
pub(super) fn message(
    parent_hash: BlockRoot,
    slot: Slot,
    execution_payload: ExecutionPayload,
) -> ConsensusBlock {
    ConsensusBlock {
        parent_hash,
        slot,
        auxpow_header: None,
        execution_payload,
        pegins: Vec::new(),
        pegout_payment_proposal: None,
        finalized_pegouts: Vec::new(),
    }
}

/// A payload that lacks what depends on its place in the chain: parent, number, time and hash.
pub(super) fn payload(rng: &mut StdRng, transactions: Transactions) -> ExecutionPayload {
    let transactions = transactions.draw(rng);
    let count = u64::try_from(transactions.len()).expect("a block holds fewer than 2^64");
    let mut logs_bloom = [0; 256];
    for _ in 0..3 * count {
        logs_bloom[rng.random_range(0..256)] |= 1 << rng.random_range(0..8);
    }
    ExecutionPayload {
        parent_hash: ExecutionHash::ZERO,
        fee_recipient: address(rng),
        state_root: digest(rng),
        receipts_root: if count == 0 { EMPTY_ROOT_HASH } else { digest(rng) },
        logs_bloom,
        prev_randao: digest(rng),
        block_number: Height::GENESIS,
        gas_limit: GAS_LIMIT,
        gas_used: (TRANSFER_GAS * count).min(GAS_LIMIT),
        timestamp: 0,
        extra_data: EXTRA_DATA.to_vec(),
        base_fee_per_gas: U256::from(BASE_FEE_WEI),
        block_hash: ExecutionHash::ZERO,
        transactions,
        withdrawals: withdrawals(rng),
    }
}

fn withdrawals(rng: &mut StdRng) -> Vec<Withdrawal> {
    if !rng.random_ratio(1, BLOCKS_PER_WITHDRAWAL) {
        return Vec::new();
    }
    (0..rng.random_range(1..=3))
        .map(|_| Withdrawal {
            index: 0,
            validator_index: 0,
            address: address(rng),
            amount: rng.random_range(1..=1_000_000_000),
        })
        .collect()
}

fn digest(rng: &mut StdRng) -> B256 {
    let mut bytes = [0; 32];
    rng.fill_bytes(&mut bytes);
    bytes.into()
}

fn address(rng: &mut StdRng) -> Address {
    let mut bytes = [0; 20];
    rng.fill_bytes(&mut bytes);
    Address(bytes)
}
