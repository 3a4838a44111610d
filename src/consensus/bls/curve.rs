//! The curve as safe values: the only file that calls blst's C functions itself.
//!
//! blst's safe interface lacks what batches need (sums with weights, products of pairings on the
//! caller's thread, the steps of hashing to the curve). Every `unsafe` below rests on these:
//!
//! - An argument is a reference, or a slice with its own length; it lives until the call returns,
//!   and blst keeps no pointer.
//! - A result is written into a value that was made before (all blst types are plain numbers, for
//!   which every bit pattern is a value), so nothing uninitialised is ever read. Results and
//!   arguments may overlap where blst says so; here they never do.
//! - An array is handed over as blst wants it: a list of pointers that has one entry and a null,
//!   which stands for elements that lie one behind the other, as in a slice.
//! - Scratch space has the size that blst names for the number of points.
//! - Numbers of points are above zero: blst reads the first one without looking.
//! - Whether a point is on the curve is not memory safety: blst computes with any coordinates.
//!   Here all points come from blst's decoders and arithmetic, or from the map of `hash.rs`, which
//!   is tested against blst's.
#![allow(unsafe_code, reason = "blst's safe interface lacks what batches need; see above")]

use std::{num::NonZeroU64, ops::Mul, ptr};

use blst::{
    blst_bendian_from_fp, blst_expand_message_xmd, blst_final_exp, blst_fp, blst_fp_add,
    blst_fp_from_bendian, blst_fp_mul, blst_fp2, blst_fp2_add, blst_fp2_cneg, blst_fp2_inverse,
    blst_fp2_is_square, blst_fp2_mul, blst_fp2_sqr, blst_fp2_sqrt, blst_fp2_sub, blst_fp12,
    blst_fp12_conjugate, blst_miller_loop_n, blst_p1, blst_p1_affine, blst_p1_affine_generator,
    blst_p1_affine_is_inf, blst_p1_cneg, blst_p1_from_affine, blst_p1_mult, blst_p1_to_affine,
    blst_p2, blst_p2_add_or_double, blst_p2_affine, blst_p2_affine_is_inf, blst_p2_cneg,
    blst_p2_double, blst_p2_from_affine, blst_p2s_mult_pippenger,
    blst_p2s_mult_pippenger_scratch_sizeof, blst_p2s_to_affine,
};

/// Bytes of a weight, as blst reads it: little endian.
const WEIGHT_BYTES: usize = size_of::<u64>();

/// A point of G1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct G1Point(blst_p1_affine);

impl From<blst_p1_affine> for G1Point {
    fn from(point: blst_p1_affine) -> Self {
        Self(point)
    }
}

impl G1Point {
    /// The generator of the group with its sign changed.
    pub(crate) fn minus_generator() -> Self {
        let (mut sum, mut point) = (blst_p1::default(), blst_p1_affine::default());
        // Safe: see the module. The generator is a constant of the library.
        unsafe {
            blst_p1_from_affine(&mut sum, blst_p1_affine_generator());
            blst_p1_cneg(&mut sum, true);
            blst_p1_to_affine(&mut point, &sum);
        }
        Self(point)
    }

    /// The point as blst has it.
    pub(super) const fn affine(self) -> blst_p1_affine {
        self.0
    }

    /// Whether this is the point at infinity.
    pub(crate) fn is_infinity(&self) -> bool {
        // Safe: see the module.
        unsafe { blst_p1_affine_is_inf(&self.0) }
    }

    /// This point `weight` times.
    pub(crate) fn times(&self, weight: NonZeroU64) -> Self {
        let (mut sum, mut product) = (blst_p1::default(), blst_p1::default());
        let mut point = blst_p1_affine::default();
        let weight = weight.get().to_le_bytes();
        // Safe: see the module. blst reads as many bytes of the weight as there are bits.
        unsafe {
            blst_p1_from_affine(&mut sum, &self.0);
            blst_p1_mult(&mut product, &sum, weight.as_ptr(), 8 * WEIGHT_BYTES);
            blst_p1_to_affine(&mut point, &product);
        }
        Self(point)
    }
}

