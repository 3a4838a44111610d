//! Keys and signatures, and the check of one aggregate signature.

use std::fmt;

use alloy_primitives::U256;
use blst::{BLST_ERROR, Pairing, blst_p1_affine, blst_p2_affine, min_pk};

use super::curve::{G1Point, G2Point};
use crate::types::BlockRoot;

/// The domain separation tag: hash to G2 by expand-message-XMD over SHA-256, simplified SWU,
/// random oracle, with proof of possession.
///
/// Source: the IETF ciphersuite that the network's nodes sign with. Any other value makes every
/// signature of the network invalid.
pub const DOMAIN: &[u8] = b"BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_";

/// Length of a compressed public key. Unit: bytes.
pub const PUBLIC_KEY_BYTES: usize = 48;

/// Length of a compressed signature. Unit: bytes.
pub const SIGNATURE_BYTES: usize = 96;

/// The order of the group, which secret keys are counted modulo. Source: the definition of
/// BLS12-381 (255 bits). Any other value makes sums of keys sign for nobody.
const GROUP_ORDER: U256 = U256::from_limbs([
    0xffff_ffff_0000_0001,
    0x53bd_a402_fffe_5bfe,
    0x3339_d808_09a1_d805,
    0x73ed_a753_299d_7d48,
]);

/// Why bytes are no key or no signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BlsError {
    /// Not a compressed point of the curve: wrong length, flags or coordinate.
    #[error("not a compressed point of the curve")]
    NotAPoint,
    /// On the curve but outside the prime-order subgroup.
    #[error("a point outside the prime-order subgroup")]
    OutsideSubgroup,
    /// The point at infinity, which is nobody's key.
    #[error("the point at infinity")]
    Infinity,
    /// A secret key must be at least 1 and below the order of the group.
    #[error("a secret key must be from 1 to the order of the group minus 1")]
    SecretKeyRange,
}

/// The public key of an authority: a point of the prime-order subgroup, never infinity.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(min_pk::PublicKey);

impl PublicKey {
    /// The key with these 48 compressed bytes.
    ///
    /// # Errors
    /// [`BlsError`] for bytes that are no point, infinity, or outside the subgroup.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BlsError> {
        let point = min_pk::PublicKey::uncompress(bytes).map_err(|_| BlsError::NotAPoint)?;
        match point.validate() {
            Ok(()) => Ok(Self(point)),
            Err(BLST_ERROR::BLST_PK_IS_INFINITY) => Err(BlsError::Infinity),
            Err(_) => Err(BlsError::OutsideSubgroup),
        }
    }

    /// The 48 compressed bytes.
    pub fn to_bytes(&self) -> [u8; PUBLIC_KEY_BYTES] {
        self.0.compress()
    }

    pub(crate) fn point(&self) -> G1Point {
        blst_p1_affine::from(self.0).into()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{}", hex::encode(self.to_bytes()))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A secret key. Only chain generation and tests sign; a syncing node holds none.
#[derive(Clone)]
pub struct SecretKey(min_pk::SecretKey);

impl SecretKey {
    /// The key with these 32 bytes, big endian.
    ///
    /// # Errors
    /// [`BlsError::SecretKeyRange`] for zero and for numbers from the group order on.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, BlsError> {
        let key = min_pk::SecretKey::from_bytes(bytes).map_err(|_| BlsError::SecretKeyRange)?;
        Ok(Self(key))
    }

    /// The key that these 32 bytes, read as a big-endian number, give modulo the group order.
    ///
    /// # Errors
    /// [`BlsError::SecretKeyRange`] if that is zero.
    pub fn from_digest(digest: [u8; 32]) -> Result<Self, BlsError> {
        let number = U256::from_be_bytes(digest).reduce_mod(GROUP_ORDER);
        Self::from_bytes(&number.to_be_bytes())
    }

    /// The key that signs like all `keys` together: their sum modulo the group order. Its
    /// signature is the aggregate of theirs.
    ///
    /// # Errors
    /// [`BlsError::SecretKeyRange`] if there are no keys or they cancel out.
    pub fn sum<'a>(keys: impl IntoIterator<Item = &'a Self>) -> Result<Self, BlsError> {
        let sum = keys.into_iter().fold(U256::ZERO, |sum, key| {
            sum.add_mod(U256::from_be_bytes(key.0.to_bytes()), GROUP_ORDER)
        });
        Self::from_bytes(&sum.to_be_bytes())
    }

    /// The public key of this key.
    pub fn public_key(&self) -> PublicKey {
        PublicKey(self.0.sk_to_pk())
    }

    /// The signature of this key over a block's root.
    pub fn sign(&self, root: &BlockRoot) -> Signature {
        Signature(self.0.sign(root.as_bytes(), DOMAIN, &[]))
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(..)")
    }
}

