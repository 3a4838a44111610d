//! Hashing to the curve with its last step put off.
//!
//! To hash a message to G2 is to map it to a point of the curve that G2 lies on, and to multiply
//! that point by a constant, which brings it into G2 ("clearing the cofactor"). The second step
//! takes almost two thirds of the time, and it is linear: the product of a sum is the sum of the
//! products. A batch needs sums of hashed messages only, so it adds up the points of the first
//! step and clears the cofactor of the sum. [`MessagePoint`] is the result of the first step.
//!
//! The map is that of RFC 9380 for the suite `BLS12381G2_XMD:SHA-256_SSWU_RO_`: sections 5.2
//! (to the field), 6.6.3 (simplified SWU for a curve isogenous to that of G2), appendix E.3 (the
//! isogeny) and appendix G.3 (the cofactor). blst does the same inside one function that cannot be
//! taken apart; the tests hold every step together against it. The arithmetic is blst's.
//!
//! A batch never condemns a block by this map alone, see [`crate::consensus::batch`].

mod constants;

use self::constants::{CONSTANTS, Constants, one};
use super::{
    DOMAIN,
    curve::{Fp2, G2Sum, expand_message},
};
use crate::types::BlockRoot;

/// Bytes of uniform randomness for one number of the field: 381 bits and 128 of security. Source:
/// RFC 9380, section 5.1, parameter L of the suite.
const WIDE_BYTES: usize = 64;

/// The absolute value of the parameter that the curve is made of. Source: the definition of
/// BLS12-381; the parameter itself is negative.
const X: u64 = 0xd201_0000_0001_0000;

/// The point of the curve that a block's root is mapped to, before the cofactor is cleared.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MessagePoint(pub(crate) G2Sum);

impl MessagePoint {
    /// The point of the block with this root.
    pub(crate) fn of(root: &BlockRoot) -> Self {
        Self(map_message(root.as_bytes()))
    }
}

fn map_message(message: &[u8]) -> G2Sum {
    let uniform: [u8; 4 * WIDE_BYTES] = expand_message(message, DOMAIN);
    let (numbers, _) = uniform.as_chunks::<WIDE_BYTES>();
    let [a, b, c, d] = numbers else { return G2Sum::default() };
    let [first, second] = map_to_curve([Fp2::from_wide([a, b]), Fp2::from_wide([c, d])]);
    first.plus(&second)
}

/// The points that two numbers of the field are mapped to. Two, because they share a division.
fn map_to_curve(numbers: [Fp2; 2]) -> [G2Sum; 2] {
    let constants = &*CONSTANTS;
    let fractions = numbers.map(|u| Fraction::of(&u, constants));
    let [first, second] = &fractions;
    let both = first.cube.times(&second.cube).inverse();
    let inverses = [both.times(&second.cube), both.times(&first.cube)];
    let [a, b] = [(first, &inverses[0], &numbers[0]), (second, &inverses[1], &numbers[1])];
    [a, b].map(|(fraction, inverse, u)| fraction.point(inverse, u, constants))
}

/// A point of the isogenous curve: x is `x / denominator`, y is `root / cube` but for its sign.
struct Fraction {
    x: Fp2,
    denominator: Fp2,
    root: Fp2,
    /// The third power of the denominator. Never zero.
    cube: Fp2,
}

impl Fraction {
    /// Simplified SWU without its division: RFC 9380, section 6.6.2.
    fn of(u: &Fp2, constants: &Constants) -> Self {
        let Constants { a, b, z, .. } = constants;
        let step = z.times(&u.square());
        let sum = step.square().plus(&step);
        let x = b.times(&sum.plus(&one()));
        let mut denominator = a.times(&sum).negated();
        if denominator == Fp2::default() {
            denominator = z.times(a);
        }
        let square = denominator.square();
        let cube = square.times(&denominator);
        // The right side of the curve's equation at x/denominator, times the cube.
        let right = x.square().plus(&a.times(&square)).times(&x).plus(&b.times(&cube));
        // (right/cube) = (right * cube) / cube^2, so the root of one is that of the other / cube.
        let squared = right.times(&cube);
        if squared.is_square() {
            let root = squared.square_root();
            return Self { x, denominator, root, cube };
        }
        // At step * x the right side is step^3 times as much: z times a square is left of it.
        let root = z.times(&squared).square_root().times(&z.times(&u.square()).times(u));
        Self { x: step.times(&x), denominator, root, cube }
    }

    /// The point of the curve of G2 that the isogeny leads to.
    fn point(&self, cube_inverse: &Fp2, u: &Fp2, constants: &Constants) -> G2Sum {
        let x = self.x.times(&cube_inverse.times(&self.denominator.square()));
        let y = self.root.times(cube_inverse);
        let y = if is_odd(&y) == is_odd(u) { y } else { y.negated() };
        let x_numerator = polynomial(&constants.x_numerator, &x);
        let x_denominator = polynomial(&constants.x_denominator, &x);
        let y_numerator = polynomial(&constants.y_numerator, &x);
        let y_denominator = polynomial(&constants.y_denominator, &x);
        // With z = x_denominator * y_denominator: a zero in either is infinity, as it should be.
        let z = x_denominator.times(&y_denominator);
        let x = x_numerator.times(&y_denominator).times(&z);
        let y = y.times(&y_numerator).times(&x_denominator).times(&z.square());
        G2Sum::from_jacobian(x, y, z)
    }
}