/// A point of the curve that G2 lies on, in affine coordinates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct G2Point(blst_p2_affine);

impl From<blst_p2_affine> for G2Point {
    fn from(point: blst_p2_affine) -> Self {
        Self(point)
    }
}

impl G2Point {
    /// The point as blst has it.
    pub(super) const fn affine(self) -> blst_p2_affine {
        self.0
    }

    /// Whether this is the point at infinity.
    pub(crate) fn is_infinity(&self) -> bool {
        // Safe: see the module.
        unsafe { blst_p2_affine_is_inf(&self.0) }
    }
}

/// A point of the curve that G2 lies on, in the coordinates that sums are computed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct G2Sum(blst_p2);

impl From<blst_p2> for G2Sum {
    fn from(point: blst_p2) -> Self {
        Self(point)
    }
}

impl From<G2Point> for G2Sum {
    fn from(point: G2Point) -> Self {
        let mut sum = blst_p2::default();
        // Safe: see the module.
        unsafe { blst_p2_from_affine(&mut sum, &point.0) };
        Self(sum)
    }
}

impl G2Sum {
    /// The point with these coordinates: x/z^2 and y/z^3, infinity where z is zero.
    pub(crate) const fn from_jacobian(x: Fp2, y: Fp2, z: Fp2) -> Self {
        Self(blst_p2 { x: x.0, y: y.0, z: z.0 })
    }

    /// The coordinates x, y and z: see [`Self::from_jacobian`].
    pub(crate) const fn jacobian(&self) -> [Fp2; 3] {
        [Fp2(self.0.x), Fp2(self.0.y), Fp2(self.0.z)]
    }

    /// Whether this is the point at infinity.
    #[cfg(test)]
    pub(crate) fn is_infinity(&self) -> bool {
        // Safe: see the module.
        unsafe { blst::blst_p2_is_inf(&self.0) }
    }

    /// The sum of two points, which may be equal, opposite or at infinity.
    pub(crate) fn plus(&self, other: &Self) -> Self {
        let mut sum = blst_p2::default();
        // Safe: see the module.
        unsafe { blst_p2_add_or_double(&mut sum, &self.0, &other.0) };
        Self(sum)
    }

    /// The point with its sign changed.
    pub(crate) fn negated(mut self) -> Self {
        // Safe: see the module.
        unsafe { blst_p2_cneg(&mut self.0, true) };
        self
    }

    /// This point twice.
    pub(crate) fn doubled(&self) -> Self {
        let mut double = blst_p2::default();
        // Safe: see the module.
        unsafe { blst_p2_double(&mut double, &self.0) };
        Self(double)
    }

    /// The sum of all points, each as often as its weight says; infinity for none. Pippenger's
    /// algorithm: the more points, the less each costs.
    pub(crate) fn weighted(terms: impl Iterator<Item = (G2Point, NonZeroU64)>) -> Self {
        let (points, weights): (Vec<blst_p2_affine>, Vec<[u8; WEIGHT_BYTES]>) =
            terms.map(|(point, weight)| (point.0, weight.get().to_le_bytes())).unzip();
        let mut sum = blst_p2::default();
        if points.is_empty() {
            return Self(sum);
        }
        let points_list = [points.as_ptr(), ptr::null()];
        let weights_list = [weights.as_ptr().cast::<u8>(), ptr::null()];
        // Safe: see the module. There are as many weights as points, at least one.
        unsafe {
            let bytes = blst_p2s_mult_pippenger_scratch_sizeof(points.len());
            let mut scratch = vec![0_u64; bytes.div_ceil(size_of::<u64>())];
            blst_p2s_mult_pippenger(
                &mut sum,
                points_list.as_ptr(),
                points.len(),
                weights_list.as_ptr(),
                8 * WEIGHT_BYTES,
                scratch.as_mut_ptr(),
            );
        }
        Self(sum)
    }

