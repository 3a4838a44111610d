//! Responses against the golden vectors, and in arbitrary pieces.

use std::{collections::BTreeSet, time::Duration};

use bytes::Bytes;
use proptest::prelude::*;
use serde::Deserialize;

use super::{
    BLOCK_BYTES_MAX, Chunk, ChunkDecoder, ChunkError, ChunkHeader, ChunkProgress, ErrorChunk,
    ErrorText, ResponseCode, UnsendableBlock, encode_block_chunk, encode_error_chunk,
};
use crate::{
    types::BlockRoot,
    wire::{
        block::{BlockError, EncodedBlock},
        framing::FrameError,
        msgpack::Fault,
        protocol::Protocol,
        request::{FixedMessage, Metadata, Ping, Status},
        vectors::{self, BlockRow, Hex},
    },
};

/// Feeds `pieces` to `decoder`. What it gave, and how the response ended.
fn feed(
    mut decoder: ChunkDecoder,
    pieces: &[&[u8]],
) -> (Vec<ChunkProgress>, Result<(), ChunkError>) {
    let mut progress = Vec::new();
    for piece in pieces {
        let mut input = *piece;
        loop {
            match decoder.advance(&mut input) {
                Ok(Some(step)) => progress.push(step),
                Ok(None) => break,
                Err(error) => return (progress, Err(error)),
            }
        }
        assert!(input.is_empty(), "no progress means all input was taken");
    }
    let end = decoder.finish();
    (progress, end)
}

fn chunks(progress: Vec<ChunkProgress>) -> Vec<Chunk> {
    let chunk = |step| match step {
        ChunkProgress::Chunk(chunk) => Some(chunk),
        ChunkProgress::Header(_) => None,
    };
    progress.into_iter().filter_map(chunk).collect()
}

/// The chunks of a whole response of blocks, or why it is refused.
fn block_chunks(wire: &[u8]) -> Result<Vec<Chunk>, ChunkError> {
    let (progress, end) = feed(ChunkDecoder::for_blocks(), &[wire]);
    end.map(|()| chunks(progress))
}

fn body(chunk: &Chunk) -> &Bytes {
    match chunk {
        Chunk::Body(body) => body,
        Chunk::Error(error) => panic!("{error:?}"),
    }
}

#[derive(Deserialize)]
struct ResponseRow {
    name: String,
    protocol: String,
    wire_hex: Hex,
}

fn response(name: &str) -> ResponseRow {
    let rows: Vec<ResponseRow> = vectors::rows("rpc_responses.json");
    rows.into_iter().find(|row| row.name == name).unwrap()
}

fn decoder_of(row: &ResponseRow) -> ChunkDecoder {
    let protocol = Protocol::ALL.into_iter().find(|protocol| protocol.id() == row.protocol);
    ChunkDecoder::new(protocol.unwrap().response_limits().unwrap())
}

/// The one chunk of a golden response.
fn only_chunk(row: &ResponseRow) -> Chunk {
    let (progress, end) = feed(decoder_of(row), &[&row.wire_hex.0]);
    assert_eq!(end, Ok(()), "{}", row.name);
    let [ChunkProgress::Header(header), ChunkProgress::Chunk(chunk)] = progress.as_slice() else {
        panic!("{}: {progress:?}", row.name)
    };
    let (error, body_bytes) = match chunk {
        Chunk::Body(body) => (None, body.len()),
        Chunk::Error(error) => (Some(error.code), error.text.as_bytes().len()),
    };
    assert_eq!(*header, ChunkHeader { error, body_bytes }, "{}", row.name);
    chunk.clone()
}

#[test]
fn golden_blocks_come_out_of_their_chunks_and_go_back_to_the_same_bytes() {
    let blocks: Vec<BlockRow> = vectors::rows("chain.json");
    for (height, block) in blocks.iter().enumerate() {
        let row = response(&format!("block_{height}"));
        let raw = &block.encoded.0;
        assert_eq!(body(&only_chunk(&row)), raw, "{}", row.name);
        assert_eq!(encode_block_chunk(raw).unwrap(), row.wire_hex.0, "{}", row.name);
    }
}

#[test]
fn golden_errors_come_out_of_their_chunks_and_go_back_to_the_same_bytes() {
    let rows: Vec<ResponseRow> = vectors::rows("rpc_responses.json");
    let errors: Vec<_> = rows.iter().filter(|row| row.name.starts_with("error_")).collect();
    assert_eq!(errors.len(), 14);
    for row in errors {
        let Chunk::Error(error) = only_chunk(row) else { panic!("{}", row.name) };
        assert_eq!(error.code.to_byte(), row.wire_hex.0[0], "{}", row.name);
        assert_eq!(encode_error_chunk(&error), row.wire_hex.0, "{}", row.name);
    }
}

