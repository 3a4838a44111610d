//! The block codec against the golden vectors and its own laws.

use std::collections::BTreeSet;

use bytes::Bytes;
use proptest::prelude::*;
use serde::Deserialize;

use super::{
    APPROVAL_BITS_MAX, Address, AggregateSignature, ApprovalBits, AuxPowHeader, BLOCK_BYTES_MAX,
    BlockError, ByteLists, EncodedBlock, ExecutionPayload, SignedBlock, arbitrary,
    bitcoin::{Header, Transaction},
    signing_root,
};
use crate::{
    types::{BlockRoot, Height},
    wire::{
        msgpack::{DecodeError, Fault, Reader, Writer},
        vectors::{self, BlockRow, Hex},
    },
};

fn root_of(bytes: &Hex) -> BlockRoot {
    BlockRoot::new(bytes.0.clone().try_into().unwrap())
}

fn check_row(row: &BlockRow) {
    let raw = &row.encoded.0;
    assert_eq!(raw.len(), row.encoded_bytes, "{}", row.label);
    let (block, spans) = SignedBlock::read(Reader::new(raw)).unwrap();
    assert_eq!(spans.message, 1..1 + row.message_bytes, "{}", row.label);
    assert_eq!(&block.encode(), raw, "{}", row.label);
    assert_eq!(block.message.encode(), raw[spans.message], "{}", row.label);
    assert_eq!(block.message.root(), root_of(&row.canonical_root), "{}", row.label);

    let encoded = EncodedBlock::decode(Bytes::copy_from_slice(raw)).unwrap();
    assert_eq!(encoded.root(), root_of(&row.canonical_root), "{}", row.label);
    assert_eq!(encoded.height(), Height::new(row.block_ref.height), "{}", row.label);
    assert_eq!(encoded.raw(), raw, "{}", row.label);

    let approval = &block.approval;
    assert_eq!(
        Some(approval.bits),
        ApprovalBits::from_bytes(&row.aggregation_bits_ssz.0),
        "{}",
        row.label
    );
    assert_eq!(approval.bits.count_below(APPROVAL_BITS_MAX), row.num_approvals, "{}", row.label);
    assert_eq!(approval.signature.as_bytes().as_slice(), row.aggregate_signature.0);
}

#[test]
fn every_block_of_the_golden_chain_decodes_and_encodes_to_its_bytes_and_root() {
    let rows: Vec<BlockRow> = vectors::rows("chain.json");
    assert_eq!(rows.len(), 21);
    rows.iter().for_each(check_row);
}

#[test]
fn blocks_with_bad_signatures_are_still_well_formed() {
    let rows: Vec<BlockRow> = vectors::rows("negative.json");
    assert_eq!(rows.len(), 23);
    rows.iter().for_each(check_row);
}

#[test]
fn golden_chain_is_linked_by_roots() {
    let rows: Vec<BlockRow> = vectors::rows("chain.json");
    let blocks: Vec<_> = rows
        .iter()
        .map(|row| EncodedBlock::decode(row.encoded.0.clone().into()).unwrap())
        .collect();
    assert!(blocks.windows(2).all(|pair| pair[1].parent() == pair[0].root()));
    assert_eq!(blocks[0].parent(), BlockRoot::ZERO);
}

#[derive(Deserialize)]
struct DecodeCase {
    name: String,
    input_hex: Hex,
    decodes: bool,
    #[serde(default)]
    reencodes_identically: bool,
}

fn case(name: &str) -> DecodeCase {
    let cases: Vec<DecodeCase> = vectors::rows("decode_cases.json");
    cases.into_iter().find(|case| case.name == name).unwrap()
}

fn encoding_fault(name: &str) -> (&'static str, Fault) {
    match SignedBlock::decode(&case(name).input_hex.0) {
        Err(BlockError::Encoding(DecodeError { field, fault, .. })) => (field, fault),
        other => panic!("{name}: {other:?}"),
    }
}

macro_rules! accepted_by_both {
    ($($test:ident = $name:literal;)+) => {$(
        #[test]
        fn $test() {
            let case = case($name);
            assert!(case.decodes && case.reencodes_identically);
            assert_eq!(SignedBlock::decode(&case.input_hex.0).unwrap().encode(), case.input_hex.0);
        }
    )+};
}

