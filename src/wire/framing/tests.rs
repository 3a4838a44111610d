//! Laws of the framing. The golden requests and responses are tested where those are made.

use proptest::prelude::*;

use super::{BodyDecoder, BodyLimits, BodyProgress, FrameError, encode_body};

const LIMITS: BodyLimits = BodyLimits { min: 0, max: 300_000 };

/// What `pieces` decode to, one after another, all of them.
fn decode(pieces: &[&[u8]]) -> Result<Option<Vec<u8>>, FrameError> {
    Ok(decode_first(pieces)?.map(|(body, left)| {
        assert_eq!(left, 0, "nothing follows a body here");
        body
    }))
}

/// The first body in `pieces`, and how many bytes of its piece follow it.
fn decode_first(pieces: &[&[u8]]) -> Result<Option<(Vec<u8>, usize)>, FrameError> {
    let mut decoder = BodyDecoder::new(LIMITS);
    for piece in pieces {
        let mut input = *piece;
        while let Some(progress) = decoder.advance(&mut input)? {
            if let BodyProgress::Complete(body) = progress {
                return Ok(Some((body.to_vec(), input.len())));
            }
        }
        assert!(input.is_empty(), "no progress means all input was taken");
    }
    Ok(None)
}

fn framed(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    encode_body(body, &mut out);
    out
}

/// `body` cut into uncompressed frames, as `length` announces it.
fn stream(length: u8, frames: &[&[u8]]) -> Vec<u8> {
    let mut out = vec![length];
    out.extend(b"\xff\x06\x00\x00sNaPpY");
    for data in frames {
        out.extend([0x01, u8::try_from(data.len() + 4).unwrap(), 0, 0]);
        out.extend(super::crc32c::masked(data).to_le_bytes());
        out.extend_from_slice(data);
    }
    out
}

#[test]
fn body_in_several_frames_is_joined() {
    assert_eq!(decode(&[&stream(5, &[b"ab", b"cde"])]), Ok(Some(b"abcde".to_vec())));
}

#[test]
fn refuses_more_data_than_announced_before_it_arrives() {
    let refusal = Err(FrameError::TooMuchData { announced: 4 });
    let bytes = stream(4, &[b"ab", b"cde"]);
    assert_eq!(decode(&[&bytes]), refusal);
    assert_eq!(decode(&[&bytes[..bytes.len() - 7]]), refusal, "the header tells");
}

#[test]
fn refuses_frames_that_make_no_progress() {
    assert_eq!(decode(&[&stream(5, &[b""])]), Err(FrameError::FrameLength { bytes: 4 }));
    // Compressed data of length zero.
    let mut bytes = stream(5, &[b"x"]);
    bytes[11] = 0x00;
    bytes[19] = 0x00;
    assert_eq!(decode(&[&bytes]), Err(FrameError::FrameLength { bytes: 0 }));
}

#[test]
fn refuses_padding_reserved_and_repeated_identifier_frames() {
    for kind in [0x02, 0x7f, 0x80, 0xfd, 0xfe, 0xff] {
        let mut bytes = stream(5, &[b"x"]);
        bytes[11] = kind;
        assert_eq!(decode(&[&bytes]), Err(FrameError::UnexpectedFrame { kind }));
    }
}

#[test]
fn refuses_a_stream_longer_than_its_body_can_need() {
    // 5 bytes may take 37: two frames of one byte each fit (10 + 9 + 9), the third does not.
    let bytes = stream(5, &[b"a", b"b", b"c", b"d", b"e"]);
    assert_eq!(decode(&[&bytes]), Err(FrameError::StreamTooLong { max: 37 }));
}

#[test]
fn refuses_a_frame_longer_than_any_frame() {
    let bytes = [&stream(5, &[])[..], &[0x00, 0xff, 0xff, 0xff]].concat();
    assert_eq!(decode(&[&bytes]), Err(FrameError::FrameLength { bytes: 0xff_ffff }));
}

