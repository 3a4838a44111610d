//! The set of authorities that may sign blocks, in the order of the chain specification.

use super::{bls::PublicKey, majority::SignerSet};
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
/// of key i.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthoritySet(Vec<PublicKey>);

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
        Ok(Self(keys))
    }

    /// How many authorities, 1 to 15.
    #[expect(clippy::len_without_is_empty, reason = "a set is never empty")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// How many of them must sign a block: two thirds of all, rounded up.
    pub fn majority(&self) -> usize {
        (2 * self.len()).div_ceil(3)
    }

    /// The keys in order.
    pub fn keys(&self) -> &[PublicKey] {
        &self.0
    }

    /// The keys of `signers`, in order. Indexes that belong to nobody are left out.
    pub fn keys_of(&self, signers: SignerSet) -> impl Iterator<Item = &PublicKey> {
        signers.iter().filter_map(|index| self.0.get(index))
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
}