#[test]
fn golden_error_texts_are_readable() {
    let text_of = |name| match only_chunk(&response(name)) {
        Chunk::Error(error) => (error.code, error.text.to_string()),
        Chunk::Body(_) => panic!("{name}"),
    };
    let unknown = ResponseCode::from_byte(255).unwrap();
    assert_eq!(text_of("error_rate_limited_wait").1, "Wait 1.234s");
    assert_eq!(text_of("error_rate_limited_wait").0, ResponseCode::RateLimited);
    assert_eq!(text_of("error_unknown_status").0, unknown);
    assert_eq!(text_of("error_empty_message"), (ResponseCode::ServerError, String::new()));
}

#[test]
fn golden_status_pong_and_metadata_survive() {
    fn check<M: FixedMessage>(name: &str) -> M {
        let row = response(name);
        let message = M::from_body(body(&only_chunk(&row))).unwrap();
        assert_eq!(message.encode_response(), row.wire_hex.0, "{name}");
        message
    }
    assert_ne!(check::<Status>("status").head, BlockRoot::ZERO);
    assert_eq!(check::<Ping>("pong_1"), Ping { seq_number: 1 });
    assert_eq!(check::<Metadata>("metadata").attnets, [1, 0, 0, 0, 0, 0, 0, 0x80]);
    assert_eq!(check::<Metadata>("metadata_default").seq_number, 0);
}

#[test]
fn scalar_chunks_have_their_golden_form() {
    let block = vectors::scalar("block_a_signed");
    assert_eq!(encode_block_chunk(&block).unwrap(), vectors::scalar("rpc_chunk_block_a"));
    let error = |code, text| encode_error_chunk(&ErrorChunk { code, text: ErrorText::new(text) });
    let limited = error(ResponseCode::RateLimited, "Wait 1s");
    assert_eq!(limited, vectors::scalar("rpc_error_rate_limited"));
    assert_eq!(error(ResponseCode::ServerError, ""), vectors::scalar("rpc_error_empty"));
}

#[test]
fn wait_is_read_from_the_text_of_a_limiter_and_from_nothing_else() {
    let wait = |text: &str| ErrorText::new(text).wait();
    for duration in [Duration::from_millis(1_234), Duration::from_micros(20_500), Duration::ZERO] {
        assert_eq!(wait(&format!("Wait {duration:?}")), Some(duration), "{duration:?}");
    }
    assert_eq!(wait("Wait 1.5µs"), Some(Duration::from_nanos(1_500)));
    for other in [
        "",
        "Wait",
        "Wait ",
        "Wait 1",
        "Wait s",
        "Wait .s",
        "Wait 1.2.3s",
        "Wait -1s",
        "wait 1s",
        "Wait 1h",
        "Wait 1 s",
        "Wait 1e9s",
        "Wait NaNs",
        "Rate limited. Request too large",
    ] {
        assert_eq!(wait(other), None, "{other}");
    }
    // More seconds than a duration holds.
    assert_eq!(wait(&format!("Wait {}s", "9".repeat(40))), None);
    assert_eq!(ErrorText(Bytes::from_static(b"Wait \xff1s")).wait(), None);
}

#[test]
fn every_golden_response_is_tested() {
    let rows: Vec<ResponseRow> = vectors::rows("rpc_responses.json");
    let blocks = rows.iter().filter(|row| row.name.starts_with("block_"));
    let errors = rows.iter().filter(|row| row.name.starts_with("error_"));
    // The rest: status, pong and two of metadata. One block is larger than any can be.
    assert_eq!((blocks.count(), errors.count(), rows.len()), (22, 14, 22 + 14 + 4));
}

#[test]
fn a_block_over_the_limit_is_not_sent_at_all() {
    let bytes = 1_061_282;
    assert_eq!(encode_block_chunk(&vec![0x92; bytes]), Err(UnsendableBlock { bytes }));
    assert_eq!(encode_block_chunk(&[]), Err(UnsendableBlock { bytes: 0 }));
    // What the old encoder leaves behind in that case is a cut chunk.
    assert_eq!(block_chunks(&response("block_over_1MiB").wire_hex.0), Err(ChunkError::Cut));
}

#[test]
fn a_block_of_the_greatest_length_survives() {
    let raw: Vec<u8> = (0..BLOCK_BYTES_MAX).map(|at| (at % 251).to_le_bytes()[0]).collect();
    let wire = encode_block_chunk(&raw).unwrap();
    assert_eq!(block_chunks(&wire), Ok(vec![Chunk::Body(raw.into())]));
}

#[test]
fn golden_stream_gives_twenty_blocks_in_order() {
    let stream = vectors::file("blocks_by_range_1_20.stream.bin");
    let blocks: Vec<BlockRow> = vectors::rows("chain.json");
    let chunks = block_chunks(&stream).unwrap();
    assert_eq!(chunks.len(), 20);
    for (chunk, block) in chunks.iter().zip(&blocks[1..]) {
        assert_eq!(body(chunk), &block.encoded.0);
    }
}

