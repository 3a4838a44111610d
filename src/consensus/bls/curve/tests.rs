use super::*;
use crate::{consensus::bls::MessagePoint, types::BlockRoot};

/// Points on the curve, nearly all outside G2: messages before their cofactor is cleared.
fn messages(count: u8) -> Vec<G2Point> {
    let sums: Vec<_> = (0..count).map(|n| MessagePoint::of(&BlockRoot::new([n; 32])).0).collect();
    G2Sum::to_affine(&sums)
}

fn weight(number: u64) -> NonZeroU64 {
    NonZeroU64::new(number).unwrap()
}

/// The sum by doubling and adding, bit by bit.
fn plainly(terms: &[(G2Point, NonZeroU64)]) -> G2Sum {
    (0..u64::BITS).rev().fold(G2Sum::default(), |sum, bit| {
        let of_this_bit = terms.iter().filter(|(_, weight)| weight.get() >> bit & 1 == 1);
        of_this_bit.fold(sum.doubled(), |sum, (point, _)| sum.plus(&(*point).into()))
    })
}

#[test]
fn weighted_sum_is_what_adding_gives_for_any_number_of_points() {
    let points = messages(70);
    let weights = (1_u64..).map(|n| weight(n.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
    let terms: Vec<_> = points.into_iter().zip(weights).collect();
    // blst has one way for a single point, one below 32 and one from there on.
    for count in [0, 1, 2, 3, 16, 31, 32, 33, 64, 70] {
        let sum = G2Sum::weighted(terms[..count].iter().copied());
        assert_eq!(sum, plainly(&terms[..count]), "{count} points");
    }
}

#[test]
fn weighted_sum_takes_equal_opposite_and_infinite_points_and_extreme_weights() {
    let [one, two] = messages(2)[..] else { panic!("two points") };
    let opposite = G2Sum::to_affine(&[G2Sum::from(one).negated()])[0];
    let infinity = G2Point::from(blst_p2_affine::default());
    let (top, max) = (weight(1 << 63), weight(u64::MAX));
    let some = [(one, max), (one, max), (two, top), (infinity, max), (opposite, NonZeroU64::MIN)];
    for times in [1, 7] {
        let terms = some.repeat(times);
        assert_eq!(G2Sum::weighted(terms.iter().copied()), plainly(&terms), "{times} times");
    }
    for times in [1, 8, 16] {
        let nothing = [(one, max), (opposite, max)].repeat(times);
        assert!(G2Sum::weighted(nothing.into_iter()).is_infinity(), "{times} times");
    }
}

#[test]
fn points_become_affine_many_at_once_as_one_by_one() {
    // More than the 768 that blst does with one division, infinity among them, also first and last.
    let [one, two] = messages(2)[..] else { panic!("two points") };
    let step = G2Sum::from(two);
    let mut sums = vec![G2Sum::default()];
    sums.extend(
        std::iter::successors(Some(G2Sum::from(one)), |sum| Some(sum.plus(&step))).take(900),
    );
    sums[768] = G2Sum::default();
    sums.push(G2Sum::default());
    let alone: Vec<_> = sums.iter().flat_map(|sum| G2Sum::to_affine(&[*sum])).collect();
    assert_eq!(G2Sum::to_affine(&sums), alone);
    let infinite: Vec<_> = (0..sums.len()).filter(|&index| alone[index].is_infinity()).collect();
    assert_eq!(infinite, [0, 768, sums.len() - 1]);
}

/// Pairs of points of the two groups, all different.
fn pairs(count: u8) -> Vec<(G1Point, G2Point)> {
    let sums: Vec<_> = (0..count).map(|n| hash_to_g2(&[n], b"test")).collect();
    let first = (1..).map(|n| G1Point::minus_generator().times(weight(n)));
    first.zip(G2Sum::to_affine(&sums)).collect()
}

#[test]
fn weight_counts_the_same_on_either_side_of_a_pairing() {
    for number in [1, 2, 0xffff_ffff, 1 << 63, u64::MAX] {
        let (first, second) = pairs(1)[0];
        let weighted = G2Sum::to_affine(&[G2Sum::weighted([(second, weight(number))].into_iter())]);
        let product = |first, second| PairingValue::product([(first, second)].into_iter());
        let value = product(first.times(weight(number)), second);
        assert_eq!(value, product(first, weighted[0]), "{number}");
        assert_eq!(value == product(first, second), number == 1);
    }
}

#[test]
fn value_of_a_product_is_the_product_of_the_values() {
    // blst works through 16 pairs at once.
    let all = pairs(35);
    for count in [0, 1, 15, 16, 17, 33, 35] {
        let (left, right) = all.split_at(count);
        let [left, right, all] =
            [left, right, &all].map(|pairs| PairingValue::product(pairs.iter().copied()));
        assert_eq!(left * right, all, "{count} of 35");
        assert_eq!(all * left.inverse(), right, "{count} of 35");
        assert_eq!(left == PairingValue::one(), count == 0);
    }
}

#[test]
fn pairs_with_infinity_count_as_one() {
    let infinity_1 = G1Point::from(blst_p1_affine::default());
    let infinity_2 = G2Point::from(blst_p2_affine::default());
    let clean = pairs(3);
    let mut more = clean.clone();
    more.insert(0, (clean[0].0, infinity_2));
    more.insert(2, (infinity_1, clean[1].1));
    more.push((infinity_1, infinity_2));
    let value = |pairs: &[(G1Point, G2Point)]| PairingValue::product(pairs.iter().copied());
    assert_eq!(value(&more), value(&clean));
    assert_eq!(value(&more[..1]), PairingValue::one());
}
