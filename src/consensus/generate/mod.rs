//! Makes chains of signed blocks from a seed, for demos, tests, benchmarks and chaos runs.
//!
//! The blocks are what a verifier wants: linked, in slots that advance, with execution payloads
//! whose block hashes are true, signed by a majority that varies from block to block. What they
//! are not: executable. Transactions are bytes of realistic sizes that start like transactions;
//! no execution client would run them. There is no proof of work after genesis, which the
//! specification allows for the whole length.
//!
//! Equal options give equal chains, bit for bit. The authorities' secret keys come from the seed
//! too, so anybody can sign for such a chain: never use one for a live network.
//!
//! Failure: options out of range are a [`GenerateError`]; after that nothing fails.

mod authorities;
mod blocks;
mod content;
mod signed_roots;
mod transactions;

use std::sync::Arc;

pub use authorities::Authorities;
pub use blocks::Blocks;
pub use signed_roots::{SignedRoot, SignedRoots, SignedRootsOptions, signed_roots};
pub use transactions::Transactions;

use super::{
    authorities::AUTHORITIES_MAX,
    by_height::ByHeight,
    chain_spec::{ChainSpec, RetargetParams},
    slot_rule::SlotDuration,
};
use crate::wire::block::EncodedBlock;

/// The shortest slot of a generated chain. Unit: milliseconds. Source: timestamps count seconds
/// and must rise from block to block. Lower: they would repeat. Higher: needlessly few options.
pub const SLOT_MS_MIN: u64 = 1000;

/// The id of generated chains. Source: the id that development chains of the network use. On a
/// live chain's id a generated chain could be taken for it.
const CHAIN_ID: u32 = 121_212;

/// The proof-of-work target of generated chains, in Bitcoin's compact form. Source: the regression
/// test target of Bitcoin, which is met by every second hash; nothing is mined here.
const POW_BITS: u32 = 0x207f_ffff;

/// What chain to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GenerateOptions {
    /// How many blocks above genesis.
    pub blocks: u64,
    /// How many authorities, 1 to 15.
    pub authorities: usize,
    /// Decides everything that the other options leave open.
    pub seed: u64,
    /// What the blocks carry.
    pub transactions: Transactions,
    /// How long a slot lasts, from [`SLOT_MS_MIN`] on. Unit: milliseconds.
    pub slot_duration_ms: u64,
    /// When genesis was made. Unit: seconds since the Unix epoch.
    pub genesis_time: u64,
}

impl Default for GenerateOptions {
    /// 10,000 blocks of five authorities, filled like the blocks of a busy chain, 5 s apart.
    fn default() -> Self {
        Self {
            blocks: 10_000,
            authorities: 5,
            seed: 1,
            transactions: Transactions::default(),
            slot_duration_ms: 5000,
            genesis_time: 1_700_000_000,
        }
    }
}

/// Why a chain cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GenerateError {
    /// Nobody to sign, or more than there are approval bits.
    #[error("{count} authorities: give 1 to {AUTHORITIES_MAX}")]
    Authorities {
        /// How many were asked for.
        count: usize,
    },
    /// Slots too short for timestamps in seconds.
    #[error("slots of {ms} ms: give at least {SLOT_MS_MIN}")]
    SlotDuration {
        /// The duration asked for.
        ms: u64,
    },
    /// More in a block than a block can carry.
    #[error("{bytes} bytes of transactions in a block: at most {max} fit")]
    BlockTooLarge {
        /// How many bytes were asked for in each block.
        bytes: u64,
        /// How many fit.
        max: u64,
    },
    /// The last block would be made after the end of time.
    #[error("the timestamps of so many blocks from that genesis time on cannot be written")]
    OutOfTime,
}

/// A generated chain: its specification and its genesis block, and its blocks on demand.
#[derive(Debug, Clone)]
pub struct GeneratedChain {
    spec: Arc<ChainSpec>,
    genesis: EncodedBlock,
    authorities: Authorities,
    options: GenerateOptions,
}

/// Makes the chain that `options` describe. Its blocks are made as they are asked for.
///
/// # Errors
/// [`GenerateError`] for options out of range.
pub fn generate(options: GenerateOptions) -> Result<GeneratedChain, GenerateError> {
    let slot_duration = SlotDuration::from_ms(options.slot_duration_ms)
        .filter(|duration| duration.as_ms() >= SLOT_MS_MIN)
        .ok_or(GenerateError::SlotDuration { ms: options.slot_duration_ms })?;
    options.transactions.check()?;
    blocks::check_time(&options)?;
    let authorities = Authorities::from_seed(options.seed, options.authorities)
        .ok_or(GenerateError::Authorities { count: options.authorities })?;
    let spec = ChainSpec {
        authorities: ByHeight::always(authorities.set().clone()),
        slot_durations: ByHeight::always(slot_duration),
        chain_id: CHAIN_ID,
        bits: POW_BITS,
        max_blocks_without_pow: options.blocks,
        retarget: RetargetParams {
            never: true,
            limit: POW_BITS,
            lower_limit: POW_BITS,
            max_adjustment_percent: 20,
            timespan: 60,
            spacing: 5,
        },
        synthetic_payloads: false,
    };
    let genesis = content::genesis(&options, &spec);
    Ok(GeneratedChain { spec: Arc::new(spec), genesis, authorities, options })
}

impl GeneratedChain {
    /// The specification of the chain. [`ChainSpec::to_json`] makes the operator's file of it.
    pub const fn spec(&self) -> &Arc<ChainSpec> {
        &self.spec
    }

    /// Block 0, unsigned.
    pub const fn genesis(&self) -> &EncodedBlock {
        &self.genesis
    }

    /// The keys that sign the chain, for tests that tamper with blocks and sign them again.
    pub const fn authorities(&self) -> &Authorities {
        &self.authorities
    }

    /// The options that the chain was made from.
    pub const fn options(&self) -> &GenerateOptions {
        &self.options
    }

    /// The blocks from height 1 on. Signs on all threads of the rayon pool that it is called in.
    pub fn blocks(&self) -> Blocks<'_> {
        Blocks::of(self)
    }
}

#[cfg(test)]
mod tests;
