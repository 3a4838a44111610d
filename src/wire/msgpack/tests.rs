//! Scalars against the golden vectors, and the strictness of each form.

use alloy_primitives::U256;
use proptest::prelude::*;

use super::{DecodeError, Fault, Reader, Writer};
use crate::wire::vectors;

const FIELD: &str = "field";

fn read<'a, T>(
    bytes: &'a [u8],
    read: impl FnOnce(&mut Reader<'a>) -> Result<T, DecodeError>,
) -> Result<T, Fault> {
    let mut reader = Reader::new(bytes);
    let value = read(&mut reader).map_err(|error| error.fault)?;
    reader.end(FIELD).map_err(|error| error.fault)?;
    Ok(value)
}

fn written(write: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut writer = Writer::default();
    write(&mut writer);
    writer.into_bytes()
}

#[test]
fn scalars_have_their_golden_form() {
    let sequence: [u8; 32] = std::array::from_fn(|index| u8::try_from(index).unwrap());
    assert_eq!(written(|w| w.hex(&[0x11; 32])), vectors::scalar("Hash256(11..)"));
    assert_eq!(written(|w| w.hex(&[0; 32])), vectors::scalar("Hash256 zero"));
    assert_eq!(written(|w| w.hex(&[0x22; 20])), vectors::scalar("Address(22..)"));
    assert_eq!(written(|w| w.binary(&sequence)), vectors::scalar("Txid bytes 00..1f"));
    assert_eq!(written(|w| w.u64(0x6553_f100)), vectors::scalar("locktime time"));
    let address = vectors::scalar("Address(22..)");
    assert_eq!(read(&address, |r| r.hex_array::<20>(FIELD)), Ok([0x22; 20]));
}

#[test]
fn refuses_integers_in_longer_forms() {
    for longer in [
        &[0xcc, 0x7f][..],
        &[0xcd, 0, 0xff],
        &[0xce, 0, 0, 0xff, 0xff],
        &[0xcf, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff],
    ] {
        assert_eq!(read(longer, |r| r.u64(FIELD)), Err(Fault::NotShortest), "{longer:02x?}");
    }
}

#[test]
fn refuses_signed_forms_of_what_has_a_shorter_one() {
    for longer in [
        &[0xd0, 0xe0][..],
        &[0xd0, 0x05],
        &[0xd1, 0xff, 0x80],
        &[0xd1, 0x7f, 0xff],
        &[0xd2, 0xff, 0xff, 0x80, 0x00],
        &[0xd2, 0, 0, 0, 1],
    ] {
        assert_eq!(read(longer, |r| r.i32(FIELD)), Err(Fault::NotShortest), "{longer:02x?}");
    }
    assert_eq!(read(&[0xce, 0x80, 0, 0, 0], |r| r.i32(FIELD)), Err(Fault::OutOfRange));
    assert!(matches!(read(&[0xff], |r| r.u64(FIELD)), Err(Fault::WrongKind { .. })));
}

#[test]
fn refuses_lengths_in_longer_forms() {
    assert_eq!(read(&[0xd9, 1, b'a'], |r| r.text(FIELD)), Err(Fault::NotShortest));
    assert_eq!(read(&[0xda, 0, 40], |r| r.text(FIELD)), Err(Fault::NotShortest));
    assert_eq!(read(&[0xdb, 0, 0, 1, 0], |r| r.text(FIELD)), Err(Fault::NotShortest));
    assert_eq!(read(&[0xc5, 0, 40], |r| r.binary(FIELD)), Err(Fault::NotShortest));
    assert_eq!(read(&[0xdc, 0, 15], |r| r.structure(FIELD, 15)), Err(Fault::NotShortest));
    assert_eq!(read(&[0xdd, 0, 0, 0, 16], |r| r.structure(FIELD, 16)), Err(Fault::NotShortest));
}

