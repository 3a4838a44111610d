//! What one block claims: these authorities signed this root.

use crate::{
    consensus::{
        authorities::AuthoritySet,
        bls::{
            self, MessagePoint, Signature,
            curve::{G1Point, G2Point},
        },
        majority::SignerSet,
    },
    types::BlockRoot,
};

/// The claim that authorities signed a root, ready to be checked together with others. Its
/// signature is a point of the subgroup, its key the sum of theirs, and neither is at infinity.
#[derive(Debug, Clone)]
pub struct SignatureClaim {
    pub(super) authorities: AuthoritySet,
    pub(super) signers: SignerSet,
    pub(super) key: G1Point,
    pub(super) message: MessagePoint,
    pub(super) point: G2Point,
    root: BlockRoot,
}

impl SignatureClaim {
    /// The claim that `signers` of `authorities` made the aggregate `signature` (96 compressed
    /// bytes) over `root`. `None` if that cannot be: nobody signed, their keys cancel out, or the
    /// signature is no point of the subgroup, or infinity. Most of the cost of a batch is here.
    pub fn new(
        authorities: &AuthoritySet,
        signers: SignerSet,
        root: BlockRoot,
        signature: &[u8],
    ) -> Option<Self> {
        let key = authorities.aggregate(signers)?.point();
        let point = Signature::from_bytes(signature).ok()?.checked_point()?;
        let message = MessagePoint::of(&root);
        let authorities = authorities.clone();
        Some(Self { authorities, signers, key, message, point, root })
    }

    /// The same claim with another signature, which no decoder has seen.
    #[cfg(test)]
    pub(super) fn replace_signature(&mut self, point: G2Point) {
        self.point = point;
    }

    /// The same claim as a mistaken map to the curve would make it: with the message point of
    /// `root`.
    #[cfg(test)]
    pub(super) fn mistake_message(&mut self, root: &BlockRoot) {
        self.message = MessagePoint::of(root);
    }

    /// Whether the claim is true, found without any other.
    pub fn is_valid(&self) -> bool {
        let keys = self.authorities.keys_of(self.signers);
        bls::fast_aggregate_verify(&self.root, keys, &Signature::from_point(self.point))
    }
}
