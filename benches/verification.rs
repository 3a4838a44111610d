//! What a batch of signatures costs, step by step, and against single checks and blst's own batch.
//!
//! `cargo bench --bench verification`. Compare the lines of one run with each other.
#![allow(missing_docs, reason = "criterion's macros make public items")]

use std::{collections::HashMap, hint::black_box, num::NonZeroU64};

use alys_sync::{
    consensus::{
        AuthoritySet, SignerSet,
        batch::{SignatureBatch, SignatureClaim, Weights},
        bls::{DOMAIN, SecretKey},
    },
    types::BlockRoot,
};
use blst::{BLST_ERROR, Pairing, blst_p1_affine, blst_p2_affine, min_pk};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

/// Sizes of batches. Unit: blocks.
const SIZES: [usize; 5] = [1, 8, 64, 128, 256];

/// Sizes of federations. Unit: authorities.
const FEDERATIONS: [usize; 3] = [3, 5, 15];

/// How many claims of a batch of 128 are wrong.
const WRONG: [usize; 4] = [0, 1, 2, 5];

/// The size of the batches with wrong claims. Unit: blocks.
const SEARCHED: usize = 128;

struct Seeded(StdRng);

impl Weights for Seeded {
    fn draw(&mut self) -> NonZeroU64 {
        NonZeroU64::new(self.0.random()).unwrap_or(NonZeroU64::MIN)
    }
}

/// Signed roots of one federation.
struct Signed {
    authorities: AuthoritySet,
    blocks: Vec<(SignerSet, BlockRoot, [u8; 96])>,
    /// For blst's own batch, which has them at hand as ours has.
    keys: HashMap<SignerSet, blst_p1_affine>,
}

fn signed(authorities: usize, wrong: usize) -> Signed {
    let mut rng = StdRng::seed_from_u64(1);
    let secret: Vec<_> =
        (0..authorities).map(|_| SecretKey::from_digest(rng.random()).expect("not zero")).collect();
    let set =
        AuthoritySet::new(secret.iter().map(SecretKey::public_key).collect()).expect("a legal set");
    let mut block = |index: usize| {
        let present = rng.random_range(set.majority()..=authorities);
        let mut signers: Vec<_> = (0..authorities).collect();
        while signers.len() > present {
            signers.swap_remove(rng.random_range(0..signers.len()));
        }
        let signers = SignerSet::below(authorities, signers);
        let key = SecretKey::sum(signers.iter().map(|index| &secret[index])).expect("not zero");
        let root = BlockRoot::new(rng.random());
        let is_wrong = wrong > 0
            && index.is_multiple_of(SEARCHED / wrong)
            && index / (SEARCHED / wrong) < wrong;
        let over = if is_wrong { BlockRoot::ZERO } else { root };
        (signers, root, key.sign(&over).to_bytes())
    };
    let blocks: Vec<_> = (0..256).map(&mut block).collect();
    let key = |(signers, _, _): &(SignerSet, _, _)| {
        let key = set.aggregate(*signers).expect("keys do not cancel out");
        let key = min_pk::PublicKey::uncompress(&key.to_bytes()).expect("a key");
        (*signers, blst_p1_affine::from(key))
    };
    let keys = blocks.iter().map(key).collect();
    Signed { authorities: set, blocks, keys }
}

impl Signed {
    /// All of the work from bytes on: decoding, subgroup, hashing, the equation, the search.
    fn grouped(&self, count: usize, weights: &mut Seeded) -> usize {
        let claims: Vec<_> = self.blocks[..count]
            .iter()
            .map(|(signers, root, signature)| {
                SignatureClaim::new(&self.authorities, *signers, *root, signature).expect("a point")
            })
            .collect();
        SignatureBatch::new(&claims, weights).check().invalid.len()
    }

    /// blst's own batch: one pairing for each block, weights on both sides.
    fn blst_batch(&self, count: usize, weights: &mut Seeded) -> bool {
        let mut pairing = Pairing::new(true, DOMAIN);
        for (signers, root, signature) in &self.blocks[..count] {
            let signature = min_pk::Signature::uncompress(signature).expect("a point");
            let signature = blst_p2_affine::from(signature);
            let weight = weights.draw().get().to_le_bytes();
            let added = pairing.mul_n_aggregate(
                &self.keys[signers],
                false,
                &signature,
                true,
                &weight,
                64,
                root.as_bytes(),
                &[],
            );
            assert_eq!(added, BLST_ERROR::BLST_SUCCESS);
        }
        pairing.commit();
        pairing.finalverify(None)
    }
}

fn batches(c: &mut Criterion) {
    let mut weights = Seeded(StdRng::seed_from_u64(2));
    for authorities in FEDERATIONS {
        let signed = signed(authorities, 0);
        let mut group = c.benchmark_group(format!("signatures/authorities={authorities}"));
        group.sample_size(10);
        for count in SIZES {
            group.throughput(Throughput::Elements(count as u64));
            group.bench_function(BenchmarkId::new("blst_batch", count), |b| {
                b.iter(|| assert!(signed.blst_batch(count, &mut weights)));
            });
            group.bench_function(BenchmarkId::new("grouped", count), |b| {
                b.iter(|| assert_eq!(signed.grouped(count, &mut weights), 0));
            });
        }
        group.finish();
    }
}

fn searches(c: &mut Criterion) {
    let mut weights = Seeded(StdRng::seed_from_u64(3));
    let mut group = c.benchmark_group("wrong");
    group.sample_size(10);
    for wrong in WRONG {
        let signed = signed(5, wrong);
        group.bench_function(BenchmarkId::from_parameter(wrong), |b| {
            b.iter(|| assert_eq!(black_box(signed.grouped(SEARCHED, &mut weights)), wrong));
        });
    }
    group.finish();
}

criterion_group!(benches, batches, searches);
criterion_main!(benches);