    /// The points in affine coordinates, all with one division.
    pub(crate) fn to_affine(sums: &[Self]) -> Vec<G2Point> {
        let sums: Vec<blst_p2> = sums.iter().map(|sum| sum.0).collect();
        let mut points = vec![blst_p2_affine::default(); sums.len()];
        if !sums.is_empty() {
            let list = [sums.as_ptr(), ptr::null()];
            // Safe: see the module. Both have the same length, at least one.
            unsafe { blst_p2s_to_affine(points.as_mut_ptr(), list.as_ptr(), sums.len()) };
        }
        points.into_iter().map(G2Point).collect()
    }
}

/// The value of a product of pairings. Equal products have equal values, whatever their factors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PairingValue(blst_fp12);

impl PairingValue {
    /// The value of the empty product.
    pub(crate) fn one() -> Self {
        Self(blst_fp12::default())
    }

    /// The product of the pairings of all pairs. Pairs with a point at infinity count as one.
    pub(crate) fn product(pairs: impl Iterator<Item = (G1Point, G2Point)>) -> Self {
        let (first, second): (Vec<blst_p1_affine>, Vec<blst_p2_affine>) = pairs
            .filter(|(first, second)| !first.is_infinity() && !second.is_infinity())
            .map(|(first, second)| (first.0, second.0))
            .unzip();
        if first.is_empty() {
            return Self::one();
        }
        let (mut lines, mut value) = (blst_fp12::default(), blst_fp12::default());
        let (first_list, second_list) =
            ([first.as_ptr(), ptr::null()], [second.as_ptr(), ptr::null()]);
        // Safe: see the module. Both have the same length, at least one.
        unsafe {
            blst_miller_loop_n(&mut lines, second_list.as_ptr(), first_list.as_ptr(), first.len());
            blst_final_exp(&mut value, &lines);
        }
        Self(value)
    }

    /// The value that times this one is one.
    pub(crate) fn inverse(mut self) -> Self {
        // Safe: see the module. In the group of pairing values the conjugate is the inverse.
        unsafe { blst_fp12_conjugate(&mut self.0) };
        self
    }
}

impl Mul for PairingValue {
    type Output = Self;

    fn mul(self, other: Self) -> Self {
        Self(self.0 * other.0)
    }
}

/// An element of the field that the coordinates of G2 are of: `c0 + c1 * i`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Fp2(blst_fp2);

