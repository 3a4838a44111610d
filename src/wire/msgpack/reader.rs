//! Reading values from a slice.

use alloy_primitives::U256;

use super::{DecodeError, Fault, Kind, text};

/// Reads values one after another from a slice, each in its shortest form only.
///
/// Every method takes the name of the field it reads, for the error. After an error the reader
/// is of no more use.
///
/// A reader keeps what it reads, or only checks it. Both accept the same inputs, refuse the others
/// with the same errors and yield the same numbers, arrays and slices. But one that only checks
/// yields everything of variable length that would take memory of its own empty: lists, and what
/// is appended to a buffer. So it never allocates.
#[derive(Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    total: usize,
    keeps: bool,
}

impl<'a> Reader<'a> {
    /// A reader at the start of `input` that keeps what it reads.
    pub const fn new(input: &'a [u8]) -> Self {
        Self { rest: input, total: input.len(), keeps: true }
    }

    /// A reader at the start of `input` that only checks what it reads. What it yields is hollow:
    /// take the parts of fixed size out of it and let go of the rest.
    pub const fn checking(input: &'a [u8]) -> Self {
        Self { rest: input, total: input.len(), keeps: false }
    }

    /// How much is left to read. Unit: bytes.
    pub const fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// How far it has read. Unit: bytes from the start.
    pub const fn offset(&self) -> usize {
        self.total - self.rest.len()
    }

    /// Succeeds at the end of the input only.
    ///
    /// # Errors
    /// [`Fault::TrailingBytes`].
    pub fn end(&self, field: &'static str) -> Result<(), DecodeError> {
        match self.rest.len() {
            0 => Ok(()),
            count => refuse(field, self.offset(), Fault::TrailingBytes { count }),
        }
    }

