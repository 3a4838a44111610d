//! The two text forms inside strings: lower-case hexadecimal digits and decimal numbers.

use alloy_primitives::U256;

use super::Fault;

/// A `u64` has up to 20 decimal digits; 19 digits always fit one.
const DIGITS_IN_U64: usize = 19;

/// `u256::MAX` has 78 decimal digits.
const DIGITS_MAX_U256: usize = 78;

const fn is_digit(character: u8) -> bool {
    // No short circuit, so that many characters are tested at once.
    (character.wrapping_sub(b'0') < 10) | (character.wrapping_sub(b'a') < 6)
}

/// Succeeds if `digits` (without `0x`) stand for bytes.
pub(super) fn check_hex(digits: &[u8]) -> Result<(), Fault> {
    if !digits.len().is_multiple_of(2) {
        return Err(Fault::OddHexDigits);
    }
    // All of them, even behind a bad one: without an exit the compiler tests 16 at a time.
    if digits.iter().fold(true, |all, &character| all & is_digit(character)) {
        return Ok(());
    }
    let found = digits.iter().copied().find(|&character| !is_digit(character));
    Err(Fault::NoHexDigit { found: found.unwrap_or_default() })
}

/// The bytes that `digits` (without `0x`) stand for are appended to `out`.
pub(super) fn hex_into(digits: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
    check_hex(digits)?;
    let (pairs, _) = digits.as_chunks();
    out.extend(pairs.iter().copied().map(byte_of));
    Ok(())
}

/// Exactly `N` bytes from `digits` (without `0x`).
pub(super) fn hex_array<const N: usize>(digits: &[u8]) -> Result<[u8; N], Fault> {
    if digits.len() != 2 * N {
        return Err(Fault::WrongLength { expected: 2 * N, found: digits.len() });
    }
    let mut bytes = [0; N];
    hex_to(digits, &mut bytes).map(|()| bytes)
}

/// Writes the bytes that `digits` (without `0x`) stand for to the start of `bytes`, which has room
/// for them. Writes nothing after an error.
pub(super) fn hex_to(digits: &[u8], bytes: &mut [u8]) -> Result<(), Fault> {
    check_hex(digits)?;
    let (pairs, _) = digits.as_chunks();
    for (byte, &pair) in bytes.iter_mut().zip(pairs) {
        *byte = byte_of(pair);
    }
    Ok(())
}

/// The byte of a pair of digits, both worked out at once: the value of `0` to `9` is in the lower
/// half of the character, that of `a` to `f`, which alone have the bit above, is nine more.
const fn byte_of(pair: [u8; 2]) -> u8 {
    let characters = u16::from_le_bytes(pair);
    let values = (characters & 0x0f0f) + 9 * ((characters >> 6) & 0x0101);
    let [high, low] = values.to_le_bytes();
    (high << 4) | low
}

/// The number that `text` stands for in decimal: no sign, no superfluous zero.
pub(super) fn decimal_u64(text: &[u8]) -> Result<u64, Fault> {
    check_decimal(text)?;
    text.iter()
        .try_fold(0_u64, |value, digit| value.checked_mul(10)?.checked_add((digit - b'0').into()))
        .ok_or(Fault::OutOfRange)
}

/// Like [`decimal_u64`] for 256 bits.
pub(super) fn decimal_u256(text: &[u8]) -> Result<U256, Fault> {
    if text.len() > DIGITS_MAX_U256 {
        return Err(Fault::TooLong { max: DIGITS_MAX_U256, found: text.len() });
    }
    check_decimal(text)?;
    let mut value = U256::ZERO;
    for group in text.chunks(DIGITS_IN_U64) {
        let mut number = 0_u64;
        let mut scale = 1_u64;
        for digit in group {
            // At most 19 digits: neither can overflow.
            number = number * 10 + u64::from(digit - b'0');
            scale *= 10;
        }
        value = value
            .checked_mul(U256::from(scale))
            .and_then(|value| value.checked_add(U256::from(number)))
            .ok_or(Fault::OutOfRange)?;
    }
    Ok(value)
}

fn check_decimal(text: &[u8]) -> Result<(), Fault> {
    let shortest = match text {
        [] => false,
        [b'0', rest @ ..] => rest.is_empty(),
        _ => text.iter().all(u8::is_ascii_digit),
    };
    if shortest { Ok(()) } else { Err(Fault::NoDecimal) }
}
