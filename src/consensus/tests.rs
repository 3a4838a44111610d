//! The rules against real blocks, with the verdicts that today's nodes gave, and against tampering.

use std::{num::NonZeroU64, sync::Arc};

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::Value;

use super::{
    generate::{GenerateOptions, GeneratedChain, generate},
    *,
};
use crate::{
    types::{BlockRoot, ExecutionHash, Height, Slot},
    wire::{
        block::{AggregateSignature, ApprovalBits, EncodedBlock, SignedBlock},
        vectors::{self, rows},
    },
};

fn block(row: &Value) -> EncodedBlock {
    let raw = hex::decode(row["rmp_hex"].as_str().unwrap()).unwrap();
    EncodedBlock::decode(raw.into()).unwrap()
}

fn encoded(block: &SignedBlock) -> EncodedBlock {
    EncodedBlock::decode(block.encode().into()).unwrap()
}

fn operators_spec() -> ChainSpec {
    ChainSpec::from_json(&String::from_utf8(vectors::file("chain-spec.json")).unwrap()).unwrap()
}

fn verifier() -> Verifier {
    Verifier::new(Arc::new(operators_spec()))
}

/// The first `count` blocks of the long real chain, genesis first.
fn real_chain(count: usize) -> Vec<EncodedBlock> {
    let bytes = Bytes::from(vectors::unpacked("chain-5000.bin.gz"));
    let mut start = 0;
    (0..count)
        .map(|_| {
            let length = u32::from_le_bytes(bytes[start..start + 4].try_into().unwrap());
            let end = start + 4 + usize::try_from(length).unwrap();
            let raw = bytes.slice(start + 4..end);
            start = end;
            EncodedBlock::decode(raw).unwrap()
        })
        .collect()
}

#[test]
fn real_blocks_get_the_verdict_that_todays_nodes_give() {
    for row in rows::<Value>("chain.json") {
        let block = block(&row);
        let verdict = verifier().verify(block.clone());
        let height = row["height"].as_u64().unwrap();
        match row["majority_approved"].as_str().unwrap() {
            "Ok(true)" => {
                let verified = verdict.unwrap();
                assert_eq!(verified.block_ref(), block.block_ref());
                assert_eq!(verified.raw(), block.raw());
                assert_eq!(verified.signers().count() as u64, row["num_approvals"]);
            }
            "Ok(false)" => assert!(
                matches!(verdict, Err(BlockFault::NoMajority { majority: 4, .. })),
                "block {height}: {verdict:?}"
            ),
            other => assert!(verdict.is_err(), "block {height}: {other}, {verdict:?}"),
        }
    }
}

#[test]
fn each_negative_vector_is_refused_for_its_own_reason() {
    use BlockFault::{InvalidSignature, NoMajority};
    let no_majority = |signers| Err(NoMajority { signers, majority: 4 });
    let invalid = |signers| Err(InvalidSignature { signers });
    for row in rows::<Value>("negative.json") {
        let name = row["name"].as_str().unwrap();
        let verdict = verifier().verify(block(&row)).map(|block| block.signers().count());
        let expected = match name {
            "control_valid_5" | "reordered_authorities_all5" | "fewer_authorities" => Ok(5),
            "genesis_empty"
            | "signature_without_bits"
            | "infinity_no_bits"
            | "only_bits_beyond_authorities" => no_majority(0),
            "control_valid_1" | "duplicate_approval_ignored" => no_majority(1),
            "tampered_bits_removed" => no_majority(2),
            "wrong_signer_set"
            | "tampered_tx"
            | "bits_without_signature"
            | "infinity_with_bits"
            | "bitlist_len5"
            | "bitlist_len8"
            | "reordered_authorities" => no_majority(3),
            "tampered_bits_added" => invalid(4),
            "tampered_gas_used" | "tampered_slot" | "tampered_pegins" => invalid(5),
            // Today's nodes accept these two: they count bits that belong to nobody.
            "phantom_majority_one_signer" => no_majority(1),
            "bits_beyond_authorities" => no_majority(3),
            unknown => panic!("no verdict is written down for {unknown}"),
        };
        assert_eq!(verdict, expected, "{name}");
        let stricter = ["phantom_majority_one_signer", "bits_beyond_authorities"].contains(&name);
        let accepted_today = row["majority_approved"] == "Ok(true)";
        assert_eq!(verdict.is_ok(), accepted_today && !stricter, "{name}");
        if let Err(fault) = verdict {
            assert!(fault.is_provable_lie(), "{name}");
        }
    }
}

