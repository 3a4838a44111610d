//! Why bytes were refused.

use std::fmt;

/// A refused value: which field, where, and what is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{field} at byte {offset}: {fault}")]
pub struct DecodeError {
    /// The field that was being read.
    pub field: &'static str,
    /// Where its value begins in the input. Unit: bytes from the start.
    pub offset: usize,
    /// What is wrong with it.
    pub fault: Fault,
}

/// The kinds of MessagePack values that occur in blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An integer.
    Integer,
    /// A text string.
    Text,
    /// A byte string.
    Binary,
    /// An array.
    Array,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Integer => "an integer",
            Self::Text => "a string",
            Self::Binary => "a byte string",
            Self::Array => "an array",
        })
    }
}

/// What is wrong with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The input stops inside the value.
    #[error("the input ends, at least {missing} more bytes are needed")]
    InputEnds {
        /// How many bytes are missing at least.
        missing: usize,
    },
    /// Another kind of value stands there.
    #[error("expected {expected}, found marker {found:#04x}")]
    WrongKind {
        /// What should stand there.
        expected: Kind,
        /// The marker byte that does.
        found: u8,
    },
    /// The integer or length has a shorter encoding.
    #[error("not the shortest encoding of its value")]
    NotShortest,
    /// The integer does not fit the field.
    #[error("integer out of range for the field")]
    OutOfRange,
    /// Another number of bytes, digits or elements than the field has.
    #[error("length {found}, expected {expected}")]
    WrongLength {
        /// The length of the field.
        expected: usize,
        /// The length found.
        found: usize,
    },
    /// More bytes or elements than the field may have, or than the input can hold.
    #[error("length {found}, at most {max} allowed")]
    TooLong {
        /// The greatest length allowed here.
        max: usize,
        /// The length found.
        found: usize,
    },
    /// The text does not begin with `0x`.
    #[error("hexadecimal text without 0x")]
    NoHexPrefix,
    /// An odd number of hexadecimal digits.
    #[error("odd number of hexadecimal digits")]
    OddHexDigits,
    /// A character that is no lower-case hexadecimal digit.
    #[error("character {found:#04x} is no lower-case hexadecimal digit")]
    NoHexDigit {
        /// The character.
        found: u8,
    },
    /// A character that is no decimal digit, a superfluous leading zero, or no digit at all.
    #[error("not a decimal number in its shortest form")]
    NoDecimal,
    /// No bit list of 1 to 15 bits with its end mark in the last byte.
    #[error("not a bit list of 1 to 15 bits")]
    NoApprovalBits,
    /// A signature that is not empty but lacks the flag of a compressed point.
    #[error("signature is not a compressed point")]
    NotCompressed,
    /// The structure is complete but the input goes on.
    #[error("{count} bytes follow the end")]
    TrailingBytes {
        /// How many bytes follow.
        count: usize,
    },
}
