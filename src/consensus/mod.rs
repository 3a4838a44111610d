//! The consensus rules that a full node checks, as pure functions over one block or two.
//!
//! Owns: the operator's chain specification, the authority sets and slot durations by height,
//! BLS signatures, the slot rule and the majority rule.
//! Does not own: the encoding of blocks, the order of import, the state of any peer, execution.
//!
//! Failure: every refusal is a typed value. Nothing here reads a clock, draws entropy, does I/O
//! or panics on what a peer sent.

mod authorities;
pub mod bls;
mod by_height;
mod chain_spec;
mod majority;
mod slot_rule;

pub use authorities::{AUTHORITIES_MAX, AuthoritySet, AuthoritySetError};
pub use by_height::{ByHeight, ByHeightError};
pub use chain_spec::{ChainSpec, ChainSpecError, Expected, RetargetParams};
pub use majority::SignerSet;
pub use slot_rule::{LEGACY_SLOT_MS, SlotDuration, slot_is_in_future};