#[test]
fn signatures_of_negative_vectors_verify_as_with_todays_nodes() {
    let spec = operators_spec();
    let all = spec.authorities_at(Height::GENESIS).keys().to_vec();
    for row in rows::<Value>("negative.json").into_iter().chain(rows("chain.json")) {
        let keys: Vec<_> = match row["authorities"].as_str() {
            Some("reversed") => all.iter().rev().copied().collect(),
            Some("first3") => all[..3].to_vec(),
            Some("default") | None => all.clone(),
            Some(other) => panic!("unknown list {other}"),
        };
        let block = block(&row);
        let approval = block.approval();
        let set = AuthoritySet::new(keys).unwrap();
        let signers = SignerSet::below(set.len(), approval.bits.signers_below(set.len()));
        let valid = bls::Signature::from_bytes(approval.signature.as_bytes())
            .is_ok_and(|sig| bls::fast_aggregate_verify(&block.root(), set.keys_of(signers), &sig));
        let name = row["name"].as_str().or(row["what"].as_str()).unwrap();
        assert_eq!(valid, row["verify_signature"], "{name}");
    }
}

/// Weights for tests, where nobody attacks.
struct Spread(u64);

impl batch::Weights for Spread {
    fn draw(&mut self) -> NonZeroU64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        NonZeroU64::new(self.0).unwrap_or(NonZeroU64::MIN)
    }
}

/// Holds the verdicts on `blocks` in three steps, together and alone, against those in one step.
/// Returns the faults.
fn compare_steps(verifier: &Verifier, blocks: &[EncodedBlock]) -> Vec<BlockFault> {
    let summary = |verdict: Result<VerifiedBlock, _>| {
        verdict.map(|block| (block.link_point(), block.signers(), block.raw().clone()))
    };
    let claimed: Vec<_> = blocks.iter().map(|block| verifier.claim(block.clone())).collect();
    let ready: Vec<_> = claimed.iter().flatten().cloned().collect();
    let (together, _) = attest(&ready, &mut Spread(7));
    let mut together = together.into_iter();
    let mut faults = Vec::new();
    for (block, claimed) in blocks.iter().zip(claimed) {
        let expected = summary(verifier.verify(block.clone()));
        let content = |attested| summary(verifier.check_content(attested));
        match claimed {
            Ok(claimed) => {
                assert_eq!(together.next().unwrap().and_then(content), expected);
                assert_eq!(claimed.attest_alone().and_then(content), expected);
            }
            Err(fault) => assert_eq!(Err(fault), expected),
        }
        faults.extend(expected.err());
    }
    faults
}

#[test]
fn blocks_get_the_same_verdict_together_alone_and_in_one_step() {
    let vectors = rows::<Value>("chain.json").into_iter().chain(rows("negative.json"));
    let blocks: Vec<_> = vectors.map(|row| block(&row)).collect();
    let faults = compare_steps(&verifier(), &blocks);
    assert!(faults.len() > 10 && faults.len() < blocks.len() - 10, "some of each");
    let chain = generated();
    let everybody = SignerSet::below(5, 0..5);
    let changed = |signed: bool, change: fn(&mut SignedBlock)| {
        let mut block = chain.blocks().next().unwrap().to_block();
        change(&mut block);
        if signed {
            block.approval = chain.authorities().approve(&block.message.root(), everybody);
        }
        encoded(&block)
    };
    let ahead = |block: &mut SignedBlock| block.message.slot = Slot::new(u64::MAX);
    let more_gas = |block: &mut SignedBlock| block.message.execution_payload.gas_used += 1;
    let no_point = |block: &mut SignedBlock| {
        block.approval.signature = AggregateSignature::new([0xff; 96]).unwrap();
    };
    let mut blocks: Vec<_> = chain.blocks().collect();
    blocks.extend([changed(true, ahead), changed(true, more_gas), changed(false, more_gas)]);
    blocks.extend([changed(false, no_point), changed(false, ahead), chain.genesis().clone()]);
    let plain = Verifier::new(Arc::clone(chain.spec()));
    let faults = compare_steps(&plain, &blocks);
    // The second time all valid signatures are known, and nothing else is.
    let remembering = plain.remembering(1_000);
    assert_eq!(compare_steps(&remembering, &blocks), faults);
    assert_eq!(compare_steps(&remembering, &blocks), faults);
    let known: Vec<_> = chain.blocks().map(|block| remembering.claim(block).unwrap()).collect();
    let (verdicts, group_checks) = attest(&known, &mut Spread(7));
    assert!(verdicts.iter().all(Result::is_ok) && group_checks == 0);
    assert!(
        matches!(
            faults[..],
            [
                BlockFault::SlotInFuture { .. },
                BlockFault::WrongExecutionHash { .. },
                BlockFault::InvalidSignature { .. },
                BlockFault::InvalidSignature { .. },
                BlockFault::InvalidSignature { .. },
                BlockFault::NoMajority { .. },
            ]
        ),
        "{faults:?}"
    );
}