/// A signature or an aggregate of signatures: a point on the curve. That it lies in the subgroup
/// is checked when it is verified.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature(min_pk::Signature);

impl Signature {
    /// The signature with these 96 compressed bytes.
    ///
    /// # Errors
    /// [`BlsError::NotAPoint`] for bytes that are no compressed point, all zeros among them.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BlsError> {
        min_pk::Signature::uncompress(bytes).map(Self).map_err(|_| BlsError::NotAPoint)
    }

    /// The 96 compressed bytes.
    pub fn to_bytes(&self) -> [u8; SIGNATURE_BYTES] {
        self.0.compress()
    }

    /// The signature that is this point.
    pub(crate) fn from_point(point: G2Point) -> Self {
        Self(point.affine().into())
    }

    /// The point, if it is in the subgroup and not at infinity.
    pub(crate) fn checked_point(&self) -> Option<G2Point> {
        self.0.validate(true).ok()?;
        Some(blst_p2_affine::from(self.0).into())
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{}", hex::encode(self.to_bytes()))
    }
}

/// Whether `signature` is the aggregate of the signatures of all `keys` over `root`.
///
/// No keys, a signature at infinity or outside the subgroup, and keys that cancel out are `false`.
pub fn fast_aggregate_verify<'a>(
    root: &BlockRoot,
    keys: impl IntoIterator<Item = &'a PublicKey>,
    signature: &Signature,
) -> bool {
    let Some(key) = aggregate(keys) else {
        return false;
    };
    if signature.0.validate(true).is_err() {
        return false;
    }
    let key = blst_p1_affine::from(key.0);
    let point = blst_p2_affine::from(signature.0);
    let mut pairing = Pairing::new(true, DOMAIN);
    // Both points are in the subgroup by now: the key as a sum of validated keys.
    let added = pairing.aggregate(&key, false, &point, false, root.as_bytes(), &[]);
    if added != BLST_ERROR::BLST_SUCCESS {
        return false;
    }
    pairing.commit();
    pairing.finalverify(None)
}

/// The key that verifies what all `keys` signed together: their sum. `None` for no keys and for
/// keys that cancel out, which sign for nobody.
pub fn aggregate<'a>(keys: impl IntoIterator<Item = &'a PublicKey>) -> Option<PublicKey> {
    let mut keys = keys.into_iter();
    let mut sum = min_pk::AggregatePublicKey::from_public_key(&keys.next()?.0);
    for key in keys {
        sum.add_public_key(&key.0, false).ok()?;
    }
    let sum = PublicKey(sum.to_public_key());
    (!sum.point().is_infinity()).then_some(sum)
}

/// Two keys whose sum is zero.
#[cfg(test)]
pub(crate) fn cancelling_keys(seed: u8) -> [SecretKey; 2] {
    let one = SecretKey::from_digest([seed; 32]).unwrap();
    let minus_one = GROUP_ORDER - U256::from_be_bytes(one.0.to_bytes());
    [one, SecretKey::from_bytes(&minus_one.to_be_bytes()).unwrap()]
}

/// The signature at infinity, which signs for nobody.
#[cfg(test)]
pub(crate) fn infinity_signature() -> Signature {
    let mut bytes = [0; SIGNATURE_BYTES];
    bytes[0] = 0xc0;
    Signature::from_bytes(&bytes).unwrap()
}