macro_rules! refused_by_both {
    ($($test:ident = $name:literal, $field:literal, $fault:pat,)+) => {$(
        #[test]
        fn $test() {
            assert!(!case($name).decodes);
            let refusal = encoding_fault($name);
            assert!(matches!(refusal, ($field, $fault)), "{refusal:?}");
        }
    )+};
}

macro_rules! old_decoder_is_lenient_we_refuse {
    ($($test:ident = $name:literal, $field:literal, $fault:pat,)+) => {$(
        #[test]
        fn $test() {
            let case = case($name);
            assert!(case.decodes && !case.reencodes_identically);
            let refusal = encoding_fault($name);
            assert!(matches!(refusal, ($field, $fault)), "{refusal:?}");
        }
    )+};
}

accepted_by_both! {
    accepts_an_ordinary_block = "control";
    accepts_a_bit_list_of_five_and_keeps_its_length = "bits_len5";
}

refused_by_both! {
    refuses_a_missing_last_byte = "truncated_1",
        "approval.aggregate_signature", Fault::InputEnds { missing: 1 },
    refuses_no_bytes = "empty", "block", Fault::InputEnds { missing: 1 },
    refuses_a_signature_without_prefix = "signature_no_0x",
        "approval.aggregate_signature", Fault::NoHexPrefix,
    refuses_an_uncompressed_signature = "signature_uncompressed_flag",
        "approval.aggregate_signature", Fault::NotCompressed,
    refuses_a_signature_of_95_bytes = "signature_95_bytes",
        "approval.aggregate_signature", Fault::WrongLength { expected: 192, found: 190 },
    refuses_gas_limit_in_hex = "gas_limit_hex", "execution_payload.gas_limit", Fault::NoDecimal,
    refuses_extra_data_of_33_bytes = "extra_data_33_bytes",
        "execution_payload.extra_data", Fault::TooLong { max: 32, found: 33 },
    refuses_extra_data_of_odd_digits = "extra_data_odd_hex",
        "execution_payload.extra_data", Fault::OddHexDigits,
    refuses_a_bloom_of_255_bytes = "logs_bloom_255_bytes",
        "execution_payload.logs_bloom", Fault::WrongLength { expected: 512, found: 510 },
    refuses_a_bit_list_of_16 = "bits_too_long",
        "approval.aggregation_bits", Fault::TooLong { max: 2, found: 3 },
    refuses_a_bit_list_without_end_mark = "bits_no_sentinel",
        "approval.aggregation_bits", Fault::NoApprovalBits,
    refuses_an_empty_bit_list = "bits_empty", "approval.aggregation_bits", Fault::NoApprovalBits,
    refuses_a_missing_field = "missing_field",
        "message", Fault::WrongLength { expected: 7, found: 6 },
    refuses_an_extra_field = "extra_field",
        "message", Fault::WrongLength { expected: 7, found: 8 },
    refuses_slot_as_string = "slot_as_string", "slot", Fault::WrongKind { .. },
    refuses_txid_as_string = "pegin_txid_as_hex_string",
        "pegin.txid", Fault::WrongKind { .. },
    refuses_txid_as_array = "pegin_txid_as_array", "pegin.txid", Fault::WrongKind { .. },
}