#[test]
fn a_stretch_of_the_long_real_chain_verifies_and_links() {
    let mut blocks = real_chain(65).into_iter();
    let genesis = Genesis::from_block(blocks.next().unwrap()).unwrap();
    let verifier = verifier();
    let mut tip = genesis.link_point();
    for block in blocks {
        let block = verifier.verify(block).unwrap();
        links(&tip, &block).unwrap();
        let all_signed = block.height().get().is_multiple_of(2);
        assert_eq!(block.signers().count(), if all_signed { 5 } else { 4 });
        tip = block.link_point();
    }
    assert_eq!(tip.height, Height::new(64));
}

#[test]
fn synthetic_payloads_are_refused_unless_the_specification_allows_them() {
    let mut spec = operators_spec();
    spec.synthetic_payloads = false;
    let block = real_chain(2).remove(1);
    let fault = Verifier::new(Arc::new(spec)).verify(block).unwrap_err();
    assert!(matches!(fault, BlockFault::WrongExecutionHash { .. }), "{fault}");
    assert!(!fault.is_provable_lie(), "the authorities signed it");
}

fn generated() -> GeneratedChain {
    generate(GenerateOptions { blocks: 3, ..GenerateOptions::default() }).unwrap()
}

/// The verdict on block 1 of a generated chain after `change`, signed again by everybody.
fn verdict_signed(change: impl FnOnce(&mut SignedBlock)) -> Result<VerifiedBlock, BlockFault> {
    let chain = generated();
    let mut block = chain.blocks().next().unwrap().to_block();
    change(&mut block);
    let everybody = SignerSet::below(5, 0..5);
    block.approval = chain.authorities().approve(&block.message.root(), everybody);
    Verifier::new(Arc::clone(chain.spec())).verify(encoded(&block))
}

/// The verdict on block 1 of a generated chain after `change`, with its old signature.
fn verdict_tampered(change: impl FnOnce(&mut SignedBlock)) -> Result<VerifiedBlock, BlockFault> {
    let chain = generated();
    let mut block = chain.blocks().next().unwrap().to_block();
    change(&mut block);
    Verifier::new(Arc::clone(chain.spec())).verify(encoded(&block))
}

#[test]
fn a_slot_in_the_future_convicts_the_signers_not_the_sender() {
    let ahead = |slots| {
        move |block: &mut SignedBlock| {
            let latest = block.message.execution_payload.timestamp * 1000 / LEGACY_SLOT_MS + 1;
            block.message.slot = Slot::new(latest + slots);
        }
    };
    verdict_signed(ahead(0)).unwrap();
    let fault = verdict_signed(ahead(1)).unwrap_err();
    assert!(matches!(fault, BlockFault::SlotInFuture { .. }), "{fault}");
    assert!(!fault.is_provable_lie());
    let fault = verdict_tampered(ahead(1)).unwrap_err();
    assert!(matches!(fault, BlockFault::InvalidSignature { .. }), "{fault}");
    assert!(fault.is_provable_lie(), "whoever sent it changed it or took it from such a one");
}

#[test]
fn a_wrong_execution_hash_convicts_the_signers_not_the_sender() {
    let more_gas = |block: &mut SignedBlock| block.message.execution_payload.gas_used += 1;
    let fault = verdict_signed(more_gas).unwrap_err();
    assert!(matches!(fault, BlockFault::WrongExecutionHash { .. }), "{fault}");
    assert!(!fault.is_provable_lie());
    let fault = verdict_tampered(more_gas).unwrap_err();
    assert!(matches!(fault, BlockFault::InvalidSignature { .. }), "{fault}");
}

