//! The check of a batch, and the search for what breaks it.

use std::{num::NonZeroU64, ops::Range, sync::LazyLock};

use crate::consensus::bls::curve::{G1Point, G2Point, G2Sum, PairingValue};

use super::{Weights, claim::SignatureClaim, groups};

/// The first argument of the pairing that signatures stand in, with the sign that brings it to the
/// left side.
static MINUS_GENERATOR: LazyLock<G1Point> = LazyLock::new(G1Point::minus_generator);

/// Claims with their weights: from here on the batch is fixed.
#[derive(Debug)]
pub struct SignatureBatch<'a> {
    terms: Vec<Term<'a>>,
}

/// A claim, its message point in affine coordinates, and its weight.
#[derive(Debug)]
struct Term<'a> {
    claim: &'a SignatureClaim,
    message: G2Point,
    weight: NonZeroU64,
}

/// What became of the claims of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchVerdict {
    /// The places of the invalid claims in the batch, rising.
    pub invalid: Vec<usize>,
    /// How many products of pairings it took.
    pub group_checks: usize,
}

impl<'a> SignatureBatch<'a> {
    /// Fixes the batch, then draws its weights. A claim alone needs none.
    pub fn new(
        claims: impl IntoIterator<Item = &'a SignatureClaim>,
        weights: &mut dyn Weights,
    ) -> Self {
        let claims: Vec<_> = claims.into_iter().collect();
        let sums: Vec<G2Sum> = claims.iter().map(|claim| claim.message.0).collect();
        let messages = G2Sum::to_affine(&sums);
        let alone = claims.len() == 1;
        let weight = || if alone { NonZeroU64::MIN } else { weights.draw() };
        let term = |((claim, message), weight)| Term { claim, message, weight };
        let weights = std::iter::repeat_with(weight);
        Self { terms: claims.into_iter().zip(messages).zip(weights).map(term).collect() }
    }

    /// Whether the equation holds, without a search if it does not.
    #[cfg(test)]
    pub(super) fn holds(&self) -> bool {
        self.value(0..self.terms.len()) == PairingValue::one()
    }

    /// Finds the invalid claims. On the caller's thread: a batch of 256 takes about as long as
    /// twelve single checks, and three to four times that if one of them is invalid.
    pub fn check(&self) -> BatchVerdict {
        let mut search = Search { batch: self, invalid: Vec::new(), group_checks: 0 };
        let all = 0..self.terms.len();
        let value = search.counted(all.clone());
        search.descend(all, value);
        let Search { invalid, group_checks, .. } = search;
        BatchVerdict { invalid, group_checks }
    }

    /// Left side over right side of the equation, over the claims in `range`.
    fn value(&self, range: Range<usize>) -> PairingValue {
        let terms = self.terms.get(range).unwrap_or_default();
        let signatures = terms.iter().map(|term| (term.claim.point, term.weight));
        let signatures = (*MINUS_GENERATOR, G2Sum::weighted(signatures));
        let messages = terms.iter().map(|term| (term.claim, term.message, term.weight));
        let mut pairs = groups::pairs(messages);
        pairs.push(signatures);
        let (keys, sums): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        PairingValue::product(keys.into_iter().zip(G2Sum::to_affine(&sums)))
    }
}

/// A search in progress.
struct Search<'a> {
    batch: &'a SignatureBatch<'a>,
    invalid: Vec<usize>,
    group_checks: usize,
}

impl Search<'_> {
    /// Looks for invalid claims among those in `range`, whose value is `value`.
    fn descend(&mut self, range: Range<usize>, value: PairingValue) {
        if value == PairingValue::one() {
            return;
        }
        if range.len() <= 1 {
            let suspects = self.batch.terms.get(range.clone()).unwrap_or_default();
            if suspects.iter().any(|term| !term.claim.is_valid()) {
                self.invalid.extend(range);
            }
            return;
        }
        let middle = range.start + range.len() / 2;
        let (left, right) = (range.start..middle, middle..range.end);
        let left_value = self.counted(left.clone());
        let right_value = value * left_value.inverse();
        self.descend(left, left_value);
        self.descend(right, right_value);
    }

    fn counted(&mut self, range: Range<usize>) -> PairingValue {
        self.group_checks += 1;
        self.batch.value(range)
    }
}
