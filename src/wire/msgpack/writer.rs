//! Writing values to a growing buffer.

use alloy_primitives::U256;

/// Writes values one after another, each in its shortest form.
#[derive(Debug, Default)]
pub struct Writer {
    out: Vec<u8>,
}

impl Writer {
    /// A writer whose buffer has room for `bytes` bytes before it grows.
    pub fn with_capacity(bytes: usize) -> Self {
        Self { out: Vec::with_capacity(bytes) }
    }

    /// What was written.
    pub fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    /// A nil.
    pub fn nil(&mut self) {
        self.out.push(0xc0);
    }

    /// An unsigned integer.
    pub fn u64(&mut self, value: u64) {
        if let Ok(value) = u8::try_from(value) {
            if value >= 0x80 {
                self.out.push(0xcc);
            }
            self.out.push(value);
        } else if let Ok(value) = u16::try_from(value) {
            self.out.push(0xcd);
            self.out.extend(value.to_be_bytes());
        } else if let Ok(value) = u32::try_from(value) {
            self.out.push(0xce);
            self.out.extend(value.to_be_bytes());
        } else {
            self.out.push(0xcf);
            self.out.extend(value.to_be_bytes());
        }
    }

    /// A signed integer. Values from 0 on take the unsigned form.
    pub fn i32(&mut self, value: i32) {
        if let Ok(value) = u64::try_from(value) {
            self.u64(value);
        } else if let Ok(value) = i8::try_from(value) {
            if value < -32 {
                self.out.push(0xd0);
            }
            self.out.extend(value.to_be_bytes());
        } else if let Ok(value) = i16::try_from(value) {
            self.out.push(0xd1);
            self.out.extend(value.to_be_bytes());
        } else {
            self.out.push(0xd2);
            self.out.extend(value.to_be_bytes());
        }
    }

    /// The header of an array of `elements` elements.
    pub fn array(&mut self, elements: usize) {
        if let Ok(length @ 0..=0x0f) = u8::try_from(elements) {
            self.out.push(0x90 | length);
        } else {
            self.wide_length(elements, 0xdc, 0xdd);
        }
    }

    /// A byte string.
    pub fn binary(&mut self, bytes: &[u8]) {
        if let Ok(length) = u8::try_from(bytes.len()) {
            self.out.extend([0xc4, length]);
        } else {
            self.wide_length(bytes.len(), 0xc5, 0xc6);
        }
        self.out.extend_from_slice(bytes);
    }

    /// A string of `0x` and the hexadecimal digits of `bytes`.
    pub fn hex(&mut self, bytes: &[u8]) {
        self.text_header(2 + 2 * bytes.len());
        self.out.extend_from_slice(b"0x");
        self.out
            .extend(bytes.iter().flat_map(|byte| [hex_digit(byte >> 4), hex_digit(byte & 0x0f)]));
    }

    /// A string of the decimal digits of `value`.
    pub fn decimal_u64(&mut self, value: u64) {
        self.text(&value.to_string());
    }

    /// A string of the decimal digits of `value`.
    pub fn decimal_u256(&mut self, value: U256) {
        self.text(&value.to_string());
    }

    fn text(&mut self, text: &str) {
        self.text_header(text.len());
        self.out.extend_from_slice(text.as_bytes());
    }

    fn text_header(&mut self, length: usize) {
        match u8::try_from(length) {
            Ok(length @ 0..=31) => self.out.push(0xa0 | length),
            Ok(length) => self.out.extend([0xd9, length]),
            Err(_) => self.wide_length(length, 0xda, 0xdb),
        }
    }

    /// A length that takes two bytes after the marker `short`, or four after `long`.
    fn wide_length(&mut self, length: usize, short: u8, long: u8) {
        if let Ok(length) = u16::try_from(length) {
            self.out.push(short);
            self.out.extend(length.to_be_bytes());
        } else {
            let length = u32::try_from(length).expect("no value of 4 GiB is ever built");
            self.out.push(long);
            self.out.extend(length.to_be_bytes());
        }
    }
}

/// The lower-case hexadecimal digit of a value below 16.
const fn hex_digit(value: u8) -> u8 {
    if value < 10 { b'0' + value } else { b'a' + (value - 10) }
}