/// Applies a blst function of one argument.
macro_rules! fp2_of_one {
    ($($(#[$doc:meta])* $name:ident: $function:ident;)*) => {
        $($(#[$doc])*
        pub(crate) fn $name(&self) -> Self {
            let mut value = blst_fp2::default();
            // Safe: see the module.
            unsafe { $function(&mut value, &self.0) };
            Self(value)
        })*
    };
}

/// Applies a blst function of two arguments.
macro_rules! fp2_of_two {
    ($($(#[$doc:meta])* $name:ident: $function:ident;)*) => {
        $($(#[$doc])*
        pub(crate) fn $name(&self, other: &Self) -> Self {
            let mut value = blst_fp2::default();
            // Safe: see the module.
            unsafe { $function(&mut value, &self.0, &other.0) };
            Self(value)
        })*
    };
}

impl Fp2 {
    fp2_of_one! {
        /// The square.
        square: blst_fp2_sqr;
        /// What times this is one; zero for zero.
        inverse: blst_fp2_inverse;
    }

    fp2_of_two! {
        /// The sum.
        plus: blst_fp2_add;
        /// The difference.
        minus: blst_fp2_sub;
        /// The product.
        times: blst_fp2_mul;
    }

    /// `c0 + c1 * i`, each big endian and below the modulus.
    pub(crate) fn from_be_bytes(c0: &[u8; 48], c1: &[u8; 48]) -> Self {
        Self(blst_fp2 { fp: [fp_from_be_bytes(c0), fp_from_be_bytes(c1)] })
    }

    /// The two parts, each big endian and below the modulus.
    pub(crate) fn to_be_bytes(self) -> [[u8; 48]; 2] {
        self.0.fp.map(|part| {
            let mut bytes = [0; 48];
            // Safe: see the module. blst writes 48 bytes.
            unsafe { blst_bendian_from_fp(bytes.as_mut_ptr(), &part) };
            bytes
        })
    }

    /// `c0 + c1 * i` from numbers of 512 bits, big endian, modulo the field's modulus.
    pub(crate) fn from_wide([c0, c1]: [&[u8; 64]; 2]) -> Self {
        Self(blst_fp2 { fp: [fp_from_wide(c0), fp_from_wide(c1)] })
    }

    /// The value with its sign changed.
    pub(crate) fn negated(&self) -> Self {
        let mut value = blst_fp2::default();
        // Safe: see the module.
        unsafe { blst_fp2_cneg(&mut value, &self.0, true) };
        Self(value)
    }

    /// `c0 - c1 * i`.
    pub(crate) fn conjugate(&self) -> Self {
        let [c0, _] = self.0.fp;
        let [_, c1] = self.negated().0.fp;
        Self(blst_fp2 { fp: [c0, c1] })
    }

    /// Whether this is the square of something.
    pub(crate) fn is_square(&self) -> bool {
        // Safe: see the module.
        unsafe { blst_fp2_is_square(&self.0) }
    }

    /// One of the two values whose square this is. Of no meaning if there is none.
    pub(crate) fn square_root(&self) -> Self {
        let mut value = blst_fp2::default();
        // Safe: see the module.
        unsafe { blst_fp2_sqrt(&mut value, &self.0) };
        Self(value)
    }
}

fn fp_from_be_bytes(bytes: &[u8; 48]) -> blst_fp {
    let mut value = blst_fp::default();
    // Safe: see the module. blst reads 48 bytes.
    unsafe { blst_fp_from_bendian(&mut value, bytes.as_ptr()) };
    value
}

/// Upper half times 2^256 plus lower half: both halves are below the modulus.
fn fp_from_wide(bytes: &[u8; 64]) -> blst_fp {
    let half = |from: usize| {
        let mut padded = [0; 48];
        for (to, byte) in padded.iter_mut().skip(16).zip(bytes.iter().skip(from)) {
            *to = *byte;
        }
        fp_from_be_bytes(&padded)
    };
    let mut shift = [0; 48];
    shift[15] = 1;
    let shift = fp_from_be_bytes(&shift);
    let (upper, lower) = (half(0), half(32));
    let (mut shifted, mut sum) = (blst_fp::default(), blst_fp::default());
    // Safe: see the module.
    unsafe {
        blst_fp_mul(&mut shifted, &upper, &shift);
        blst_fp_add(&mut sum, &shifted, &lower);
    }
    sum
}

/// `N` bytes that depend on every bit of `message` and on `domain`: expand-message-XMD over
/// SHA-256 of RFC 9380, section 5.3.1. `N` is at most 255 * 32, `domain` at most 255 bytes.
pub(crate) fn expand_message<const N: usize>(message: &[u8], domain: &[u8]) -> [u8; N] {
    let mut bytes = [0; N];
    // Safe: see the module.
    unsafe {
        blst_expand_message_xmd(
            bytes.as_mut_ptr(),
            N,
            message.as_ptr(),
            message.len(),
            domain.as_ptr(),
            domain.len(),
        );
    }
    bytes
}

/// `message` hashed to G2 by blst: what [`super::MessagePoint`] is measured against.
#[cfg(test)]
pub(super) fn hash_to_g2(message: &[u8], domain: &[u8]) -> G2Sum {
    let mut point = blst_p2::default();
    // Safe: see the module. There is no augmentation: a null of length zero.
    unsafe {
        blst::blst_hash_to_g2(
            &mut point,
            message.as_ptr(),
            message.len(),
            domain.as_ptr(),
            domain.len(),
            ptr::null(),
            0,
        );
    }
    G2Sum(point)
}

/// The sum of the points of two numbers of the field, in G2: blst's own map.
#[cfg(test)]
pub(super) fn map_to_g2([u, v]: &[Fp2; 2]) -> G2Sum {
    let mut point = blst_p2::default();
    // Safe: see the module.
    unsafe { blst::blst_map_to_g2(&mut point, &u.0, &v.0) };
    G2Sum(point)
}

#[cfg(test)]
mod tests;
