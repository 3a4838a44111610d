//! Which authorities signed a block, counted by the rule that only bits below the number of
//! authorities mean anything.
//!
//! Today's nodes count every set bit and verify only those below the number of authorities, so one
//! authority can pass for a majority by setting bits that belong to nobody. Here such bits are
//! ignored: never counted, never a reason to refuse or to blame, since anybody can add them.

use std::fmt;

use super::authorities::AUTHORITIES_MAX;

/// A set of authorities by their index in the authority set. Every index is below
/// [`AUTHORITIES_MAX`]. Small and ordered, so that blocks can be grouped by their signers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct SignerSet(u16);

const _: () = assert!(AUTHORITIES_MAX <= 16, "one bit an authority");

impl SignerSet {
    /// The set without anybody.
    pub const EMPTY: Self = Self(0);

    /// The indexes among `indexes` that are below `authorities`; all others are ignored.
    pub fn below(authorities: usize, indexes: impl IntoIterator<Item = usize>) -> Self {
        let bound = authorities.min(AUTHORITIES_MAX);
        Self(indexes.into_iter().filter(|i| *i < bound).fold(0, |bits, i| bits | (1 << i)))
    }

    /// How many authorities.
    pub const fn count(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Whether the authority with this index is one of them.
    pub const fn contains(self, index: usize) -> bool {
        index < AUTHORITIES_MAX && self.0 & (1 << index) != 0
    }

    /// The indexes, rising.
    pub fn iter(self) -> impl Iterator<Item = usize> {
        (0..AUTHORITIES_MAX).filter(move |index| self.contains(*index))
    }
}

impl fmt::Debug for SignerSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ignores_bits_that_belong_to_nobody() {
        let set = SignerSet::below(3, [0, 2, 3, 7, 14, 15, usize::MAX]);
        assert_eq!(set.iter().collect::<Vec<_>>(), [0, 2]);
        assert_eq!(set, SignerSet::below(3, [2, 0]));
        assert_eq!(SignerSet::below(100, [15]), SignerSet::EMPTY);
        assert!(!set.contains(usize::MAX));
    }

    proptest! {
        #[test]
        fn bits_at_or_above_the_bound_never_change_the_set(
            bound in 1..=AUTHORITIES_MAX,
            low in proptest::collection::vec(0..AUTHORITIES_MAX, 0..20),
            high in proptest::collection::vec(any::<usize>(), 0..20),
        ) {
            let low: Vec<_> = low.into_iter().filter(|index| *index < bound).collect();
            let high = high.into_iter().filter(|index| *index >= bound);
            let both = low.iter().copied().chain(high);
            prop_assert_eq!(SignerSet::below(bound, both), SignerSet::below(bound, low.clone()));
        }
    }
}
