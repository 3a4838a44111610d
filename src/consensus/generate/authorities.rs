//! Authorities whose secret keys come from a seed.

use std::fmt;

use rand::{Rng as _, rngs::StdRng, seq::SliceRandom as _};
use sha2::{Digest, Sha256};

use crate::{
    consensus::{
        authorities::{AUTHORITIES_MAX, AuthoritySet},
        bls::SecretKey,
        majority::SignerSet,
    },
    types::BlockRoot,
    wire::block::{AggregateApproval, AggregateSignature, ApprovalBits},
};

/// Authorities of a generated chain with their secret keys, which are public knowledge to everybody
/// who knows the seed. Never for a live network.
#[derive(Clone)]
pub struct Authorities {
    set: AuthoritySet,
    secret: Vec<SecretKey>,
}

impl Authorities {
    /// The first `count` authorities of `seed`. `None` unless `count` is 1 to 15.
    pub(super) fn from_seed(seed: u64, count: usize) -> Option<Self> {
        if count > AUTHORITIES_MAX {
            return None;
        }
        let secret: Vec<_> = (0..count).map(|index| secret_key(seed, index)).collect();
        let set = AuthoritySet::new(secret.iter().map(SecretKey::public_key).collect()).ok()?;
        Some(Self { set, secret })
    }

    /// The set as verifiers know it.
    pub const fn set(&self) -> &AuthoritySet {
        &self.set
    }

    /// Some of the authorities, from a bare majority to all.
    pub(super) fn some_majority(&self, rng: &mut StdRng) -> SignerSet {
        let mut indexes: Vec<_> = (0..self.set.len()).collect();
        indexes.shuffle(rng);
        let count = rng.random_range(self.set.majority()..=self.set.len());
        SignerSet::below(self.set.len(), indexes.into_iter().take(count))
    }

    /// The approval of `signers` for the block with this root. Signed once with the sum of their
    /// keys, which gives the same bytes as the aggregate of single signatures. Indexes that belong
    /// to nobody are left out; nobody at all gives the empty approval.
    pub fn approve(&self, root: &BlockRoot, signers: SignerSet) -> AggregateApproval {
        let signers = SignerSet::below(self.secret.len(), signers.iter());
        let keys = signers.iter().filter_map(|index| self.secret.get(index));
        let signature = match SecretKey::sum(keys) {
            Ok(key) => AggregateSignature::new(key.sign(root).to_bytes())
                .expect("a signature in its compressed form is flagged as such"),
            Err(_) => AggregateSignature::NONE,
        };
        let bits = ApprovalBits::of_signers(signers.iter())
            .expect("the index of an authority is below the number of approval bits");
        AggregateApproval { bits, signature }
    }
}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Authorities").field(&self.set.keys()).finish()
    }
}

fn secret_key(seed: u64, index: usize) -> SecretKey {
    let digest = Sha256::new()
        .chain_update(b"alys-sync test authority")
        .chain_update(seed.to_be_bytes())
        .chain_update((index as u64).to_be_bytes())
        .finalize();
    SecretKey::from_digest(digest.into()).expect("no digest is known to be zero modulo the order")
}
