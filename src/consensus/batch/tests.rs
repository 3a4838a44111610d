use std::{collections::BTreeSet, iter, sync::LazyLock};

use proptest::prelude::*;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use rayon::prelude::*;

use super::*;
use crate::{
    consensus::{
        authorities::AuthoritySet,
        bls::{
            SecretKey, Signature, WeightedSignature, cancelling_keys, curve::G2Sum,
            infinity_signature, stray_signature, verify_with_blst_batch,
        },
        generate::{SignedRootsOptions, signed_roots},
        majority::SignerSet,
    },
    types::BlockRoot,
};

/// Weights that a seed decides.
struct Seeded(StdRng);

impl Seeded {
    fn new(seed: u64) -> Self {
        Self(StdRng::seed_from_u64(seed))
    }
}

impl Weights for Seeded {
    fn draw(&mut self) -> NonZeroU64 {
        iter::repeat_with(|| NonZeroU64::new(self.0.random())).flatten().next().unwrap()
    }
}

/// What a careless implementation would use.
struct Ones;

impl Weights for Ones {
    fn draw(&mut self) -> NonZeroU64 {
        NonZeroU64::MIN
    }
}

/// Refuses to be asked.
struct NoWeights;

impl Weights for NoWeights {
    fn draw(&mut self) -> NonZeroU64 {
        panic!("a weight was drawn")
    }
}

struct Federation {
    set: AuthoritySet,
    secret: Vec<SecretKey>,
}

impl Federation {
    /// `count` authorities, at most 15, who are in no federation of another size.
    fn of(count: u8) -> Self {
        let secret: Vec<_> =
            (0..count).map(|n| SecretKey::from_digest([16 * count + n + 1; 32]).unwrap()).collect();
        let set = AuthoritySet::new(secret.iter().map(SecretKey::public_key).collect()).unwrap();
        Self { set, secret }
    }

    fn sign(&self, signers: SignerSet, root: &BlockRoot) -> Signature {
        SecretKey::sum(signers.iter().map(|index| &self.secret[index])).unwrap().sign(root)
    }

    fn claim(&self, signers: SignerSet, root: BlockRoot, signature: &Signature) -> SignatureClaim {
        SignatureClaim::new(&self.set, signers, root, &signature.to_bytes()).unwrap()
    }

    /// A majority that `seed` decides, at least two thirds.
    fn majority(&self, seed: u64) -> SignerSet {
        let mut rng = StdRng::seed_from_u64(seed);
        let count = self.set.len();
        let mut absent = BTreeSet::new();
        while absent.len() < rng.random_range(0..=count - self.set.majority()) {
            absent.insert(rng.random_range(0..count));
        }
        SignerSet::below(count, (0..count).filter(|index| !absent.contains(index)))
    }
}

fn root(number: u64) -> BlockRoot {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    BlockRoot::new(bytes)
}

/// Claims that are true, and for each a false one of the same authorities.
struct Stock {
    good: Vec<SignatureClaim>,
    bad: Vec<SignatureClaim>,
}

/// How many claims of each kind the stock of a federation has.
const STOCK: u64 = 40;

/// Stocks of federations of 3, 5 and 15.
static STOCKS: LazyLock<[Stock; 3]> = LazyLock::new(|| [3, 5, 15].map(stock));

fn stock(authorities: u8) -> Stock {
    let federation = Federation::of(authorities);
    let claims = |wrong: u64| {
        let claim = |number| {
            let signers = federation.majority(number);
            let signature = federation.sign(signers, &root(number + wrong));
            federation.claim(signers, root(number), &signature)
        };
        (0..STOCK).into_par_iter().map(claim).collect()
    };
    Stock { good: claims(0), bad: claims(1) }
}

fn check(claims: Vec<SignatureClaim>) -> BatchVerdict {
    SignatureBatch::new(&claims, &mut Seeded::new(7)).check()
}

#[test]
fn empty_batch_has_nothing_invalid() {
    assert_eq!(check(Vec::new()).invalid, Vec::<usize>::new());
}