#[test]
fn refuses_compressed_data_that_expands_beyond_a_frame() {
    // 2^20 bytes announced inside the frame.
    let mut bytes = framed(&[7; 300_000]);
    let data = bytes.windows(3).position(|window| window == [0x80, 0x80, 0x04]).unwrap();
    bytes[data + 2] = 0x40;
    assert_eq!(decode(&[&bytes]), Err(FrameError::FrameLength { bytes: 1 << 20 }));
}

#[test]
fn refuses_a_wrong_first_byte_of_the_stream_at_once() {
    assert_eq!(decode(&[&[5, 0x01]]), Err(FrameError::NoStreamIdentifier));
    assert_eq!(
        decode(&[&[5, 0xff, 6, 0, 0, b's', b'N', b'A']]),
        Err(FrameError::NoStreamIdentifier)
    );
}

#[test]
fn length_has_one_form_and_at_most_64_bits() {
    assert_eq!(decode(&[&[0x80, 0x00]]), Err(FrameError::LengthNotShortest));
    assert_eq!(decode(&[&[0x85, 0x80, 0x00]]), Err(FrameError::LengthNotShortest));
    assert_eq!(decode(&[&[0xff; 11]]), Err(FrameError::LengthOverflow));
    let most = [[0xff; 9].as_slice(), &[0x01]].concat();
    let refusal = FrameError::LengthOutOfRange { announced: u64::MAX, min: 0, max: LIMITS.max };
    assert_eq!(decode(&[&most]), Err(refusal));
}

#[test]
fn announces_the_length_before_any_of_the_body() {
    let bytes = framed(&[7; 300]);
    let mut input = bytes.as_slice();
    let mut decoder = BodyDecoder::new(LIMITS);
    assert_eq!(decoder.advance(&mut input), Ok(Some(BodyProgress::Announced(300))));
    assert_eq!(input.len(), bytes.len() - 2);
}

#[test]
fn empty_body_has_no_stream() {
    assert_eq!(framed(&[]), [0]);
    assert_eq!(decode(&[&[0]]), Ok(Some(Vec::new())));
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    let random = prop::collection::vec(any::<u8>(), 0..2000);
    let long = (any::<u64>(), 60_000..300_000_usize, 1..6_u32).prop_map(|(seed, length, bits)| {
        // Fewer bits compress better; with all eight, frames stay as they are.
        let mut state = seed | 1;
        let next = |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state.to_be_bytes()[0] >> (bits - 1)
        };
        (0..length).map(next).collect()
    });
    prop_oneof![4 => random, 1 => long]
}

proptest! {
    #[test]
    fn any_body_survives_in_any_pieces(
        body in body(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let bytes = framed(&body);
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let pieces: Vec<_> = cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]).collect();
        prop_assert_eq!(decode(&pieces), Ok(Some(body)));
    }

    #[test]
    fn frames_are_what_the_snappy_crate_writes_and_reads(body in body()) {
        use std::io::{Read, Write};
        let mut theirs = snap::write::FrameEncoder::new(Vec::new());
        theirs.write_all(&body).unwrap();
        let theirs = theirs.into_inner().unwrap();
        let ours = framed(&body);
        prop_assert!(ours.ends_with(&theirs));
        let mut read = Vec::new();
        snap::read::FrameDecoder::new(theirs.as_slice()).read_to_end(&mut read).unwrap();
        prop_assert_eq!(read, body);
    }

    #[test]
    fn a_changed_byte_never_changes_the_body_unnoticed(
        body in prop::collection::vec(any::<u8>(), 1..300),
        at in any::<prop::sample::Index>(),
        change in 1..=255_u8,
    ) {
        let mut bytes = framed(&body);
        let at = at.index(bytes.len());
        bytes[at] ^= change;
        // A length of nothing makes a whole body of nothing: what follows it is then seen to be no
        // chunk.
        if let Ok(Some((decoded, 0))) = decode_first(&[&bytes]) {
            prop_assert_eq!(decoded, body);
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let stream = [&[200, 1][..], b"\xff\x06\x00\x00sNaPpY", &bytes].concat();
        for mut input in [bytes.as_slice(), &stream] {
            let mut decoder = BodyDecoder::new(LIMITS);
            while let Ok(Some(BodyProgress::Announced(_))) = decoder.advance(&mut input) {}
        }
    }
}
