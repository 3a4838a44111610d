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

/// What clearing a cofactor costs, in the same unit. Source: the same, 150 us.
const ADDITIONS_PER_COFACTOR: usize = 94;

/// The claims of one authority set.
struct Era<'a> {
    authorities: &'a AuthoritySet,
    /// By signers: their key, and the sum of their weighted messages, cofactor not cleared.
    sums: BTreeMap<SignerSet, (G1Point, G2Sum)>,
}

/// The pairs whose pairings make up the left side of the equation, as few as can be.
///
/// Summing by set of signers comes first in any case: it is where most additions are saved. Then
/// each set is a pair, or, if that is cheaper, each authority with the sum over its sets is.
pub(super) fn pairs<'a>(
    claims: impl Iterator<Item = (&'a SignatureClaim, G2Point, NonZeroU64)>,
) -> Vec<(G1Point, G2Sum)> {
    let mut pairs = Vec::new();
    for era in eras(claims) {
        pairs.extend(if by_authority_is_cheaper(&era) {
            by_authority(&era)
        } else {
            era.sums.into_values().collect()
        });
    }
    for (_, sum) in &mut pairs {
        *sum = clear_cofactor(sum);
    }
    pairs
}

fn eras<'a>(
    claims: impl Iterator<Item = (&'a SignatureClaim, G2Point, NonZeroU64)>,
) -> Vec<Era<'a>> {
    type Members<'a> = BTreeMap<SignerSet, (G1Point, Vec<(G2Point, NonZeroU64)>)>;
    let mut eras: Vec<(&AuthoritySet, Members<'_>)> = Vec::new();
    for (claim, message, weight) in claims {
        // A batch spans one or two authority sets: they change once in months.
        let known = eras.iter().position(|(authorities, _)| *authorities == &claim.authorities);
        let index = known.unwrap_or_else(|| {
            eras.push((&claim.authorities, Members::new()));
            eras.len() - 1
        });
        if let Some((_, members)) = eras.get_mut(index) {
            let (_, terms) = members.entry(claim.signers).or_insert((claim.key, Vec::new()));
            terms.push((message, weight));
        }
    }
    let summed = |(signers, (key, terms)): (_, (_, Vec<_>))| {
        (signers, (key, G2Sum::weighted(terms.into_iter())))
    };
    let era = |(authorities, members): (_, Members<'_>)| Era {
        authorities,
        sums: members.into_iter().map(summed).collect(),
    };
    eras.into_iter().map(era).collect()
}

fn by_authority_is_cheaper(era: &Era<'_>) -> bool {
    let pair = ADDITIONS_PER_PAIRING + ADDITIONS_PER_COFACTOR;
    let additions: usize = era.sums.keys().map(|signers| signers.count()).sum();
    era.authorities.len() * pair + additions < era.sums.len() * pair
}

fn by_authority(era: &Era<'_>) -> Vec<(G1Point, G2Sum)> {
    let keys = era.authorities.keys().iter().enumerate();
    keys.map(|(index, key)| {
        let of_this = era.sums.iter().filter(|(signers, _)| signers.contains(index));
        let sum = of_this.fold(G2Sum::default(), |sum, (_, (_, message))| sum.plus(message));
        (key.point(), sum)
    })
    .collect()
}
