//! Signed roots without blocks around them: the work of verifying signatures and nothing else, for
//! benchmarks and tests.

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

use super::{Authorities, GenerateError};
use crate::{
    consensus::{authorities::AuthoritySet, majority::SignerSet},
    types::BlockRoot,
    wire::block::AggregateSignature,
};

/// Which signed roots to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignedRootsOptions {
    /// How many authorities, 1 to 15.
    pub authorities: usize,
    /// How many roots.
    pub count: usize,
    /// How many of them have a wrong signature, spread evenly. More than `count` means all.
    pub wrong: usize,
    /// Decides keys, roots and signers. Equal options give equal bytes.
    pub seed: u64,
}

/// A root, and who is said to have signed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignedRoot {
    /// What was signed.
    pub root: BlockRoot,
    /// From a bare majority of the authorities to all, another choice for each root.
    pub signers: SignerSet,
    /// A signature of those authorities: over this root, or over another one if it is wrong. So a
    /// wrong one is a point of the subgroup too, and only a pairing tells.
    pub signature: AggregateSignature,
}

/// Roots that the authorities of one set signed.
#[derive(Debug, Clone)]
pub struct SignedRoots {
    authorities: Authorities,
    roots: Vec<SignedRoot>,
}

/// Makes the signed roots that `options` describe. About 0.5 ms each.
///
/// # Errors
/// [`GenerateError::Authorities`].
pub fn signed_roots(options: SignedRootsOptions) -> Result<SignedRoots, GenerateError> {
    let SignedRootsOptions { authorities: count, seed, .. } = options;
    let authorities =
        Authorities::from_seed(seed, count).ok_or(GenerateError::Authorities { count })?;
    let mut rng = StdRng::seed_from_u64(seed);
    let signed = |index| {
        let signers = authorities.some_majority(&mut rng);
        let [root, other] = [rng.random(), rng.random()].map(BlockRoot::new);
        let signed = if options.is_wrong(index) { other } else { root };
        SignedRoot { root, signers, signature: authorities.approve(&signed, signers).signature }
    };
    let roots = (0..options.count).map(signed).collect();
    Ok(SignedRoots { authorities, roots })
}

impl SignedRootsOptions {
    /// Whether the root at `index` is the middle one of a `wrong`th part of all.
    fn is_wrong(&self, index: usize) -> bool {
        let wrong = self.wrong.min(self.count);
        (0..wrong).any(|part| (2 * part + 1) * self.count / (2 * wrong) == index)
    }
}

impl SignedRoots {
    /// The authorities that signed.
    pub const fn authorities(&self) -> &AuthoritySet {
        self.authorities.set()
    }

    /// The roots with their signers and signatures.
    pub fn roots(&self) -> &[SignedRoot] {
        &self.roots
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consensus::bls::{Signature, fast_aggregate_verify};

    fn invalid(options: SignedRootsOptions) -> Vec<usize> {
        let signed = signed_roots(options).unwrap();
        let is_valid = |signed_root: &SignedRoot| {
            let keys = signed.authorities().keys_of(signed_root.signers);
            let signature = Signature::from_bytes(signed_root.signature.as_bytes()).unwrap();
            assert!(signed_root.signers.count() >= signed.authorities().majority());
            fast_aggregate_verify(&signed_root.root, keys, &signature)
        };
        let roots = signed.roots().iter().enumerate();
        roots.filter(|(_, root)| !is_valid(root)).map(|(index, _)| index).collect()
    }

    const OPTIONS: SignedRootsOptions =
        SignedRootsOptions { authorities: 5, count: 12, wrong: 0, seed: 3 };

    #[test]
    fn as_many_are_wrong_as_asked_for_and_they_are_spread_evenly() {
        let wrong = |wrong| invalid(SignedRootsOptions { wrong, ..OPTIONS });
        assert!(wrong(0).is_empty());
        assert_eq!(wrong(1), [6]);
        assert_eq!(wrong(3), [2, 6, 10]);
        assert_eq!(wrong(5).len(), 5);
        assert_eq!(wrong(99).len(), 12);
    }

    #[test]
    fn equal_options_give_equal_roots_and_other_seeds_others() {
        let roots = |options| signed_roots(options).unwrap().roots().to_vec();
        assert_eq!(roots(OPTIONS), roots(OPTIONS));
        assert_ne!(roots(OPTIONS), roots(SignedRootsOptions { seed: 4, ..OPTIONS }));
    }

    #[test]
    fn numbers_of_authorities_that_no_chain_has_are_refused() {
        let refused =
            |authorities| signed_roots(SignedRootsOptions { authorities, ..OPTIONS }).unwrap_err();
        assert_eq!(refused(0), GenerateError::Authorities { count: 0 });
        assert_eq!(refused(16), GenerateError::Authorities { count: 16 });
    }
}