#[test]
fn the_authorities_and_the_slot_duration_of_the_blocks_height_decide() {
    let chain = generated();
    let block = chain.blocks().next().unwrap();
    let others = generate(GenerateOptions { seed: 99, ..GenerateOptions::default() }).unwrap();
    let mut spec = ChainSpec::clone(chain.spec());
    let set = others.authorities().set().clone();
    spec.authorities.then_from(Height::new(2), set.clone()).unwrap();
    Verifier::new(Arc::new(spec)).verify(block.clone()).unwrap();
    let mut spec = ChainSpec::clone(chain.spec());
    spec.authorities.then_from(Height::new(1), set).unwrap();
    let fault = Verifier::new(Arc::new(spec)).verify(block.clone()).unwrap_err();
    assert!(matches!(fault, BlockFault::InvalidSignature { .. }), "{fault}");
    let mut spec = ChainSpec::clone(chain.spec());
    // Both clauses of the slot rule count slots from the epoch, so only a slot number beyond that
    // of 3 s slots tells durations apart: one that is in time with slots of 1 s.
    spec.slot_durations.then_from(Height::new(1), SlotDuration::from_ms(1000).unwrap()).unwrap();
    let mut quick = block.to_block();
    quick.message.slot = Slot::new(quick.message.execution_payload.timestamp);
    let everybody = SignerSet::below(5, 0..5);
    quick.approval = chain.authorities().approve(&quick.message.root(), everybody);
    let quick = encoded(&quick);
    Verifier::new(Arc::new(spec)).verify(quick.clone()).unwrap();
    let fault = Verifier::new(Arc::clone(chain.spec())).verify(quick).unwrap_err();
    assert!(matches!(fault, BlockFault::SlotInFuture { .. }), "{fault}");
}

#[test]
fn signature_bytes_that_are_no_point_are_an_invalid_signature() {
    for bytes in [[0x80; 96], [0xff; 96], [0; 96]] {
        let fault = verdict_tampered(|block| {
            block.approval.signature = AggregateSignature::new(bytes).unwrap();
        });
        assert!(matches!(fault, Err(BlockFault::InvalidSignature { .. })));
    }
}

#[test]
fn links_only_the_next_block_to_the_block_it_names() {
    let chain = generated();
    let verifier = Verifier::new(Arc::clone(chain.spec()));
    let blocks: Vec<_> = chain.blocks().map(|block| verifier.verify(block).unwrap()).collect();
    let genesis = Genesis::from_block(chain.genesis().clone()).unwrap().link_point();
    links(&genesis, &blocks[0]).unwrap();
    links(&blocks[0].link_point(), &blocks[1]).unwrap();
    let fault = links(&genesis, &blocks[1]).unwrap_err();
    assert!(matches!(fault, LinkFault::Parent { .. }), "{fault}");
    let fault = links(&blocks[0].link_point(), &blocks[0]).unwrap_err();
    assert!(matches!(fault, LinkFault::Parent { .. }), "{fault}");
    for height in [Height::new(2), Height::new(u64::MAX)] {
        let elsewhere = LinkPoint { height, ..genesis };
        let fault = links(&elsewhere, &blocks[0]).unwrap_err();
        assert!(matches!(fault, LinkFault::Height { .. }), "{fault}");
    }
    let other = LinkPoint { execution_hash: ExecutionHash::ZERO, ..genesis };
    let fault = links(&other, &blocks[0]).unwrap_err();
    assert!(matches!(fault, LinkFault::ExecutionParent { .. }), "{fault}");
}

#[test]
fn genesis_has_neither_height_nor_parent() {
    let blocks = real_chain(2);
    let genesis = Genesis::from_block(blocks[0].clone()).unwrap();
    assert_eq!(genesis.root(), blocks[1].parent());
    assert_eq!(genesis.raw(), blocks[0].raw());
    let height = Genesis::from_block(blocks[1].clone()).unwrap_err();
    assert_eq!(height, GenesisError::Height { height: Height::new(1) });
    let mut adopted = blocks[0].to_block();
    let parent = BlockRoot::new([1; 32]);
    adopted.message.parent_hash = parent;
    let fault = Genesis::from_block(encoded(&adopted)).unwrap_err();
    assert_eq!(fault, GenesisError::Parent { parent });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn bits_that_belong_to_nobody_never_change_a_verdict(
        which in 0..23_usize,
        extra in proptest::collection::vec(5..15_usize, 1..6),
    ) {
        let original = block(&rows::<Value>("negative.json")[which]);
        let mut more = original.to_block();
        let honest = more.approval.bits.signers_below(5);
        more.approval.bits = ApprovalBits::of_signers(honest.chain(extra)).unwrap();
        let verdict = |block| verifier().verify(block).map(|block| block.signers());
        prop_assert_eq!(verdict(encoded(&more)), verdict(original));
    }
}
