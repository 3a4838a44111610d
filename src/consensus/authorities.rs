//! The set of authorities that may sign blocks, in the order of the chain specification.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use super::{
    bls::{self, PublicKey},
    majority::SignerSet,
};
use crate::wire::block::APPROVAL_BITS_MAX;

/// The most authorities that a set can have: one for each approval bit.
///
/// Source: the bound of the bit list in the network's block format, 15. Lower: chains of the
/// network are refused. Higher: authorities without a bit could never sign.
pub const AUTHORITIES_MAX: usize = APPROVAL_BITS_MAX;

/// Why keys are no authority set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthoritySetError {
    /// A chain without authorities can have no valid block.
    #[error("there are no authorities")]
    Empty,
    /// More authorities than approval bits.
    #[error("{count} authorities, at most {AUTHORITIES_MAX} can be told apart")]
    TooMany {
        /// How many there are.
        count: usize,
    },
    /// One key twice: its holder would count twice towards the majority.
    #[error("authority {second} has the same key as authority {first}")]
    Duplicate {
        /// Index of the first place.
        first: usize,
        /// Index of the second place.
        second: usize,
    },
}

/// One to fifteen distinct authorities. The order matters: bit i of an approval is the signature
/// of key i. Cheap to clone; clones share the keys that were summed before.
#[derive(Clone)]
pub struct AuthoritySet(Arc<Authorities>);

struct Authorities {
    keys: Vec<PublicKey>,
    /// The summed keys of signer sets, `None` for those that cancel out. At most one for each set
    /// of authorities, so 2^15 of about 150 bytes each; a chain has a few dozen.
    aggregates: RwLock<BTreeMap<SignerSet, Option<PublicKey>>>,
}

impl PartialEq for AuthoritySet {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.keys() == other.keys()
    }
}

impl Eq for AuthoritySet {}

impl fmt::Debug for AuthoritySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AuthoritySet").field(&self.keys()).finish()
    }
}

impl AuthoritySet {
    /// The authorities with these keys, in this order.
    ///
    /// # Errors
    /// [`AuthoritySetError`] for none, too many, or one key twice.
    pub fn new(keys: Vec<PublicKey>) -> Result<Self, AuthoritySetError> {
        if keys.is_empty() {
            return Err(AuthoritySetError::Empty);
        }
        if keys.len() > AUTHORITIES_MAX {
            return Err(AuthoritySetError::TooMany { count: keys.len() });
        }
        for (second, key) in keys.iter().enumerate() {
            if let Some(first) = keys.iter().take(second).position(|other| other == key) {
                return Err(AuthoritySetError::Duplicate { first, second });
            }
        }
        Ok(Self(Arc::new(Authorities { keys, aggregates: RwLock::default() })))
    }

    /// How many authorities, 1 to 15.
    #[expect(clippy::len_without_is_empty, reason = "a set is never empty")]
    pub fn len(&self) -> usize {
        self.0.keys.len()
    }

    /// How many of them must sign a block: two thirds of all, rounded up.
    pub fn majority(&self) -> usize {
        (2 * self.len()).div_ceil(3)
    }

    /// The keys in order.
    pub fn keys(&self) -> &[PublicKey] {
        &self.0.keys
    }

    /// The keys of `signers`, in order. Indexes that belong to nobody are left out.
    pub fn keys_of(&self, signers: SignerSet) -> impl Iterator<Item = &PublicKey> {
        signers.iter().filter_map(|index| self.keys().get(index))
    }

    /// The key that verifies what all `signers` signed together; indexes that belong to nobody are
    /// left out. `None` if there are none, or if their keys cancel out. Summed once for each set.
    pub fn aggregate(&self, signers: SignerSet) -> Option<PublicKey> {
        let signers = SignerSet::below(self.len(), signers.iter());
        let aggregates = &self.0.aggregates;
        let known = aggregates.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(aggregate) = known.get(&signers) {
            return *aggregate;
        }
        drop(known);
        let aggregate = bls::aggregate(self.keys_of(signers));
        aggregates.write().unwrap_or_else(PoisonError::into_inner).insert(signers, aggregate);
        aggregate
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consensus::bls::SecretKey;

    fn keys(count: u8) -> Vec<PublicKey> {
        (1..=count).map(|n| SecretKey::from_digest([n; 32]).unwrap().public_key()).collect()
    }

    #[test]
    fn majority_is_two_thirds_rounded_up() {
        let majorities: Vec<_> =
            (1..=15).map(|n| AuthoritySet::new(keys(n)).unwrap().majority()).collect();
        assert_eq!(majorities, [1, 2, 2, 3, 4, 4, 5, 6, 6, 7, 8, 8, 9, 10, 10]);
    }

    #[test]
    fn refuses_none_too_many_and_one_key_twice() {
        assert_eq!(AuthoritySet::new(vec![]), Err(AuthoritySetError::Empty));
        assert_eq!(AuthoritySet::new(keys(16)), Err(AuthoritySetError::TooMany { count: 16 }));
        let mut twice = keys(3);
        twice.push(twice[1]);
        assert_eq!(
            AuthoritySet::new(twice),
            Err(AuthoritySetError::Duplicate { first: 1, second: 3 })
        );
    }

    #[test]
    fn names_the_keys_of_signers_in_order() {
        let set = AuthoritySet::new(keys(5)).unwrap();
        let signers = SignerSet::below(5, [4, 1]);
        assert_eq!(set.keys_of(signers).collect::<Vec<_>>(), [&set.keys()[1], &set.keys()[4]],);
    }

    #[test]
    fn sums_the_keys_of_signers_the_same_when_asked_again() {
        let set = AuthoritySet::new(keys(5)).unwrap();
        let signers = SignerSet::below(5, [0, 2, 3]);
        let sum = bls::aggregate(set.keys_of(signers));
        assert!(sum.is_some());
        assert_eq!([set.aggregate(signers), set.aggregate(signers)], [sum, sum]);
        assert_eq!(set.clone().aggregate(SignerSet::EMPTY), None);
        // Indexes above the set do not make another entry.
        let phantom = SignerSet::below(15, [0, 2, 3, 9]);
        assert_eq!(set.aggregate(phantom), sum);
        assert_eq!(set.0.aggregates.read().unwrap().len(), 2);
    }

    #[test]
    fn keys_that_cancel_out_have_no_sum() {
        let [one, minus_one] = bls::cancelling_keys(1).map(|key| key.public_key());
        let set = AuthoritySet::new(vec![one, minus_one]).unwrap();
        assert_eq!(set.aggregate(SignerSet::below(2, [0, 1])), None);
        assert_eq!(set.aggregate(SignerSet::below(2, [0])), Some(one));
    }
}
