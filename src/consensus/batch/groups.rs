//! Which claims share a pairing.

use std::{collections::BTreeMap, num::NonZeroU64};

use crate::consensus::{
    authorities::AuthoritySet,
    bls::{
        clear_cofactor,
        curve::{G1Point, G2Point, G2Sum},
    },
    majority::SignerSet,
};

use super::claim::SignatureClaim;

/// What one more pairing in a product costs, counted in additions of points of G2. Source:
/// measured, 141 us against 1.6 us with blst 0.3.17 on one core. Too low: claims stay grouped by
/// set where single authorities are cheaper. Too high: the reverse. An error of a half costs a few
/// percent of a batch.
const ADDITIONS_PER_PAIRING: usize = 88;

/// What clearing a cofactor costs, in the same unit. Source: the same, 100 us.
const ADDITIONS_PER_COFACTOR: usize = 63;

/// A message point with its weight.
type Term = (G2Point, NonZeroU64);

/// The claims of one authority set.
struct Era<'a> {
    authorities: &'a AuthoritySet,
    /// By signers: their key, and their messages.
    sets: BTreeMap<SignerSet, (G1Point, Vec<Term>)>,
}

/// The pairs whose pairings make up the left side of the equation, as few as can be: one for each
/// set of signers, or one for each authority, whichever is cheaper.
pub(super) fn pairs<'a>(
    claims: impl Iterator<Item = (&'a SignatureClaim, G2Point, NonZeroU64)>,
) -> Vec<(G1Point, G2Sum)> {
    let mut pairs = Vec::new();
    for era in eras(claims) {
        pairs.extend(if era.by_authority_is_cheaper() { era.by_authority() } else { era.by_set() });
    }
    for (_, sum) in &mut pairs {
        *sum = clear_cofactor(sum);
    }
    pairs
}

fn eras<'a>(
    claims: impl Iterator<Item = (&'a SignatureClaim, G2Point, NonZeroU64)>,
) -> Vec<Era<'a>> {
    let mut eras: Vec<Era<'_>> = Vec::new();
    for (claim, message, weight) in claims {
        // A batch spans one or two authority sets: they change once in months.
        let known = eras.iter().position(|era| *era.authorities == claim.authorities);
        let index = known.unwrap_or_else(|| {
            eras.push(Era { authorities: &claim.authorities, sets: BTreeMap::new() });
            eras.len() - 1
        });
        if let Some(era) = eras.get_mut(index) {
            let (_, terms) = era.sets.entry(claim.signers).or_insert((claim.key, Vec::new()));
            terms.push((message, weight));
        }
    }
    eras
}

impl Era<'_> {
    fn by_authority_is_cheaper(&self) -> bool {
        let pair = ADDITIONS_PER_PAIRING + ADDITIONS_PER_COFACTOR;
        let additions: usize = self.sets.keys().map(|signers| signers.count()).sum();
        self.authorities.len() * pair + additions < self.sets.len() * pair
    }

    /// Each set with the sum of its weighted messages. A message alone may leave its weight to the
    /// key, where it costs a third.
    fn by_set(&self) -> Vec<(G1Point, G2Sum)> {
        let pair = |(key, terms): &(G1Point, Vec<Term>)| match **terms {
            [(message, NonZeroU64::MIN)] => (*key, message.into()),
            [(message, weight)] => (key.times(weight), message.into()),
            _ => (*key, weighted(terms)),
        };
        self.sets.values().map(pair).collect()
    }

    /// Each authority with the sum over the sets that it is in. Summing by set comes first all the
    /// same: it saves most additions.
    fn by_authority(&self) -> Vec<(G1Point, G2Sum)> {
        let sum =
            |(signers, (_, terms)): (&SignerSet, &(_, Vec<Term>))| (*signers, weighted(terms));
        let sums: Vec<_> = self.sets.iter().map(sum).collect();
        let keys = self.authorities.keys().iter().enumerate();
        keys.map(|(index, key)| {
            let of_this = sums.iter().filter(|(signers, _)| signers.contains(index));
            let sum = of_this.fold(G2Sum::default(), |sum, (_, message)| sum.plus(message));
            (key.point(), sum)
        })
        .collect()
    }
}

fn weighted(terms: &[Term]) -> G2Sum {
    G2Sum::weighted(terms.iter().copied())
}
