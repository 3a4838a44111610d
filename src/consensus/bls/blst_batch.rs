//! blst's own way to verify many signatures together: what our batches are measured against, and a
//! second opinion on them.

use std::num::NonZeroU64;

use blst::{BLST_ERROR, Pairing};

use super::keys::{DOMAIN, PublicKey, Signature};
use crate::types::BlockRoot;

/// One of the signatures that [`verify_with_blst_batch`] verifies.
#[derive(Debug, Clone, Copy)]
pub struct WeightedSignature<'a> {
    /// The sum of the keys of all who signed.
    pub key: PublicKey,
    /// What they signed.
    pub root: BlockRoot,
    /// Their aggregate signature: 96 compressed bytes.
    pub signature: &'a [u8],
    /// Drawn at random once all signatures are fixed, so that errors built to cancel do not.
    pub weight: NonZeroU64,
}

/// Whether all `signatures` are valid, found by blst's own batch: one pairing for each of them,
/// weights on both sides, no grouping by key. On the caller's thread. Nothing at all is valid.
///
/// A sync uses [`batch`](crate::consensus::batch) instead, which is faster and says which
/// signature is wrong.
pub fn verify_with_blst_batch<'a>(
    signatures: impl IntoIterator<Item = WeightedSignature<'a>>,
) -> bool {
    let mut signatures = signatures.into_iter().peekable();
    if signatures.peek().is_none() {
        return true;
    }
    let mut pairing = Pairing::new(true, DOMAIN);
    for WeightedSignature { key, root, signature, weight } in signatures {
        let signature = Signature::from_bytes(signature).ok();
        let Some(point) = signature.and_then(|signature| signature.checked_point()) else {
            return false;
        };
        // Both points are in the subgroup by now: the key as a sum of validated keys.
        let added = pairing.mul_n_aggregate(
            &key.point().affine(),
            false,
            &point.affine(),
            false,
            &weight.get().to_le_bytes(),
            u64::BITS as usize,
            root.as_bytes(),
            &[],
        );
        if added != BLST_ERROR::BLST_SUCCESS {
            return false;
        }
    }
    pairing.commit();
    pairing.finalverify(None)
}