#[test]
fn batch_of_one_needs_no_weight() {
    for stock in &*STOCKS {
        let alone = |claim: &SignatureClaim| SignatureBatch::new([claim], &mut NoWeights).check();
        assert_eq!(alone(&stock.good[0]), BatchVerdict { invalid: vec![], group_checks: 1 });
        assert_eq!(alone(&stock.bad[0]), BatchVerdict { invalid: vec![0], group_checks: 1 });
    }
}

#[test]
fn good_batch_takes_one_check_however_it_is_ordered() {
    for stock in &*STOCKS {
        let clean = BatchVerdict { invalid: vec![], group_checks: 1 };
        assert_eq!(check(stock.good.clone()), clean);
        assert_eq!(check(stock.good.iter().rev().cloned().collect()), clean);
    }
}

#[test]
fn the_same_claim_may_come_twice() {
    for Stock { good, bad } in &*STOCKS {
        let twice = |claim: &SignatureClaim| vec![claim.clone(), claim.clone()];
        assert!(check(twice(&good[1])).invalid.is_empty());
        assert_eq!(check(twice(&bad[1])).invalid, [0, 1]);
        let mixed = [twice(&good[1]), twice(&bad[1]), twice(&good[1])].concat();
        assert_eq!(check(mixed).invalid, [2, 3]);
    }
}

#[test]
fn claims_of_several_authority_sets_are_checked_together() {
    let mut claims: Vec<_> = STOCKS.iter().flat_map(|stock| stock.good.clone()).collect();
    let clean = BatchVerdict { invalid: vec![], group_checks: 1 };
    assert_eq!(check(claims.clone()), clean);
    // The same bits in another federation are other people, and the sets of signers of the three
    // are often the same bits.
    let [of_three, of_five, _] = &*STOCKS;
    claims[17] = of_five.bad[17].clone();
    claims[50] = of_three.bad[3].clone();
    assert_eq!(check(claims).invalid, [17, 50]);
}

#[test]
fn claims_that_cannot_be_true_are_no_claims() {
    let federation = Federation::of(3);
    let all = SignerSet::below(3, 0..3);
    let signature = federation.sign(all, &root(1)).to_bytes();
    let claim = |signers, signature: &[u8]| {
        SignatureClaim::new(&federation.set, signers, root(1), signature)
    };
    assert!(claim(all, &signature).is_some());
    assert!(claim(SignerSet::EMPTY, &signature).is_none(), "nobody");
    assert!(claim(all, &[0; 96]).is_none(), "no point");
    assert!(claim(all, &signature[1..]).is_none(), "too short");
    assert!(claim(all, &infinity_signature().to_bytes()).is_none(), "infinity");
    assert!(claim(all, &stray_signature().to_bytes()).is_none(), "outside the subgroup");
    let secret = cancelling_keys(1);
    let set = AuthoritySet::new(secret.iter().map(SecretKey::public_key).collect()).unwrap();
    let one = secret[0].sign(&root(1)).to_bytes();
    let both = SignerSet::below(2, [0, 1]);
    assert!(SignatureClaim::new(&set, both, root(1), &one).is_none(), "keys cancel out");
}

/// Three claims whose errors add up to nothing: signatures moved by d, e and -(d + e), all still in
/// the subgroup. None of them is valid.
fn cancelling(federation: &Federation, signers: SignerSet, seed: u64) -> Vec<SignatureClaim> {
    let moved = |number: u64, by: &[&SecretKey]| {
        let signature = federation.sign(signers, &root(number));
        // The error is a signature over something else, which is a point of the subgroup.
        let errors = by.iter().map(|key| key.sign(&root(seed)));
        let sum = errors.fold(sum_of(&signature), |sum, error| sum.plus(&sum_of(&error)));
        let point = G2Sum::to_affine(&[sum])[0];
        let mut claim = federation.claim(signers, root(number), &signature);
        claim.replace_signature(point);
        claim
    };
    let [d, minus_d] = cancelling_keys(3);
    let [e, minus_e] = cancelling_keys(9);
    vec![moved(1, &[&d]), moved(2, &[&e]), moved(3, &[&minus_d, &minus_e])]
}

fn sum_of(signature: &Signature) -> G2Sum {
    signature.checked_point().unwrap().into()
}

