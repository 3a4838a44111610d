//! BLS12-381 signatures in the form that the network uses: keys in G1, signatures in G2.
//!
//! Owns the one domain separation tag, keys and signatures, the rule of what a valid aggregate is,
//! and the curve as values that cannot be misused. Verification runs on the caller's thread: blst's
//! own `fast_aggregate_verify` hands every call to a thread pool of its own, which would fight with
//! ours for the cores, so the pairing is driven here.
//!
//! Failure: bytes that are no key or no point are a [`BlsError`]; a signature that does not
//! verify is `false`. Points at infinity verify nothing.

mod blst_batch;
pub(crate) mod curve;
mod hash;
mod keys;

pub use blst_batch::{WeightedSignature, verify_with_blst_batch};
pub(crate) use hash::{MessagePoint, clear_cofactor};
pub use keys::{
    BlsError, DOMAIN, PUBLIC_KEY_BYTES, PublicKey, SIGNATURE_BYTES, SecretKey, Signature,
    aggregate, fast_aggregate_verify,
};

#[cfg(test)]
pub(crate) use keys::{cancelling_keys, infinity_signature, stray_signature};