#[test]
fn stream_cut_anywhere_gives_the_chunks_before_and_says_so() {
    let stream = &vectors::file("blocks_by_range_1_20.stream.bin")[..6000];
    let mut boundaries = vec![0];
    let mut input = stream;
    let mut decoder = ChunkDecoder::for_blocks();
    while let Some(step) = decoder.advance(&mut input).unwrap() {
        if matches!(step, ChunkProgress::Chunk(_)) {
            boundaries.push(stream.len() - input.len());
        }
    }
    for length in 0..stream.len() {
        let (progress, end) = feed(ChunkDecoder::for_blocks(), &[&stream[..length]]);
        let complete = boundaries[1..].iter().filter(|end| **end <= length).count();
        assert_eq!(chunks(progress).len(), complete, "{length} bytes");
        let clean = boundaries.contains(&length);
        assert_eq!(end, if clean { Ok(()) } else { Err(ChunkError::Cut) }, "{length} bytes");
    }
}

#[derive(Deserialize)]
struct DecodeCase {
    name: String,
    wire_hex: Hex,
    results_in_order: Vec<String>,
}

/// A case with what the old codec's first result was, shortened to its beginning.
fn case(name: &str, old_result: &str) -> Vec<u8> {
    let cases: Vec<DecodeCase> = vectors::rows("rpc_decode_cases.json");
    let case = cases.into_iter().find(|case| case.name == name).unwrap();
    assert!(case.results_in_order[0].starts_with(old_result), "{:?}", case.results_in_order);
    case.wire_hex.0
}

const OLD_ACCEPTS: &str = "BlocksByRange(";
const OLD_REFUSES: &str = "Err(";
const OLD_WAITS: &str = "Ok(None)";

fn out_of_range(announced: u64, min: usize, max: usize) -> ChunkError {
    FrameError::LengthOutOfRange { announced, min, max }.into()
}

#[test]
fn accepts_two_blocks_in_one_buffer() {
    let chunks = block_chunks(&case("two_blocks_one_buffer", OLD_ACCEPTS)).unwrap();
    let roots: Vec<_> = chunks
        .iter()
        .map(|chunk| EncodedBlock::decode(body(chunk).clone()).unwrap().root())
        .collect();
    assert!(matches!(roots.as_slice(), [a, b] if a == b));
}

#[test]
fn accepts_an_unknown_result_code_as_an_error() {
    let chunks = block_chunks(&case("unknown_result_code_77", "Some(Error(Unknown")).unwrap();
    let code = ResponseCode::from_byte(77).unwrap();
    let text = ErrorText::new("strange");
    assert_eq!(chunks, [Chunk::Error(ErrorChunk { code, text })]);
}

#[test]
fn result_byte_alone_is_a_cut_chunk() {
    assert_eq!(block_chunks(&case("only_result_byte", OLD_WAITS)), Err(ChunkError::Cut));
}

#[test]
fn refuses_a_block_of_no_bytes() {
    let wire = case("zero_length_block", OLD_REFUSES);
    assert_eq!(block_chunks(&wire), Err(out_of_range(0, 1, BLOCK_BYTES_MAX)));
}

#[test]
fn refuses_a_length_over_the_limit() {
    let wire = case("length_over_1MiB", OLD_REFUSES);
    assert_eq!(block_chunks(&wire), Err(out_of_range(1_048_577, 1, BLOCK_BYTES_MAX)));
}

#[test]
fn old_decoder_is_lenient_we_refuse_non_canonical_varint() {
    let wire = case("non_canonical_varint", OLD_ACCEPTS);
    assert_eq!(block_chunks(&wire), Err(FrameError::LengthNotShortest.into()));
}

#[test]
fn refuses_a_body_that_is_no_block() {
    let chunks = block_chunks(&case("not_msgpack", OLD_REFUSES)).unwrap();
    assert!(EncodedBlock::decode(body(&chunks[0]).clone()).is_err());
}

#[test]
fn old_decoder_is_lenient_we_refuse_block_trailing_garbage() {
    let chunks = block_chunks(&case("block_trailing_garbage", OLD_ACCEPTS)).unwrap();
    let refusal = EncodedBlock::decode(body(&chunks[0]).clone()).unwrap_err();
    let BlockError::Encoding(refusal) = refusal else { panic!("{refusal}") };
    assert_eq!(refusal.fault, Fault::TrailingBytes { count: 4 });
}

#[test]
fn refuses_a_frame_longer_than_declared() {
    let wire = case("declared_shorter_than_frame", OLD_REFUSES);
    assert_eq!(block_chunks(&wire), Err(FrameError::TooMuchData { announced: 1263 }.into()));
}

