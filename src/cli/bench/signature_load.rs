//! Signatures to be verified in three ways, each from their compressed bytes on and with the summed
//! keys at hand. Knows nothing of the command line: `benches/verification.rs` uses this file too.

use alys_sync::{
    consensus::{
        batch::{SignatureBatch, SignatureClaim, Weights as _},
        bls::{Signature, WeightedSignature, fast_aggregate_verify, verify_with_blst_batch},
        generate::{GenerateError, SignedRoot, SignedRoots, SignedRootsOptions, signed_roots},
    },
    ports::RandomWeights,
};

/// Decides keys, roots and signers. Another one gives other signatures that cost the same.
const SEED: u64 = 1;

/// What the weights of batches come from. Nobody attacks a measurement, so it need not be secret.
const WEIGHT_SEED: [u8; 32] = [1; 32];

/// Signed roots of one set of authorities.
pub(crate) struct SignatureLoad(SignedRoots);

impl SignatureLoad {
    /// `count` signed roots, `wrong` of them not signed by those who are named.
    pub(crate) fn new(
        authorities: usize,
        count: usize,
        wrong: usize,
    ) -> Result<Self, GenerateError> {
        let options = SignedRootsOptions { authorities, count, wrong, seed: SEED };
        signed_roots(options).map(Self)
    }

    /// How many of the first `count` are valid, found one by one.
    pub(crate) fn single(&self, count: usize) -> usize {
        let valid = |one: &&SignedRoot| {
            let key = self.0.authorities().aggregate(one.signers);
            let signature = Signature::from_bytes(one.signature.as_bytes()).ok();
            key.zip(signature).is_some_and(|(key, signature)| {
                fast_aggregate_verify(&one.root, [&key], &signature)
            })
        };
        self.first(count).iter().filter(valid).count()
    }

    /// Whether the first `count` are all valid, found by blst's own batch.
    pub(crate) fn blst_batch(&self, count: usize) -> bool {
        let mut weights = RandomWeights::new(WEIGHT_SEED);
        let weighted = self.first(count).iter().filter_map(|one| {
            let (key, weight) = (self.0.authorities().aggregate(one.signers)?, weights.draw());
            let signature = one.signature.as_bytes();
            Some(WeightedSignature { key, root: one.root, signature, weight })
        });
        verify_with_blst_batch(weighted)
    }

    /// How many of the first `count` are valid, found as a sync does: grouped, and searched if any
    /// is not.
    pub(crate) fn grouped(&self, count: usize) -> usize {
        let claim = |one: &SignedRoot| {
            let signature = one.signature.as_bytes();
            SignatureClaim::new(self.0.authorities(), one.signers, one.root, signature)
        };
        let claims: Vec<_> = self.first(count).iter().filter_map(claim).collect();
        let batch = SignatureBatch::new(&claims, &mut RandomWeights::new(WEIGHT_SEED));
        claims.len() - batch.check().invalid.len()
    }

    fn first(&self, count: usize) -> &[SignedRoot] {
        self.0.roots().get(..count).unwrap_or(self.0.roots())
    }
}
