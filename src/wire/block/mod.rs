//! Blocks: their structure, their one encoding and their identity.
//!
//! Owns the types of a block, decoding that accepts canonical bytes only, encoding to the same
//! bytes, and the [`signing_root`]. Does not judge a block: links, slots, signers, signatures and
//! proofs of work belong to the consensus rules.
//!
//! Structures are arrays in field order; absent options are nil. What comes from the execution
//! side is text (hexadecimal and decimal), what comes from Bitcoin is binary in the byte order
//! that Bitcoin hashes, not the reversed one that it displays.
//!
//! There is one decoder and two ways to run it. [`EncodedBlock`] is what sync handles: the bytes
//! were checked whole, and of the fields only those that sync needs were taken out, without
//! allocating. [`SignedBlock`] is the block built in full, for who asks for more.
//!
//! A block built in full takes at most about twelve times the memory of its bytes, reached only by
//! blocks full of empty Bitcoin transactions; ordinary blocks take less than their bytes.

mod approval;
mod auxpow;
pub mod bitcoin;
mod byte_lists;
mod encoded;
mod payload;
mod root;
mod signed;

#[cfg(test)]
pub(crate) mod arbitrary;
#[cfg(test)]
mod tests;

pub use approval::{APPROVAL_BITS_MAX, AggregateApproval, AggregateSignature, ApprovalBits};
pub use auxpow::{AuxPow, AuxPowHeader, MerkleBranch};
pub use byte_lists::ByteLists;
pub use encoded::EncodedBlock;
pub use payload::{
    Address, EXTRA_DATA_BYTES_MAX, ExecutionPayload, TRANSACTIONS_MAX, WITHDRAWALS_MAX, Withdrawal,
};
pub use root::signing_root;
pub use signed::{BLOCK_BYTES_MAX, BlockError, ConsensusBlock, Pegin, SignedBlock};