#[test]
fn errors_that_cancel_each_other_never_pass() {
    let federation = Federation::of(5);
    let signers = SignerSet::below(5, 0..4);
    let claims = cancelling(&federation, signers, 77);
    assert!(claims.iter().all(|claim| !claim.is_valid()));
    let careless = SignatureBatch::new(&claims, &mut Ones);
    assert!(careless.holds(), "the errors do cancel each other, without weights");
    let passed = (0..10_000_u64)
        .into_par_iter()
        .filter(|&seed| SignatureBatch::new(&claims, &mut Seeded::new(seed)).holds());
    assert_eq!(passed.count(), 0);
    assert_eq!(check(claims).invalid, [0, 1, 2]);
}

/// Gives weights that differ in one bit only, in turn.
struct OneBitApart(NonZeroU64, u32);

impl Weights for OneBitApart {
    fn draw(&mut self) -> NonZeroU64 {
        let weight = self.0;
        self.0 = NonZeroU64::new(weight.get() ^ 1 << self.1).unwrap();
        weight
    }
}

#[test]
fn every_bit_of_the_weights_counts() {
    let federation = Federation::of(5);
    let signers = SignerSet::below(5, 0..4);
    let [d, minus_d] = cancelling_keys(3);
    let moved = |number: u64, by: &SecretKey| {
        let signature = federation.sign(signers, &root(number));
        let mut claim = federation.claim(signers, root(number), &signature);
        let sum = sum_of(&signature).plus(&sum_of(&by.sign(&root(77))));
        claim.replace_signature(G2Sum::to_affine(&[sum])[0]);
        claim
    };
    let pair = vec![moved(1, &d), moved(2, &minus_d)];
    // Sums of 32 points and more are computed in another way. The others are valid.
    let others = (10..44).map(|number| {
        federation.claim(signers, root(number), &federation.sign(signers, &root(number)))
    });
    let many: Vec<_> = pair.iter().cloned().chain(others).collect();
    let start = NonZeroU64::new(0x5555_aaaa_3333_cccc).unwrap();
    for claims in [pair, many] {
        assert!(SignatureBatch::new(&claims, &mut Ones).holds(), "the errors cancel each other");
        for bit in 0..u64::BITS {
            let mut weights = OneBitApart(start, bit);
            assert!(!SignatureBatch::new(&claims, &mut weights).holds(), "bit {bit}");
        }
    }
}

#[test]
fn mistaken_message_point_costs_time_but_condemns_no_valid_claim() {
    let Stock { good, bad } = &STOCKS[1];
    let mut claims = good[..9].to_vec();
    claims[2].mistake_message(&root(999));
    claims[7] = bad[7].clone();
    let verdict = check(claims.clone());
    assert_eq!(verdict.invalid, [7]);
    assert!(verdict.group_checks > 1);
    let alone = SignatureBatch::new([&claims[2]], &mut NoWeights).check();
    assert_eq!(alone.invalid, Vec::<usize>::new());
}

#[test]
fn authority_that_never_signs_does_not_matter() {
    let federation = Federation::of(15);
    // So many sets of signers that the authorities are the fewer.
    let absent = (0..13).flat_map(|one| (one + 1..14).map(move |two| [one, two, 14]));
    let claims: Vec<_> = (0..30)
        .zip(absent)
        .map(|(number, absent)| {
            let signers = SignerSet::below(15, (0..15).filter(|index| !absent.contains(index)));
            let signature = federation.sign(signers, &root(number));
            federation.claim(signers, root(number), &signature)
        })
        .collect();
    assert_eq!(check(claims), BatchVerdict { invalid: vec![], group_checks: 1 });
}

#[test]
fn pairs_are_as_few_as_the_sets_of_signers_or_as_the_authorities() {
    let [of_three, _, of_fifteen] = &*STOCKS;
    let count = |claims: &[SignatureClaim]| {
        let sums: Vec<_> = claims.iter().map(|claim| claim.message.0).collect();
        let messages = G2Sum::to_affine(&sums).into_iter();
        let terms = claims.iter().zip(messages);
        groups::pairs(terms.map(|(claim, message)| (claim, message, NonZeroU64::MIN))).len()
    };
    let sets = |claims: &[SignatureClaim]| {
        claims.iter().map(|claim| claim.signers).collect::<BTreeSet<_>>().len()
    };
    let (few, many) = (&of_fifteen.good[..5], &of_fifteen.good);
    assert_eq!(count(few), sets(few));
    assert!(sets(many) > 20, "{} sets", sets(many));
    assert_eq!(count(many), 15);
    assert_eq!(count(&[&of_three.good[..], many].concat()), sets(&of_three.good).min(3) + 15);
}