/// A signature outside the subgroup: the first x coordinate that has a y is almost never in it, as
/// the subgroup is a 2^-254 part of the curve.
#[cfg(test)]
pub(crate) fn stray_signature() -> Signature {
    let with_x = |x| {
        let mut bytes = [0; SIGNATURE_BYTES];
        (bytes[0], bytes[SIGNATURE_BYTES - 1]) = (0x80, x);
        Signature::from_bytes(&bytes).ok()
    };
    (1..=u8::MAX).find_map(with_x).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u8) -> SecretKey {
        SecretKey::from_digest([n; 32]).unwrap()
    }

    fn public_keys(secret: &[SecretKey]) -> Vec<PublicKey> {
        secret.iter().map(SecretKey::public_key).collect()
    }

    const ROOT: BlockRoot = BlockRoot::new([7; 32]);

    #[test]
    fn one_signature_of_the_sum_is_the_aggregate_of_all() {
        let secret = [key(1), key(2), key(0xff)];
        let single: Vec<_> = secret.iter().map(|key| key.sign(&ROOT).0).collect();
        let aggregate =
            min_pk::AggregateSignature::aggregate(&single.iter().collect::<Vec<_>>(), true)
                .unwrap()
                .to_signature();
        let summed = SecretKey::sum(&secret).unwrap().sign(&ROOT);
        assert_eq!(summed.to_bytes(), aggregate.compress());
        assert!(fast_aggregate_verify(&ROOT, &public_keys(&secret), &summed));
    }

    #[test]
    fn refuses_other_signers_other_roots_and_no_signers() {
        let keys = public_keys(&[key(1), key(2), key(3)]);
        let signature = SecretKey::sum(&[key(1), key(2)]).unwrap().sign(&ROOT);
        assert!(fast_aggregate_verify(&ROOT, &keys[..2], &signature));
        assert!(!fast_aggregate_verify(&ROOT, &keys, &signature));
        assert!(!fast_aggregate_verify(&ROOT, &keys[1..], &signature));
        assert!(!fast_aggregate_verify(&BlockRoot::ZERO, &keys[..2], &signature));
        assert!(!fast_aggregate_verify(&ROOT, [], &signature));
    }

    #[test]
    fn infinity_signs_for_nobody_not_even_for_keys_that_cancel_out() {
        let zeros = [0; SIGNATURE_BYTES];
        assert_eq!(Signature::from_bytes(&zeros), Err(BlsError::NotAPoint));
        let infinity = infinity_signature();
        let [one, minus_one] = cancelling_keys(1);
        let keys = public_keys(&[one.clone(), minus_one.clone()]);
        assert!(!fast_aggregate_verify(&ROOT, &keys[..1], &infinity));
        assert!(!fast_aggregate_verify(&ROOT, &keys, &infinity));
        assert!(!fast_aggregate_verify(&ROOT, &keys, &one.sign(&ROOT)));
        assert!(!fast_aggregate_verify(&ROOT, [], &infinity));
        assert_eq!(SecretKey::sum(&[one, minus_one]).err(), Some(BlsError::SecretKeyRange));
        assert_eq!(SecretKey::sum([]).err(), Some(BlsError::SecretKeyRange));
    }

    #[test]
    fn refuses_keys_and_signatures_outside_the_subgroup() {
        // As with signatures: the subgroup is a 2^-125 part of the curve.
        let stray_key = |x| {
            let mut bytes = [0; PUBLIC_KEY_BYTES];
            (bytes[0], bytes[PUBLIC_KEY_BYTES - 1]) = (0x80, x);
            min_pk::PublicKey::uncompress(&bytes).is_ok().then_some(bytes)
        };
        let bytes = (1..=u8::MAX).find_map(stray_key).unwrap();
        assert_eq!(PublicKey::from_bytes(&bytes), Err(BlsError::OutsideSubgroup));
        assert!(!fast_aggregate_verify(&ROOT, &[key(1).public_key()], &stray_signature()));
    }

    #[test]
    fn refuses_keys_that_are_no_keys() {
        let good = key(1).public_key().to_bytes();
        assert_eq!(PublicKey::from_bytes(&good).unwrap().to_bytes(), good);
        assert_eq!(PublicKey::from_bytes(&good[1..]), Err(BlsError::NotAPoint));
        assert_eq!(PublicKey::from_bytes(&[]), Err(BlsError::NotAPoint));
        let mut infinity = [0; PUBLIC_KEY_BYTES];
        infinity[0] = 0xc0;
        assert_eq!(PublicKey::from_bytes(&infinity), Err(BlsError::Infinity));
        assert!(SecretKey::from_bytes(&[0; 32]).is_err());
        assert!(SecretKey::from_bytes(&GROUP_ORDER.to_be_bytes()).is_err());
        assert!(SecretKey::from_bytes(&(GROUP_ORDER - U256::from(1)).to_be_bytes()).is_ok());
    }
}