/// The polynomial with these coefficients, from the lowest power on, at `x`.
fn polynomial(coefficients: &[Fp2], x: &Fp2) -> Fp2 {
    coefficients.iter().rev().fold(Fp2::default(), |sum, next| sum.times(x).plus(next))
}

/// The sign of an element: RFC 9380, section 4.1, `sgn0`.
fn is_odd(value: &Fp2) -> bool {
    let [c0, c1] = value.to_be_bytes();
    let low = |bytes: &[u8; 48]| bytes.last().is_some_and(|byte| byte & 1 == 1);
    if c0 == [0; 48] { low(&c1) } else { low(&c0) }
}

/// `point` times the constant that brings every point of the curve into G2: RFC 9380, appendix
/// G.3, with the endomorphism that costs nothing.
pub(crate) fn clear_cofactor(point: &G2Sum) -> G2Sum {
    let image = psi(point).negated();
    // (x^2 - x - 1) P + (x - 1) psi(P) + psi(psi(2 P)), where x is negative.
    let first = times_x(point).plus(point).plus(&image);
    let twice = psi(&psi(&point.doubled()));
    times_x(&first).plus(&twice).plus(&point.negated()).plus(&image)
}

/// `point` times [`X`], which has so few bits that doubling and adding is the quickest.
fn times_x(point: &G2Sum) -> G2Sum {
    let below_top = (0..X.ilog2()).rev();
    below_top.fold(*point, |sum, bit| {
        let sum = sum.doubled();
        if X >> bit & 1 == 1 { sum.plus(point) } else { sum }
    })
}

/// The endomorphism of the curve that RFC 9380, appendix G.3, calls `psi`.
fn psi(point: &G2Sum) -> G2Sum {
    let [x, y, z] = point.jacobian();
    let (psi_x, psi_y) = (&CONSTANTS.psi_x, &CONSTANTS.psi_y);
    G2Sum::from_jacobian(x.conjugate().times(psi_x), y.conjugate().times(psi_y), z.conjugate())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::consensus::bls::curve::{hash_to_g2, map_to_g2};

    #[test]
    fn a_map_with_its_cofactor_cleared_is_the_hash_to_the_curve() {
        for message in 0..2_000_u32 {
            let message = message.to_be_bytes();
            let mapped = clear_cofactor(&map_message(&message));
            assert_eq!(mapped, hash_to_g2(&message, DOMAIN), "{message:?}");
        }
    }

    #[test]
    fn cofactor_of_a_sum_is_cleared_like_that_of_its_parts() {
        let [a, b] = [map_message(b"a"), map_message(b"b")];
        let sum = hash_to_g2(b"a", DOMAIN).plus(&hash_to_g2(b"b", DOMAIN));
        assert_eq!(clear_cofactor(&a.plus(&b)), sum);
        assert!(clear_cofactor(&G2Sum::default()).is_infinity());
    }

    /// Zero and the roots of -1/z: there the denominator of the map is zero.
    fn exceptional_numbers() -> Vec<Fp2> {
        let mut numbers = vec![Fp2::default()];
        let minus_one_by_z = CONSTANTS.z.inverse().negated();
        if minus_one_by_z.is_square() {
            let root = minus_one_by_z.square_root();
            numbers.extend([root, root.negated()]);
        }
        numbers
    }

    #[test]
    fn exceptional_numbers_of_the_field_are_mapped_to_where_blst_maps_them() {
        let one = one();
        for u in exceptional_numbers() {
            for pair in [[u, one], [one, u], [u, u], [u, u.negated()]] {
                let [first, second] = map_to_curve(pair);
                let mapped = clear_cofactor(&first.plus(&second));
                assert_eq!(mapped, map_to_g2(&pair), "{pair:?}");
            }
        }
    }

    #[test]
    fn numbers_without_a_first_part_have_the_sign_of_the_second() {
        for last in 1..=8 {
            let mut second = [0; 48];
            second[47] = last;
            let pair = [Fp2::from_be_bytes(&[0; 48], &second), one()];
            let [first, second] = map_to_curve(pair);
            assert_eq!(clear_cofactor(&first.plus(&second)), map_to_g2(&pair), "{last} i");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_message_is_mapped_to_where_blst_hashes_it(
            message in prop::collection::vec(any::<u8>(), 0..100),
        ) {
            let mapped = clear_cofactor(&map_message(&message));
            prop_assert_eq!(mapped, hash_to_g2(&message, DOMAIN));
        }
    }
}