#[test]
fn swapped_signatures_never_pass() {
    let federation = Federation::of(5);
    let signers = SignerSet::below(5, 1..5);
    let [one, two] = [1, 2].map(|number| federation.sign(signers, &root(number)));
    let claims =
        vec![federation.claim(signers, root(1), &two), federation.claim(signers, root(2), &one)];
    assert!(SignatureBatch::new(&claims, &mut Ones).holds());
    for seed in 0..100 {
        assert!(!SignatureBatch::new(&claims, &mut Seeded::new(seed)).holds());
    }
    assert_eq!(check(claims).invalid, [0, 1]);
}

#[test]
fn batch_agrees_with_the_batch_of_blst() {
    for (authorities, wrong) in [(3, 0), (5, 0), (15, 0), (3, 1), (5, 1), (15, 2)] {
        let options = SignedRootsOptions { authorities, count: 24, wrong, seed: 5 };
        let signed = signed_roots(options).unwrap();
        let set = signed.authorities();
        let claims: Vec<_> = (signed.roots().iter())
            .map(|one| {
                let signature = one.signature.as_bytes();
                SignatureClaim::new(set, one.signers, one.root, signature).unwrap()
            })
            .collect();
        assert_eq!(check(claims).invalid.len(), wrong);
        let mut weights = Seeded::new(8);
        let weighted = signed.roots().iter().map(|one| WeightedSignature {
            key: set.aggregate(one.signers).unwrap(),
            root: one.root,
            signature: one.signature.as_bytes(),
            weight: weights.draw(),
        });
        assert_eq!(verify_with_blst_batch(weighted), wrong == 0);
    }
    assert!(verify_with_blst_batch([]) && check(Vec::new()).invalid.is_empty(), "nothing");
}

/// The most products of pairings that a search for `bad` of `all` may take.
fn checks_max(bad: usize, all: usize) -> f64 {
    if bad == 0 {
        return 1.0;
    }
    let (bad, all) = (bad as f64, all.next_power_of_two() as f64);
    bad * (1.0 + (all / bad).log2())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn batch_finds_exactly_what_single_checks_find(
        federation in 0..3_usize,
        picks in prop::collection::vec(
            (any::<prop::sample::Index>(), prop::bool::weighted(0.1)),
            0..48,
        ),
        seed in any::<u64>(),
    ) {
        let Stock { good, bad } = &STOCKS[federation];
        let claims: Vec<_> = picks
            .iter()
            .map(|(index, is_bad)| index.get(if *is_bad { bad } else { good }).clone())
            .collect();
        let expected: Vec<_> =
            (0..claims.len()).filter(|&index| !claims[index].is_valid()).collect();
        let verdict = SignatureBatch::new(&claims, &mut Seeded::new(seed)).check();
        prop_assert_eq!(&verdict.invalid, &expected);
        prop_assert!(
            verdict.group_checks as f64 <= checks_max(expected.len(), picks.len()),
            "{} checks for {} of {}", verdict.group_checks, expected.len(), picks.len(),
        );
    }
}

#[test]
fn search_keeps_its_bound_for_any_number_of_invalid_claims() {
    let Stock { good, bad } = &STOCKS[1];
    for count in [1, 2, 5, 10, 20, 40] {
        // Spread out, which is what costs most.
        let step = good.len() / count;
        let pick =
            |index: usize| if index.is_multiple_of(step) { &bad[index] } else { &good[index] };
        let claims: Vec<_> = (0..good.len()).map(pick).cloned().collect();
        let verdict = check(claims);
        assert_eq!(verdict.invalid.len(), count);
        let bound = checks_max(count, good.len());
        assert!(verdict.group_checks as f64 <= bound, "{} > {bound}", verdict.group_checks);
    }
}