    /// Skips a nil if one stands here, and says whether one did.
    pub fn nil(&mut self) -> bool {
        match self.rest.split_first() {
            Some((0xc0, rest)) => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    /// An unsigned integer of up to 64 bits.
    ///
    /// # Errors
    /// Input ends, wrong kind, not the shortest form.
    pub fn u64(&mut self, field: &'static str) -> Result<u64, DecodeError> {
        let at = self.offset();
        let marker = self.byte(field)?;
        let (value, least) = match marker {
            0x00..=0x7f => return Ok(marker.into()),
            0xcc => (self.byte(field)?.into(), 0x80),
            0xcd => (u16::from_be_bytes(self.array(field)?).into(), 0x100),
            0xce => (u32::from_be_bytes(self.array(field)?).into(), 0x1_0000),
            0xcf => (u64::from_be_bytes(self.array(field)?), 0x1_0000_0000),
            found => return wrong_kind(field, at, Kind::Integer, found),
        };
        if value < least { refuse(field, at, Fault::NotShortest) } else { Ok(value) }
    }

    /// An unsigned integer of up to 32 bits.
    ///
    /// # Errors
    /// As [`Self::u64`], and out of range.
    pub fn u32(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        let at = self.offset();
        let value = self.u64(field)?;
        u32::try_from(value).or_else(|_| refuse(field, at, Fault::OutOfRange))
    }

    /// An unsigned integer of up to 8 bits.
    ///
    /// # Errors
    /// As [`Self::u64`], and out of range.
    pub fn u8(&mut self, field: &'static str) -> Result<u8, DecodeError> {
        let at = self.offset();
        let value = self.u64(field)?;
        u8::try_from(value).or_else(|_| refuse(field, at, Fault::OutOfRange))
    }

    /// A signed integer of up to 32 bits. Values from 0 on have the unsigned form.
    ///
    /// # Errors
    /// As [`Self::u64`], and out of range.
    pub fn i32(&mut self, field: &'static str) -> Result<i32, DecodeError> {
        let at = self.offset();
        let (value, most) = match self.rest.first().copied() {
            Some(marker @ 0xe0..=0xff) => {
                self.byte(field)?;
                (i8::from_be_bytes([marker]).into(), -1)
            }
            Some(0xd0) => {
                self.byte(field)?;
                (i8::from_be_bytes(self.array(field)?).into(), -33)
            }
            Some(0xd1) => {
                self.byte(field)?;
                (i16::from_be_bytes(self.array(field)?).into(), -129)
            }
            Some(0xd2) => {
                self.byte(field)?;
                (i32::from_be_bytes(self.array(field)?), -32_769)
            }
            _ => {
                let value = self.u64(field)?;
                return i32::try_from(value).or_else(|_| refuse(field, at, Fault::OutOfRange));
            }
        };
        if value > most { refuse(field, at, Fault::NotShortest) } else { Ok(value) }
    }

    /// The header of an array that stands for a structure of exactly `elements` elements.
    ///
    /// # Errors
    /// Input ends, wrong kind (maps too), not the shortest form, wrong length.
    pub fn structure(&mut self, field: &'static str, elements: usize) -> Result<(), DecodeError> {
        let at = self.offset();
        let found = self.length(field, Kind::Array)?;
        if found == elements {
            return Ok(());
        }
        refuse(field, at, Fault::WrongLength { expected: elements, found })
    }

    /// The header of a list: its number of elements, at most `max` and never more than the rest
    /// of the input can hold when each takes at least `element_bytes_min` bytes. So memory for
    /// that many elements may be reserved.
    ///
    /// # Errors
    /// Input ends, wrong kind, not the shortest form, too long.
    pub fn list(
        &mut self,
        field: &'static str,
        max: usize,
        element_bytes_min: usize,
    ) -> Result<usize, DecodeError> {
        let at = self.offset();
        let found = self.length(field, Kind::Array)?;
        let max = max.min(self.rest.len() / element_bytes_min.max(1));
        if found > max { refuse(field, at, Fault::TooLong { max, found }) } else { Ok(found) }
    }

    /// A list whose elements `read` reads; limits as for [`Self::list`]. Empty if the reader only
    /// checks.
    ///
    /// # Errors
    /// As [`Self::list`], and whatever `read` finds.
    pub fn elements<T>(
        &mut self,
        field: &'static str,
        max: usize,
        element_bytes_min: usize,
        mut read: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let count = self.list(field, max, element_bytes_min)?;
        let mut elements = Vec::with_capacity(if self.keeps { count } else { 0 });
        for _ in 0..count {
            let element = read(self)?;
            if self.keeps {
                elements.push(element);
            }
        }
        Ok(elements)
    }

    /// The characters of a string, as bytes.
    ///
    /// # Errors
    /// Input ends, wrong kind, not the shortest form.
    pub fn text(&mut self, field: &'static str) -> Result<&'a [u8], DecodeError> {
        let length = self.length(field, Kind::Text)?;
        self.take(field, length)
    }

    /// A byte string.
    ///
    /// # Errors
    /// Input ends, wrong kind, not the shortest form.
    pub fn binary(&mut self, field: &'static str) -> Result<&'a [u8], DecodeError> {
        let length = self.length(field, Kind::Binary)?;
        self.take(field, length)
    }

    /// A byte string in memory of its own. Empty if the reader only checks.
    ///
    /// # Errors
    /// As [`Self::binary`].
    pub fn binary_vec(&mut self, field: &'static str) -> Result<Vec<u8>, DecodeError> {
        let bytes = self.binary(field)?;
        Ok(if self.keeps { bytes.to_vec() } else { Vec::new() })
    }

    /// Bytes as a list of integers of up to 8 bits, appended to `out`. Appends nothing if the
    /// reader only checks.
    ///
    /// # Errors
    /// As [`Self::list`] and [`Self::u8`].
    pub fn u8_list_into(
        &mut self,
        field: &'static str,
        out: &mut Vec<u8>,
    ) -> Result<(), DecodeError> {
        let count = self.list(field, usize::MAX, 1)?;
        out.reserve(if self.keeps { count } else { 0 });
        for _ in 0..count {
            let byte = self.u8(field)?;
            if self.keeps {
                out.push(byte);
            }
        }
        Ok(())
    }

    /// A byte string of exactly `N` bytes.
    ///
    /// # Errors
    /// As [`Self::binary`], and wrong length.
    pub fn binary_array<const N: usize>(
        &mut self,
        field: &'static str,
    ) -> Result<[u8; N], DecodeError> {
        let at = self.offset();
        let bytes = self.binary(field)?;
        bytes
            .try_into()
            .or_else(|_| refuse(field, at, Fault::WrongLength { expected: N, found: bytes.len() }))
    }

    /// A string of `0x` and exactly `2 * N` lower-case hexadecimal digits.
    ///
    /// # Errors
    /// As [`Self::text`], no prefix, wrong length, bad digit.
    pub fn hex_array<const N: usize>(
        &mut self,
        field: &'static str,
    ) -> Result<[u8; N], DecodeError> {
        let at = self.offset();
        let digits = self.hex_digits(field)?;
        text::hex_array(digits).or_else(|fault| refuse(field, at, fault))
    }

    /// A string of `0x` and lower-case hexadecimal digits of at most `N` bytes: the bytes, with
    /// zeros behind, and how many they are.
    ///
    /// # Errors
    /// As [`Self::hex_into`].
    pub fn hex_up_to<const N: usize>(
        &mut self,
        field: &'static str,
    ) -> Result<([u8; N], usize), DecodeError> {
        let at = self.offset();
        let digits = self.hex_digits_up_to(field, N)?;
        let mut bytes = [0; N];
        text::hex_to(digits, &mut bytes).or_else(|fault| refuse(field, at, fault))?;
        Ok((bytes, digits.len() / 2))
    }

    /// A string of `0x` and lower-case hexadecimal digits of at most `max` bytes, appended to
    /// `out`. Appends nothing if the reader only checks.
    ///
    /// # Errors
    /// As [`Self::text`], no prefix, too long, odd number of digits, bad digit. Then `out` is as
    /// before.
    pub fn hex_into(
        &mut self,
        field: &'static str,
        max: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), DecodeError> {
        let at = self.offset();
        let digits = self.hex_digits_up_to(field, max)?;
        let read = if self.keeps { text::hex_into(digits, out) } else { text::check_hex(digits) };
        read.or_else(|fault| refuse(field, at, fault))
    }

    /// A string that holds a decimal number of up to 64 bits.
    ///
    /// # Errors
    /// As [`Self::text`], no decimal number in its shortest form, out of range.
    pub fn decimal_u64(&mut self, field: &'static str) -> Result<u64, DecodeError> {
        let at = self.offset();
        text::decimal_u64(self.text(field)?).or_else(|fault| refuse(field, at, fault))
    }

    /// A string that holds a decimal number of up to 256 bits.
    ///
    /// # Errors
    /// As [`Self::decimal_u64`].
    pub fn decimal_u256(&mut self, field: &'static str) -> Result<U256, DecodeError> {
        let at = self.offset();
        text::decimal_u256(self.text(field)?).or_else(|fault| refuse(field, at, fault))
    }

    fn hex_digits(&mut self, field: &'static str) -> Result<&'a [u8], DecodeError> {
        let at = self.offset();
        match self.text(field)?.strip_prefix(b"0x") {
            Some(digits) => Ok(digits),
            None => refuse(field, at, Fault::NoHexPrefix),
        }
    }

    /// Digits of at most `max` bytes, without the `0x` before them.
    fn hex_digits_up_to(
        &mut self,
        field: &'static str,
        max: usize,
    ) -> Result<&'a [u8], DecodeError> {
        let at = self.offset();
        let digits = self.hex_digits(field)?;
        let found = digits.len() / 2;
        if found > max { refuse(field, at, Fault::TooLong { max, found }) } else { Ok(digits) }
    }

    /// The length of the string, byte string or array whose marker stands here.
    fn length(&mut self, field: &'static str, kind: Kind) -> Result<usize, DecodeError> {
        let at = self.offset();
        let marker = self.byte(field)?;
        let (length, least): (u32, u32) = match (kind, marker) {
            (Kind::Text, 0xa0..=0xbf) => return Ok(usize::from(marker & 0x1f)),
            (Kind::Array, 0x90..=0x9f) => return Ok(usize::from(marker & 0x0f)),
            (Kind::Text, 0xd9) => (self.byte(field)?.into(), 32),
            (Kind::Binary, 0xc4) => (self.byte(field)?.into(), 0),
            (Kind::Text, 0xda) | (Kind::Binary, 0xc5) => {
                (u16::from_be_bytes(self.array(field)?).into(), 0x100)
            }
            (Kind::Array, 0xdc) => (u16::from_be_bytes(self.array(field)?).into(), 16),
            (Kind::Text, 0xdb) | (Kind::Binary, 0xc6) | (Kind::Array, 0xdd) => {
                (u32::from_be_bytes(self.array(field)?), 0x1_0000)
            }
            (expected, found) => return wrong_kind(field, at, expected, found),
        };
        if length < least {
            return refuse(field, at, Fault::NotShortest);
        }
        // On a target where it does not fit, no input can hold that much either.
        Ok(usize::try_from(length).unwrap_or(usize::MAX))
    }

    fn byte(&mut self, field: &'static str) -> Result<u8, DecodeError> {
        let [byte] = self.array(field)?;
        Ok(byte)
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], DecodeError> {
        let Some((bytes, rest)) = self.rest.split_first_chunk() else {
            return self.ends(field, N);
        };
        self.rest = rest;
        Ok(*bytes)
    }

    fn take(&mut self, field: &'static str, count: usize) -> Result<&'a [u8], DecodeError> {
        let Some((bytes, rest)) = self.rest.split_at_checked(count) else {
            return self.ends(field, count);
        };
        self.rest = rest;
        Ok(bytes)
    }

    fn ends<T>(&self, field: &'static str, needed: usize) -> Result<T, DecodeError> {
        let missing = needed - self.rest.len();
        refuse(field, self.offset(), Fault::InputEnds { missing })
    }
}

fn wrong_kind<T>(
    field: &'static str,
    offset: usize,
    expected: Kind,
    found: u8,
) -> Result<T, DecodeError> {
    refuse(field, offset, Fault::WrongKind { expected, found })
}

fn refuse<T>(field: &'static str, offset: usize, fault: Fault) -> Result<T, DecodeError> {
    Err(DecodeError { field, offset, fault })
}
