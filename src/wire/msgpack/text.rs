//! The two text forms inside strings: lower-case hexadecimal digits and decimal numbers.

use alloy_primitives::U256;

use super::Fault;

/// Marks characters that are no digit. Any value with a bit in the upper half does.
const NO_DIGIT: u8 = 0xff;

/// The value of each character as a lower-case hexadecimal digit.
const DIGIT_VALUES: [u8; 256] = digit_values();

/// A `u64` has up to 20 decimal digits; 19 digits always fit one.
const DIGITS_IN_U64: usize = 19;

/// `u256::MAX` has 78 decimal digits.
const DIGITS_MAX_U256: usize = 78;

#[expect(clippy::indexing_slicing, reason = "evaluated at compile time")]
const fn digit_values() -> [u8; 256] {
    let mut values = [NO_DIGIT; 256];
    let mut value = 0;
    while value < 16 {
        values[b"0123456789abcdef"[value as usize] as usize] = value;
        value += 1;
    }
    values
}

#[expect(clippy::indexing_slicing, reason = "a byte is always below 256")]
fn digit_value(character: u8) -> u8 {
    DIGIT_VALUES[usize::from(character)]
}

/// Succeeds if `digits` (without `0x`) stand for bytes.
pub(super) fn check_hex(digits: &[u8]) -> Result<(), Fault> {
    if !digits.len().is_multiple_of(2) {
        return Err(Fault::OddHexDigits);
    }
    let seen = digits.iter().fold(0, |seen, &digit| seen | digit_value(digit));
    if seen > 0x0f { Err(first_bad_digit(digits)) } else { Ok(()) }
}

/// The bytes that `digits` (without `0x`) stand for are appended to `out`.
pub(super) fn hex_into(digits: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
    let before = out.len();
    out.resize(before + digits.len() / 2, 0);
    let read = hex_to(digits, out.get_mut(before..).unwrap_or_default());
    if read.is_err() {
        out.truncate(before);
    }
    read
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
/// for them. After an error it holds anything.
pub(super) fn hex_to(digits: &[u8], bytes: &mut [u8]) -> Result<(), Fault> {
    let (pairs, odd) = digits.as_chunks::<2>();
    if !odd.is_empty() {
        return Err(Fault::OddHexDigits);
    }
    let mut seen = 0;
    for (byte, &pair) in bytes.iter_mut().zip(pairs) {
        *byte = byte_of(pair, &mut seen);
    }
    if seen > 0x0f { Err(first_bad_digit(digits)) } else { Ok(()) }
}

/// The byte of a pair of digits. `seen` gathers all digit values, so that one test at the end
/// of a long text finds a bad digit: only [`NO_DIGIT`] has bits in the upper half.
fn byte_of([high, low]: [u8; 2], seen: &mut u8) -> u8 {
    let (high, low) = (digit_value(high), digit_value(low));
    *seen |= high | low;
    (high << 4) | low
}

fn first_bad_digit(digits: &[u8]) -> Fault {
    let found = digits.iter().copied().find(|&character| digit_value(character) == NO_DIGIT);
    Fault::NoHexDigit { found: found.unwrap_or_default() }
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
