//! What verification costs, on the types that sync uses. `cargo bench --bench verification`.
//!
//! - `signatures`: one by one, in blst's own batch, and grouped as sync does
//! - `wrong`: a batch with so many wrong signatures in it
//! - `pool`: the whole pool under its supervisor, with one worker and with two
//!
//! All from compressed bytes on. Compare the lines of one run with each other; or let
//! `alys-sync bench verify` do so, which measures the same in turn and prints ratios.
#![allow(missing_docs, reason = "criterion's macros make public items")]

#[path = "../src/cli/bench/pool_load.rs"]
mod pool_load;
#[path = "../src/cli/bench/signature_load.rs"]
mod signature_load;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use pool_load::{ChainLoad, LoadedPool};
use signature_load::SignatureLoad;
use tokio::runtime::Runtime;

/// Sizes of batches. Unit: signatures.
const SIZES: [usize; 5] = [1, 8, 64, 128, 256];

/// Sizes of federations. Unit: authorities.
const FEDERATIONS: [usize; 3] = [3, 5, 15];

/// How many signatures of a batch of [`SEARCHED`] are wrong.
const WRONG: [usize; 4] = [0, 1, 2, 5];

/// The size of the batches with wrong signatures.
const SEARCHED: usize = 128;

/// How many blocks the pool verifies. Unit: blocks.
const POOL_BLOCKS: u64 = 2_048;

fn load(authorities: usize, count: usize, wrong: usize) -> SignatureLoad {
    SignatureLoad::new(authorities, count, wrong).expect("so many authorities are legal")
}

fn signatures(c: &mut Criterion) {
    for authorities in FEDERATIONS {
        let load = load(authorities, SIZES[SIZES.len() - 1], 0);
        let mut group = c.benchmark_group(format!("signatures/authorities={authorities}"));
        group.sample_size(10);
        for count in SIZES {
            group.throughput(Throughput::Elements(count as u64));
            group.bench_function(BenchmarkId::new("single", count), |b| {
                b.iter(|| assert_eq!(load.single(count), count));
            });
            group.bench_function(BenchmarkId::new("blst_batch", count), |b| {
                b.iter(|| assert!(load.blst_batch(count)));
            });
            group.bench_function(BenchmarkId::new("grouped", count), |b| {
                b.iter(|| assert_eq!(load.grouped(count), count));
            });
        }
        group.finish();
    }
}

fn wrong(c: &mut Criterion) {
    let mut group = c.benchmark_group("wrong");
    group.sample_size(10).throughput(Throughput::Elements(SEARCHED as u64));
    for wrong in WRONG {
        let load = load(5, SEARCHED, wrong);
        group.bench_function(BenchmarkId::from_parameter(wrong), |b| {
            b.iter(|| assert_eq!(load.grouped(SEARCHED), SEARCHED - wrong));
        });
    }
    group.finish();
}

fn pool(c: &mut Criterion) {
    let runtime = Runtime::new().expect("threads can be started");
    let load = ChainLoad::generate(POOL_BLOCKS).expect("the options are legal");
    let mut group = c.benchmark_group("pool");
    group.sample_size(10).throughput(Throughput::Elements(load.blocks()));
    for workers in [1, 2] {
        let pool = runtime.block_on(LoadedPool::start(&load, workers)).expect("a pool");
        group.bench_function(BenchmarkId::new("workers", workers), |b| {
            b.iter(|| runtime.block_on(pool.verify(&load)).expect("the blocks are valid"));
        });
        runtime.block_on(pool.stop());
    }
    group.finish();
}

criterion_group!(benches, signatures, wrong, pool);
criterion_main!(benches);
