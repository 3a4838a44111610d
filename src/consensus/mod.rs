//! The consensus rules that a full node checks, as pure functions over one block or two.
//!
//! Owns: the operator's chain specification, the authority sets and slot durations by height,
//! BLS signatures, the slot rule, the majority rule, execution block hashes, the link rule, and
//! the proof by type that a block passed ([`VerifiedBlock`]).
//! Does not own: the encoding of blocks, the order of import, the state of any peer, execution.
//!
//! Failure: every refusal is a typed value; [`BlockFault::is_provable_lie`] says whether it
//! convicts the sender. Nothing here reads a clock, draws entropy, does I/O or panics on what a
//! peer sent. [`generate`] makes chains for tests, demos and benchmarks.

mod authorities;
pub mod batch;
pub mod bls;
mod by_height;
mod chain_spec;
pub mod generate;
mod genesis;
mod link;
mod majority;
mod memory;
mod payload_hash;
mod slot_rule;
mod verify;

#[cfg(test)]
mod tests;

pub use authorities::{AUTHORITIES_MAX, AuthoritySet, AuthoritySetError};
pub use by_height::{ByHeight, ByHeightError};
pub use chain_spec::{ChainSpec, ChainSpecError, Expected, RetargetParams};
pub use genesis::{Genesis, GenesisError};
pub use link::{LinkFault, LinkPoint, links};
pub use majority::SignerSet;
pub use payload_hash::execution_hash;
pub use slot_rule::{LEGACY_SLOT_MS, SlotDuration, slot_is_in_future};
pub use verify::{AttestedBlock, BlockFault, ClaimedBlock, VerifiedBlock, Verifier, attest};