old_decoder_is_lenient_we_refuse! {
    old_decoder_is_lenient_we_refuse_named_fields = "named_fields",
        "block", Fault::WrongKind { found: 0x82, .. },
    old_decoder_is_lenient_we_refuse_trailing_garbage = "trailing_garbage",
        "block", Fault::TrailingBytes { count: 7 },
    old_decoder_is_lenient_we_refuse_uppercase_signature_hex = "uppercase_signature_hex",
        "approval.aggregate_signature", Fault::NoHexDigit { found: b'A'..=b'F' },
    old_decoder_is_lenient_we_refuse_uppercase_parent_hash = "uppercase_parent_hash",
        "parent_hash", Fault::NoHexDigit { found: b'A'..=b'F' },
    old_decoder_is_lenient_we_refuse_parent_hash_no_0x = "parent_hash_no_0x",
        "parent_hash", Fault::NoHexPrefix,
    old_decoder_is_lenient_we_refuse_parent_hash_bin = "parent_hash_bin",
        "parent_hash", Fault::WrongKind { found: 0xc4, .. },
    old_decoder_is_lenient_we_refuse_gas_limit_as_int = "gas_limit_as_int",
        "execution_payload.gas_limit", Fault::WrongKind { .. },
    old_decoder_is_lenient_we_refuse_gas_limit_leading_zero = "gas_limit_leading_zero",
        "execution_payload.gas_limit", Fault::NoDecimal,
    old_decoder_is_lenient_we_refuse_gas_limit_plus = "gas_limit_plus",
        "execution_payload.gas_limit", Fault::NoDecimal,
    old_decoder_is_lenient_we_refuse_slot_as_u64 = "slot_as_u64", "slot", Fault::NotShortest,
}

#[test]
fn old_decoder_refuses_an_off_curve_signature_we_refuse_it_at_verification() {
    let case = case("signature_not_on_curve_maybe");
    assert!(!case.decodes);
    assert_eq!(SignedBlock::decode(&case.input_hex.0).unwrap().encode(), case.input_hex.0);
}

#[test]
fn every_decode_case_has_its_test() {
    let cases: Vec<DecodeCase> = vectors::rows("decode_cases.json");
    let source = include_str!("tests.rs");
    let names: BTreeSet<_> = cases.iter().map(|case| format!("\"{}\"", case.name)).collect();
    assert_eq!(names.len(), 30);
    let untested: Vec<_> = names.iter().filter(|name| !source.contains(*name)).collect();
    assert!(untested.is_empty(), "{untested:?}");
}

#[test]
fn signing_root_of_short_and_odd_inputs() {
    let root_of_ones = |count| signing_root(&vec![1; count]);
    assert_eq!(signing_root(&[]), BlockRoot::ZERO);
    for (bytes, key) in [(1, "root of [1]"), (33, "root of 33x[1]"), (65, "root of 65x[1]")] {
        assert_eq!(root_of_ones(bytes).as_bytes().as_slice(), vectors::scalar(key), "{key}");
    }
}

#[test]
fn scalar_blocks_have_their_roots() {
    let signed = vectors::scalar("block_a_signed");
    let block = EncodedBlock::decode(signed.clone().into()).unwrap();
    assert_eq!(block.root().as_bytes().as_slice(), vectors::scalar("block_a_root"));
    assert_eq!(block.to_block().message.encode(), vectors::scalar("block_a_message"));
    assert!(signed.ends_with(&vectors::scalar("AA bits0,2")));
    let message = vectors::scalar("block_b_message");
    assert_eq!(signing_root(&message).as_bytes().as_slice(), vectors::scalar("block_b_root"));
    let approval = vectors::scalar("AA empty");
    let block = [&[0x92], message.as_slice(), &approval].concat();
    let decoded = EncodedBlock::decode(block.into()).unwrap();
    assert_eq!(decoded.root().as_bytes().as_slice(), vectors::scalar("block_b_root"));
    assert_eq!(decoded.approval().bits, ApprovalBits::NONE);
    assert!(decoded.approval().signature.is_none());
}

