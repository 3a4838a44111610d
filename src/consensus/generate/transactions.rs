//! How many transactions a generated block carries and how large they are.

use rand::{Rng, RngCore, rngs::StdRng};

use super::GenerateError;
use crate::wire::block::{BLOCK_BYTES_MAX, ByteLists};

/// The most that the transactions of a generated block take once encoded. Unit: bytes. Source: the
/// limit of a block less 64 KiB for everything else, which takes about 3 KiB. Lower: fewer large
/// blocks can be made. Higher: blocks could be made that no node would send.
const ENCODED_BYTES_MAX: u64 = BLOCK_BYTES_MAX as u64 - (64 << 10);

/// What one transaction takes encoded beside two digits a byte. Unit: bytes.
const ENCODED_OVERHEAD_BYTES: u64 = 7;

/// The sizes below which 5, 50, 75, 90, 95, 98, 99, 99.9 and 100 percent of transactions lie, with
/// that part in thousandths. Unit: bytes. Source: 10,387 transactions with the call data of a live
/// chain (the payloads that `tests/vectors/execution` begins with). Other figures change how well
/// generated blocks stand for real ones, nothing else.
const SIZES: [(u32, u32); 10] = [
    (0, 105),
    (50, 111),
    (500, 122),
    (750, 183),
    (900, 312),
    (950, 609),
    (980, 1082),
    (990, 1666),
    (999, 5890),
    (1000, 6384),
];

/// The mean of [`SIZES`], to judge how full blocks will be. Unit: bytes. Source: as for them.
const SIZE_MEAN: u64 = 211;

/// The transactions of generated blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transactions {
    /// Sizes as on a live chain, from 105 bytes to 6 kB with a median of 122, and a number that
    /// varies from block to block between none and twice the mean.
    Realistic {
        /// How many a block on average. 0 makes empty blocks.
        mean_per_block: u32,
    },
    /// The same in every block.
    Fixed {
        /// How many a block.
        per_block: u32,
        /// The size of each. Unit: bytes.
        bytes: u32,
    },
}

impl Default for Transactions {
    /// Nine a block on average, as measured where [`Transactions::Realistic`] has its sizes from.
    fn default() -> Self {
        Self::Realistic { mean_per_block: 9 }
    }
}

impl Transactions {
    /// Refuses blocks that would be too large, by their mean size where sizes vary.
    pub(super) fn check(self) -> Result<(), GenerateError> {
        let (per_block, bytes) = match self {
            Self::Realistic { mean_per_block } => (2 * u64::from(mean_per_block), SIZE_MEAN),
            Self::Fixed { per_block, bytes } => (u64::from(per_block), u64::from(bytes)),
        };
        if per_block.saturating_mul(encoded_bytes(bytes)) <= ENCODED_BYTES_MAX {
            return Ok(());
        }
        let max = ENCODED_BYTES_MAX / encoded_bytes(bytes) * bytes;
        Err(GenerateError::BlockTooLarge { bytes: per_block.saturating_mul(bytes), max })
    }

    /// The transactions of one block. Ends early where the next one would not fit.
    pub(super) fn draw(self, rng: &mut StdRng) -> ByteLists {
        let count = match self {
            Self::Realistic { mean_per_block } => {
                rng.random_range(0..=2 * u64::from(mean_per_block))
            }
            Self::Fixed { per_block, .. } => u64::from(per_block),
        };
        let mut transactions = ByteLists::default();
        let mut room = ENCODED_BYTES_MAX;
        for _ in 0..count {
            let bytes = match self {
                Self::Realistic { .. } => realistic_size(rng),
                Self::Fixed { bytes, .. } => bytes,
            };
            match room.checked_sub(encoded_bytes(bytes.into())) {
                Some(less) => room = less,
                None => break,
            }
            transactions.push(&transaction(bytes as usize, rng));
        }
        transactions
    }
}

/// What a transaction of so many bytes takes encoded. Unit: bytes.
const fn encoded_bytes(bytes: u64) -> u64 {
    2 * bytes + ENCODED_OVERHEAD_BYTES
}

/// A size by the measured distribution, straight lines between its points.
fn realistic_size(rng: &mut StdRng) -> u32 {
    let part = rng.random_range(0..1000_u32);
    let [mut low, mut high] = [SIZES[0]; 2];
    for point in SIZES {
        high = point;
        if point.0 > part {
            break;
        }
        low = point;
    }
    low.1 + (high.1 - low.1) * (part - low.0) / (high.0 - low.0)
}

/// Bytes that start like a typed transaction and, as call data does, hold words of 32 bytes: small
/// numbers, addresses and digests, so that a good part of them is zero.
fn transaction(bytes: usize, rng: &mut StdRng) -> Vec<u8> {
    let mut transaction = Vec::with_capacity(bytes + WORD_BYTES);
    transaction.push(FEE_MARKET_TYPE);
    let mut head = [0; SIGNED_HEAD_BYTES];
    rng.fill_bytes(&mut head);
    transaction.extend_from_slice(&head);
    while transaction.len() < bytes {
        let mut word = [0; WORD_BYTES];
        let random = [4, 20, 32][rng.random_range(0..3)];
        rng.fill_bytes(&mut word[WORD_BYTES - random..]);
        transaction.extend_from_slice(&word);
    }
    transaction.truncate(bytes);
    transaction
}

/// The first byte of most transactions of today. Source: EIP-1559.
const FEE_MARKET_TYPE: u8 = 2;

/// What a transaction without call data takes beside its type: nonce, fees, recipient, value and
/// signature. Unit: bytes. Source: the least size measured, see [`SIZES`].
const SIGNED_HEAD_BYTES: usize = 104;

/// A word of call data. Unit: bytes. Source: the execution machine's word.
const WORD_BYTES: usize = 32;
