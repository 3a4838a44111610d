//! Verifying the signatures of many blocks together.
//!
//! Owns: what has to hold of a signature before it may be added to others ([`SignatureClaim`]), the
//! equation over a batch, and the search for the claims that break it. Does not own: blocks, the
//! forming of batches, threads, entropy.
//!
//! # The equation
//! One signature S over the message point H by the summed key P is valid if e(P, H) = e(g, S). For
//! n of them, with weights r drawn at random after the batch is fixed, it is enough that
//!
//! ```text
//! e(P1, r1 H1) ... e(Pn, rn Hn) = e(g, r1 S1 + ... + rn Sn)
//! ```
//!
//! If any claim is wrong, at most one value of its weight makes the equation hold, whatever the
//! others are: the weights have 64 bits, so a wrong batch passes with a chance of at most 2^-63.
//! Weights are never zero, and errors that are built to cancel each other do not, because their
//! builder does not know the weights. What does not depend on weights is checked for each claim by
//! itself: that S is in the subgroup, and that neither S nor P is at infinity.
//!
//! Pairings are what costs, and pairings with a common first argument merge: e(P, A) e(P, B) =
//! e(P, A + B). Authorities are few, so claims are grouped by their signers, or, where nearly every
//! claim has its own set of signers, by single authority: see `groups.rs`.
//!
//! # When it does not hold
//! The batch is halved again and again. The value of a batch (left side over right side) is the
//! product of the values of its halves, so the value of the right half follows from the other two
//! without a pairing. For k wrong claims of n that takes at most k (1 + log2(m / k)) products of
//! pairings, where m is n rounded up to a power of two: half of what checking both halves would.
//!
//! Message points come from our own map to the curve, so a claim that the search finds is put to
//! blst's plain check before it is called invalid: a mistake of the map could cost time, but never
//! condemn a valid block. Nor could it pass an invalid one: that takes a signature over the point.
//!
//! Sources: Bellare, Garay and Rabin, "Fast batch verification for modular exponentiation and
//! digital signatures" (small exponents); Law and Matt, "Finding invalid signatures in
//! pairing-based batches" (the inferred half).

mod claim;
mod groups;
mod search;

#[cfg(test)]
mod tests;

use std::num::NonZeroU64;

pub use claim::SignatureClaim;
pub use search::{BatchVerdict, SignatureBatch};

/// Where the weights of a batch come from.
///
/// An attacker who can foresee them can pass invalid signatures off as valid. So they come from a
/// cryptographic generator that was seeded by the operating system, and never from the data; only
/// simulations, which repeat a run, may give others.
pub trait Weights {
    /// The next weight: uniform over all numbers of 64 bits but zero.
    fn draw(&mut self) -> NonZeroU64;
}