#[test]
fn frame_shorter_than_declared_is_a_cut_chunk() {
    let wire = case("declared_longer_than_frame", OLD_WAITS);
    assert_eq!(block_chunks(&wire), Err(ChunkError::Cut));
}

#[test]
fn refuses_a_wrong_checksum() {
    let wire = case("bad_crc", OLD_REFUSES);
    assert_eq!(block_chunks(&wire), Err(FrameError::Checksum.into()));
}

#[test]
fn refuses_a_stream_without_identifier() {
    for name in ["no_stream_identifier", "raw_uncompressed"] {
        let wire = case(name, OLD_REFUSES);
        assert_eq!(block_chunks(&wire), Err(FrameError::NoStreamIdentifier.into()), "{name}");
    }
}

#[test]
fn refuses_an_error_text_of_257_bytes() {
    let wire = case("error_too_long", OLD_REFUSES);
    assert_eq!(block_chunks(&wire), Err(out_of_range(257, 0, 256)));
}

#[test]
fn refuses_a_status_of_another_length() {
    for (name, length) in [("status_63_bytes", 63), ("status_eth2_84_bytes", 84)] {
        let wire = case(name, OLD_REFUSES);
        let decoder = ChunkDecoder::new(Protocol::Status.response_limits().unwrap());
        assert_eq!(feed(decoder, &[&wire]).1, Err(out_of_range(length, 64, 64)), "{name}");
    }
}

#[test]
fn every_decode_case_has_its_test() {
    let cases: Vec<DecodeCase> = vectors::rows("rpc_decode_cases.json");
    let source = include_str!("tests.rs");
    let names: BTreeSet<_> = cases.iter().map(|case| format!("\"{}\"", case.name)).collect();
    assert_eq!(names.len(), 16);
    let untested: Vec<_> = names.iter().filter(|name| !source.contains(*name)).collect();
    assert!(untested.is_empty(), "{untested:?}");
}

#[test]
fn nothing_may_follow_an_error_or_a_refusal() {
    let error = response("error_empty_message").wire_hex.0;
    let wire = [&error[..], &[0]].concat();
    assert_eq!(block_chunks(&error).map(|chunks| chunks.len()), Ok(1));
    assert_eq!(block_chunks(&wire), Err(ChunkError::AfterEnd));

    let mut decoder = ChunkDecoder::for_blocks();
    assert_eq!(decoder.advance(&mut &[0, 0][..]), Err(out_of_range(0, 1, BLOCK_BYTES_MAX)));
    assert_eq!(decoder.advance(&mut &[0][..]), Err(ChunkError::AfterEnd));
}

#[test]
fn error_text_cannot_steer_a_terminal() {
    let mut wire = Vec::new();
    wire.push(2);
    crate::wire::framing::encode_body(b"a\x1b[2J\r\nb\xff\xe2\x80\xae \xc3\xa9", &mut wire);
    let chunks = block_chunks(&wire).unwrap();
    let [Chunk::Error(error)] = chunks.as_slice() else { panic!("{chunks:?}") };
    assert_eq!(error.text.to_string(), "a\u{fffd}[2J\u{fffd}\u{fffd}b\u{fffd}\u{fffd} \u{e9}");
}

#[test]
fn error_text_is_cut_between_characters() {
    assert_eq!(ErrorText::new(&"e".repeat(300)).as_bytes().len(), 256);
    assert_eq!(ErrorText::new(&"\u{20ac}".repeat(100)).as_bytes().len(), 255);
}

fn any_chunk() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 1..3000).prop_map(|raw| encode_block_chunk(&raw).unwrap())
}

proptest! {
    #[test]
    fn any_split_of_a_response_gives_the_same_chunks(
        wires in prop::collection::vec(any_chunk(), 0..6),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let stream = wires.concat();
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(stream.len().max(1))).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let pieces: Vec<_> =
            cuts.windows(2).filter_map(|cut| stream.get(cut[0]..cut[1])).collect();
        let whole = feed(ChunkDecoder::for_blocks(), &[&stream]);
        prop_assert_eq!(whole.0.len(), 2 * wires.len());
        prop_assert_eq!(&feed(ChunkDecoder::for_blocks(), &pieces), &whole);
        let bytes: Vec<_> = stream.chunks(1).collect();
        prop_assert_eq!(feed(ChunkDecoder::for_blocks(), &bytes), whole);
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut good = encode_block_chunk(b"block").unwrap();
        good.extend(&bytes);
        for wire in [&bytes, &good] {
            let _ = block_chunks(wire);
        }
    }

    #[test]
    fn response_codes_survive(byte in 1..=255_u8) {
        prop_assert_eq!(ResponseCode::from_byte(byte).unwrap().to_byte(), byte);
    }
}