#[test]
fn list_is_no_longer_than_its_limit_and_its_input() {
    assert_eq!(read(&[0x93], |r| r.list(FIELD, 9, 1)), Err(too_long(0, 3)));
    assert_eq!(read(&[0x92, 1, 2], |r| r.list(FIELD, 1, 1)), Err(too_long(1, 2)));
    assert_eq!(read(&[0x92, 1, 2, 3], |r| r.list(FIELD, 9, 2)), Err(too_long(1, 2)));
    let numbers = |r: &mut Reader<'_>| r.elements(FIELD, 2, 1, |r| r.u8(FIELD));
    assert_eq!(read(&[0x92, 1, 2], numbers), Ok(vec![1, 2]));
}

const fn too_long(max: usize, found: usize) -> Fault {
    Fault::TooLong { max, found }
}

#[test]
fn hex_is_lower_case_even_and_prefixed() {
    let hex = |text: &str| {
        let bytes = [&[0xa0 | u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
        let mut out = vec![7];
        read(&bytes, |r| r.hex_into(FIELD, 2, &mut out)).map(|()| out.clone()).inspect_err(|_| {
            assert_eq!(out, [7], "nothing is added on refusal");
        })
    };
    assert_eq!(hex("0x"), Ok(vec![7]));
    assert_eq!(hex("0x00ff"), Ok(vec![7, 0, 0xff]));
    assert_eq!(hex("0x00fF"), Err(Fault::NoHexDigit { found: b'F' }));
    assert_eq!(hex("0xg0"), Err(Fault::NoHexDigit { found: b'g' }));
    assert_eq!(hex("0x0"), Err(Fault::OddHexDigits));
    assert_eq!(hex("0X00"), Err(Fault::NoHexPrefix));
    assert_eq!(hex("00"), Err(Fault::NoHexPrefix));
    assert_eq!(hex(""), Err(Fault::NoHexPrefix));
    assert_eq!(hex("0x000000"), Err(too_long(2, 3)));
}

#[test]
fn every_pair_of_characters_is_a_byte_or_has_its_bad_digit_named() {
    for (high, low) in (0..=u8::MAX).flat_map(|high| (0..=u8::MAX).map(move |low| (high, low))) {
        let good = |character: &u8| b"0123456789abcdef".contains(character);
        let expected = match [high, low].iter().find(|character| !good(character)) {
            Some(&found) => Err(Fault::NoHexDigit { found }),
            None => {
                let digits = std::str::from_utf8(&[high, low]).unwrap().to_owned();
                Ok([u8::from_str_radix(&digits, 16).unwrap()])
            }
        };
        // The pair stands alone, and at the end of more than is tested at once.
        let short = [&[0xa4, b'0', b'x'][..], &[high, low]].concat();
        assert_eq!(read(&short, |r| r.hex_array::<1>(FIELD)), expected);
        let long = [&[0xd9, 44, b'0', b'x'][..], &[b'7'; 40], &[high, low]].concat();
        let mut out = Vec::new();
        let refusal = read(&long, |r| r.hex_into(FIELD, 21, &mut out)).err();
        assert_eq!(refusal, expected.err());
        assert_eq!(out.last().copied(), expected.ok().map(|[byte]| byte));
    }
}

#[test]
fn decimal_has_no_sign_space_or_leading_zero() {
    let decimal = |text: &str| {
        let bytes = [&[0xa0 | u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
        let narrow = read(&bytes, |r| r.decimal_u64(FIELD));
        let wide = read(&bytes, |r| r.decimal_u256(FIELD));
        if let Ok(value) = narrow {
            assert_eq!(wide, Ok(U256::from(value)));
        } else if narrow != Err(Fault::OutOfRange) {
            assert_eq!(wide.map(|_| 0), narrow);
        }
        narrow
    };
    assert_eq!(decimal("0"), Ok(0));
    assert_eq!(decimal("18446744073709551615"), Ok(u64::MAX));
    assert_eq!(decimal("18446744073709551616"), Err(Fault::OutOfRange));
    for refused in ["", "00", "01", "+1", "-1", " 1", "1 ", "0x1", "1_0", "a"] {
        assert_eq!(decimal(refused), Err(Fault::NoDecimal), "{refused:?}");
    }
}

#[test]
fn decimal_u256_ends_at_its_maximum() {
    let max = U256::MAX.to_string();
    let over = max.replace("639935", "639936");
    let long = format!("{max}0");
    let wide = |text: &str| {
        let bytes = [&[0xd9, u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
        read(&bytes, |r| r.decimal_u256(FIELD))
    };
    assert_eq!(wide(&max), Ok(U256::MAX));
    assert_eq!(wide(&over), Err(Fault::OutOfRange));
    assert_eq!(wide(&long), Err(too_long(78, 79)));
}

proptest! {
    #[test]
    fn integers_survive(value in any::<u64>(), shift in 0..64_u32) {
        let value = value >> shift;
        prop_assert_eq!(read(&written(|w| w.u64(value)), |r| r.u64(FIELD)), Ok(value));
    }

    #[test]
    fn signed_integers_survive(value in any::<i32>(), shift in 0..32_u32) {
        let value = value >> shift;
        prop_assert_eq!(read(&written(|w| w.i32(value)), |r| r.i32(FIELD)), Ok(value));
    }

    #[test]
    fn lengths_survive(length in prop_oneof![0..70_usize, 250..260_usize, 65_530..65_540_usize]) {
        let bytes = vec![0xab; length];
        let binary = written(|w| w.binary(&bytes));
        prop_assert_eq!(read(&binary, |r| r.binary(FIELD)), Ok(&bytes[..]));
        let mut out = Vec::new();
        prop_assert_eq!(
            read(&written(|w| w.hex(&bytes)), |r| r.hex_into(FIELD, length, &mut out)),
            Ok(())
        );
        prop_assert_eq!(out, bytes);
        let array = written(|w| w.array(length));
        prop_assert_eq!(read(&array, |r| r.structure(FIELD, length)), Ok(()));
    }

    #[test]
    fn wide_decimals_survive(limbs in any::<[u64; 4]>(), shift in 0..256_usize) {
        let value = U256::from_limbs(limbs) >> shift;
        let text = written(|w| w.decimal_u256(value));
        prop_assert_eq!(read(&text, |r| r.decimal_u256(FIELD)), Ok(value));
    }

    #[test]
    fn checking_accepts_and_refuses_what_keeping_does(
        head in prop::sample::select(vec![
            &[][..], &[0x90], &[0x92], &[0xdc, 0, 17], &[0xc4, 2], &[0xa4, b'0', b'x'],
            &[0xa6, b'0', b'x'], &[0xd9, 0x22, b'0', b'x'],
        ]),
        tail in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..20),
            prop::collection::vec(0..3_u8, 0..20),
            "[0-9a-g]{0,34}".prop_map(String::into_bytes),
        ],
    ) {
        let bytes = [head, &tail].concat();
        // The value where it has a fixed size, and how much was read.
        type Read = fn(&mut Reader<'_>) -> Result<usize, DecodeError>;
        let reads: [Read; 6] = [
            |r| r.elements(FIELD, 16, 1, |r| r.u8(FIELD)).map(drop).map(|()| r.offset()),
            |r| r.binary_vec(FIELD).map(drop).map(|()| r.offset()),
            |r| r.u8_list_into(FIELD, &mut Vec::new()).map(|()| r.offset()),
            |r| r.hex_into(FIELD, 9, &mut Vec::new()).map(|()| r.offset()),
            |r| r.hex_array::<16>(FIELD).map(|value| usize::from(value[15])),
            |r| r.hex_up_to::<2>(FIELD).map(|(value, length)| usize::from(value[1]) + length),
        ];
        for read in reads {
            let kept = read(&mut Reader::new(&bytes));
            prop_assert_eq!(read(&mut Reader::checking(&bytes)), kept);
        }
    }

    #[test]
    fn whatever_is_read_is_written_back(bytes in prop::collection::vec(any::<u8>(), 0..12)) {
        if let Ok(value) = read(&bytes, |r| r.u64(FIELD)) {
            prop_assert_eq!(written(|w| w.u64(value)), bytes.clone());
        }
        if let Ok(value) = read(&bytes, |r| r.i32(FIELD)) {
            prop_assert_eq!(written(|w| w.i32(value)), bytes.clone());
        }
        if let Ok(value) = read(&bytes, |r| r.binary(FIELD)) {
            prop_assert_eq!(written(|w| w.binary(value)), bytes);
        }
    }
}