/// Reads a structure of `scalars.txt` and checks that it is written back to the same bytes.
fn structure<T>(
    key: &str,
    read: impl FnOnce(&mut Reader<'_>) -> Result<T, DecodeError>,
    write: impl FnOnce(&T, &mut Writer),
) -> T {
    let bytes = vectors::scalar(key);
    let mut reader = Reader::new(&bytes);
    let value = read(&mut reader).unwrap();
    reader.end("structure").unwrap();
    let mut writer = Writer::default();
    write(&value, &mut writer);
    assert_eq!(writer.into_bytes(), bytes, "{key}");
    value
}

#[test]
fn bitcoin_structures_have_their_golden_form() {
    let header = |key| structure(key, Header::read, Header::write);
    assert_eq!(header("bitcoin Header").version, 0x2000_0000);
    assert_eq!(header("header_version_negative").version, -0x2000_0000);
    assert_eq!(header("header_version_65536").version, 65_536);
    let transaction = structure("Transaction", Transaction::read, Transaction::write);
    let witness = &transaction.input[0].witness;
    assert_eq!(witness.iter().collect::<Vec<_>>(), [&[0xaa, 0xbb][..], &[]]);
    assert_eq!(transaction.output[0].value, 1_000_000);
    let negative = structure("tx version -1 head", Transaction::read, Transaction::write);
    assert_eq!(negative, Transaction { version: -1, ..transaction });
}

#[test]
fn proofs_of_work_and_payloads_have_their_golden_form() {
    let auxpow = |key| structure(key, AuxPowHeader::read, AuxPowHeader::write).auxpow;
    assert_eq!(auxpow("AuxPowHeader none"), None);
    assert!(auxpow("AuxPowHeader full").is_some());
    let payload = ExecutionPayload::read;
    let payload = structure("ExecutionPayloadCapella", payload, ExecutionPayload::write);
    assert_eq!(payload.block_number, Height::new(1));
    let [withdrawal] = payload.withdrawals.as_slice() else { panic!("{payload:?}") };
    assert_eq!((withdrawal.address, withdrawal.amount), (Address([0x77; 20]), 12_345));
}

#[test]
fn five_thousand_real_blocks_decode_encode_and_link() {
    let bytes = vectors::unpacked("chain-5000.bin.gz");
    let mut rest = bytes.as_slice();
    let mut parent = BlockRoot::ZERO;
    let mut height = 0;
    while let Some((length, tail)) = rest.split_first_chunk() {
        let (raw, tail) = tail.split_at(u32::from_le_bytes(*length).try_into().unwrap());
        rest = tail;
        let block = EncodedBlock::decode(Bytes::copy_from_slice(raw)).unwrap();
        assert_eq!(block.to_block().encode(), raw);
        assert_eq!((block.height(), block.parent()), (Height::new(height), parent));
        parent = block.root();
        height += 1;
    }
    assert_eq!(height, 5001);
}

#[test]
fn refuses_more_than_a_block_may_have_before_reading() {
    let bytes = vec![0x92; BLOCK_BYTES_MAX + 1];
    let refusal = BlockError::TooLarge { bytes: BLOCK_BYTES_MAX + 1 };
    assert_eq!(SignedBlock::decode(&bytes), Err(refusal));
}

#[test]
fn refuses_a_list_longer_than_its_input_before_reserving_memory() {
    // The message of block_a up to its transactions, then a header that announces 2^32 - 1 more.
    let message = vectors::scalar("block_a_message");
    let list = message.windows(10).position(|window| window == b"\x91\xa80x010203").unwrap();
    let hostile = [&[0x92], &message[..list], &[0xdd, 0xff, 0xff, 0xff, 0xff, 0xa2]].concat();
    let Err(BlockError::Encoding(refusal)) = SignedBlock::decode(&hostile) else { panic!() };
    assert_eq!((refusal.field, refusal.offset), ("execution_payload.transactions", list + 1));
    assert_eq!(refusal.fault, Fault::TooLong { max: 0, found: 0xffff_ffff });
}

#[test]
fn error_names_field_offset_and_fault() {
    let mut bytes = vectors::scalar("block_a_signed");
    bytes[2] = 0xa0;
    let error = SignedBlock::decode(&bytes).unwrap_err();
    assert_eq!(error.to_string(), "parent_hash at byte 2: hexadecimal text without 0x");
}

#[test]
fn every_one_byte_change_is_refused_or_is_canonical_itself() {
    let block = vectors::scalar("block_a_signed");
    let mut accepted = 0;
    for at in 0..block.len() {
        for change in [0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0xff] {
            let mut changed = block.clone();
            changed[at] ^= change;
            if let Ok(decoded) = SignedBlock::decode(&changed) {
                assert_eq!(decoded.encode(), changed, "byte {at} xor {change:#04x}");
                accepted += 1;
            }
        }
    }
    assert!(accepted > 0, "digits of hashes may change");
}

#[test]
fn every_truncation_is_refused() {
    let block = vectors::scalar("block_a_signed");
    for length in 0..block.len() {
        assert!(SignedBlock::decode(&block[..length]).is_err(), "{length} bytes");
    }
}

#[test]
fn approval_bits_count_only_below_the_number_of_authorities() {
    let bits = ApprovalBits::from_bytes(&[0xe2, 0xff]).unwrap();
    assert_eq!(bits.length(), 15);
    assert_eq!(bits.count_below(5), 1);
    assert_eq!(bits.signers_below(5).collect::<Vec<_>>(), [1]);
    assert_eq!(bits.count_below(15), 11);
    assert_eq!(bits.count_below(usize::MAX), 11);
    assert_eq!(bits.set_below(0), 0);
}

#[test]
fn approval_bits_below_their_own_length_only() {
    let short = ApprovalBits::from_bytes(&[0x3c]).unwrap();
    assert_eq!(short.length(), 5);
    assert_eq!(short.signers_below(15).collect::<Vec<_>>(), [2, 3, 4]);
    assert_ne!(Some(short), ApprovalBits::of_signers([2, 3, 4]));
    assert_eq!(Some(ApprovalBits::NONE), ApprovalBits::from_bytes(&[0x00, 0x80]));
    assert_eq!(ApprovalBits::of_signers([0, 2]), ApprovalBits::from_bytes(&[0x05, 0x80]));
    assert_eq!(ApprovalBits::of_signers([15]), None);
    for refused in [&[][..], &[0], &[1], &[0x1c, 0], &[0, 0, 1]] {
        assert_eq!(ApprovalBits::from_bytes(refused), None, "{refused:?}");
    }
}

#[test]
fn signature_is_none_or_flagged_compressed() {
    let mut bytes = [0; 96];
    assert_eq!(AggregateSignature::new(bytes), Some(AggregateSignature::NONE));
    bytes[95] = 1;
    assert_eq!(AggregateSignature::new(bytes), None);
    bytes[0] = 0x80;
    assert!(!AggregateSignature::new(bytes).unwrap().is_none());
}

#[test]
fn byte_lists_keep_empty_strings_apart() {
    let lists: ByteLists = [&b""[..], b"ab", b"", b"c"].into_iter().collect();
    assert_eq!(lists.len(), 4);
    assert_eq!(lists.bytes_total(), 3);
    assert_eq!(lists.iter().collect::<Vec<_>>(), [&b""[..], b"ab", b"", b"c"]);
}

/// The root by its definition, level by level with everything padded first.
fn naive_root(message: &[u8]) -> BlockRoot {
    use sha2::{Digest, Sha256};
    let chunks = message.len().div_ceil(32).max(1).next_power_of_two();
    let mut level = message.to_vec();
    level.resize(32 * chunks, 0);
    while level.len() > 32 {
        level = level.chunks(64).flat_map(|pair| Sha256::digest(pair).to_vec()).collect();
    }
    BlockRoot::new(level.try_into().unwrap())
}

proptest! {
    #[test]
    fn any_block_survives_encoding(block in arbitrary::signed_block()) {
        let bytes = block.encode();
        prop_assert!(bytes.len() <= BLOCK_BYTES_MAX);
        prop_assert_eq!(SignedBlock::decode(&bytes).unwrap(), block.clone());
        prop_assert_eq!(EncodedBlock::decode(bytes.into()).unwrap().root(), block.message.root());
    }

    #[test]
    fn any_change_of_any_block_is_refused_or_canonical(
        block in arbitrary::signed_block(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut bytes = block.encode();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(decoded) = SignedBlock::decode(&bytes) {
            prop_assert_eq!(decoded.encode(), bytes);
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let block = [&[0x92, 0x97][..], &bytes].concat();
        let _ = SignedBlock::decode(&bytes);
        let _ = SignedBlock::decode(&block);
    }

    #[test]
    fn signing_root_follows_its_definition(
        message in prop::collection::vec(any::<u8>(), 0..700)
    ) {
        prop_assert_eq!(signing_root(&message), naive_root(&message));
    }
}
