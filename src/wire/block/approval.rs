//! Who signed a block, and with what.

use std::fmt;

use crate::wire::msgpack::{DecodeError, Fault, Reader, Writer};

/// The greatest length of [`ApprovalBits`], and so of an authority set. Unit: bits. Source: the
/// bound of the bit list in the network's block format. Lower refuses blocks of large federations,
/// higher accepts blocks that today's nodes refuse.
pub const APPROVAL_BITS_MAX: usize = 15;

/// The aggregate of the authorities' signatures over a block. It is not part of the block's root:
/// the same block travels with different approvals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AggregateApproval {
    /// Which authorities signed.
    pub bits: ApprovalBits,
    /// The sum of their signatures.
    pub signature: AggregateSignature,
}

impl AggregateApproval {
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.structure("approval", 2)?;
        Ok(Self { bits: ApprovalBits::read(reader)?, signature: AggregateSignature::read(reader)? })
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        writer.array(2);
        let [low, high] = self.bits.marked.to_le_bytes();
        if high == 0 {
            writer.hex(&[low])
        } else {
            writer.hex(&[low, high])
        }
        writer.hex(self.signature.as_bytes());
    }
}

/// A bit for each authority, in the order of the authority set: 1 to 15 bits.
///
/// Honest nodes always write 15 bits, of which those at or above the number of authorities are
/// clear. Others can set them at will, so they must never be counted: ask for what is below the
/// number of authorities.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ApprovalBits {
    /// The bits from the lowest on, with one more set bit just above the highest that marks the
    /// length, as in the encoding. From 2 (one clear bit) up.
    marked: u16,
}

impl ApprovalBits {
    /// No approval, in the length that honest nodes write.
    pub const NONE: Self = Self { marked: 1 << APPROVAL_BITS_MAX };

    /// The approval of `signers` in the length that honest nodes write. `None` if a signer's index
    /// is 15 or more.
    pub fn of_signers(signers: impl IntoIterator<Item = usize>) -> Option<Self> {
        signers.into_iter().try_fold(Self::NONE, |bits, signer| {
            (signer < APPROVAL_BITS_MAX).then_some(Self { marked: bits.marked | 1 << signer })
        })
    }

    /// The bits from their encoded bytes (without the text form). `None` if these are not 1 to 15
    /// bits with their end mark in the last byte.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let marked = match *bytes {
            [low] => u16::from(low),
            // Without a mark in the second byte, the list would end in the first.
            [low, high] if high != 0 => u16::from_le_bytes([low, high]),
            _ => return None,
        };
        (marked >= 2).then_some(Self { marked })
    }

    /// How many bits there are, set or clear. 1 to 15.
    pub const fn length(self) -> u32 {
        self.marked.ilog2()
    }

    /// The authorities below index `authorities` that signed, lowest first.
    pub fn signers_below(self, authorities: usize) -> impl Iterator<Item = usize> {
        let set = self.set_below(authorities);
        (0..APPROVAL_BITS_MAX).filter(move |signer| set >> signer & 1 == 1)
    }

    /// How many authorities below index `authorities` signed. At most `authorities`.
    pub fn count_below(self, authorities: usize) -> usize {
        self.signers_below(authorities).count()
    }

    /// The set bits below `authorities`, as a mask: equal masks mean equal signer sets.
    pub const fn set_below(self, authorities: usize) -> u16 {
        let set = self.marked ^ (1 << self.length());
        if authorities >= APPROVAL_BITS_MAX { set } else { set & ((1 << authorities) - 1) }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (field, offset) = ("approval.aggregation_bits", reader.offset());
        let fault = Fault::NoApprovalBits;
        let (bytes, length) = reader.hex_up_to::<2>(field)?;
        let bits = bytes.get(..length).and_then(Self::from_bytes);
        bits.ok_or(DecodeError { field, offset, fault })
    }
}

impl fmt::Debug for ApprovalBits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.signers_below(APPROVAL_BITS_MAX)).finish()
    }
}

/// The bytes of an aggregate signature: a compressed point of the group G2, or all zero for none.
///
/// Decoding checks the form only. Whether the bytes are a point of the curve, and of the group, is
/// found when the signature is verified.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct AggregateSignature([u8; Self::BYTES]);

impl AggregateSignature {
    /// The size. Unit: bytes.
    pub const BYTES: usize = 96;

    /// No signature, as genesis has it. It verifies for nobody.
    pub const NONE: Self = Self([0; Self::BYTES]);

    /// The bit of the first byte that marks a compressed point.
    const COMPRESSED: u8 = 0x80;

    /// The signature with these bytes. `None` if they are neither all zero nor flagged as a
    /// compressed point.
    pub fn new(bytes: [u8; Self::BYTES]) -> Option<Self> {
        let [first, ..] = bytes;
        let signature = Self(bytes);
        (first & Self::COMPRESSED != 0 || signature.is_none()).then_some(signature)
    }

    /// Whether this is [`Self::NONE`].
    pub fn is_none(&self) -> bool {
        *self == Self::NONE
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (field, offset) = ("approval.aggregate_signature", reader.offset());
        let fault = Fault::NotCompressed;
        Self::new(reader.hex_array(field)?).ok_or(DecodeError { field, offset, fault })
    }
}

impl fmt::Debug for AggregateSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{}", hex::encode(self.0))
    }
}
