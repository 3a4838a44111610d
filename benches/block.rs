//! What one block costs, stage by stage. `cargo bench --bench block`.
//!
//! - `chunk`: taking the response chunk apart
//! - `root`: the root of its message
//! - `scan`: checking the bytes and taking out what sync needs, the root among it
//! - `decode`: building it in full
//! - `verify`: the stateless checks of a scanned block
//!
//! Compare the lines of one run with each other: chunk and scan should be a small part of
//! verification.
#![allow(missing_docs, reason = "criterion's macros make public items")]

use std::{hint::black_box, sync::Arc};

use alys_sync::{
    consensus::{
        Verifier,
        generate::{GenerateOptions, Transactions, generate},
    },
    wire::{
        block::{EncodedBlock, signing_root},
        response::{ChunkDecoder, encode_block_chunk},
    },
};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

/// Transactions a block, and bytes of each: about 1.3, 5, 100 and 1,000 kB as encoded. The last is
/// about the largest that fits in a block.
const SHAPES: [(u32, u32); 4] = [(0, 0), (10, 200), (250, 200), (2400, 200)];

fn block_of(per_block: u32, bytes: u32) -> (Verifier, EncodedBlock) {
    let transactions = Transactions::Fixed { per_block, bytes };
    let options = GenerateOptions { blocks: 1, transactions, ..GenerateOptions::default() };
    let chain = generate(options).expect("the options are legal");
    let block = chain.blocks().next().expect("one block was asked for");
    (Verifier::new(Arc::clone(chain.spec())), block)
}

fn stages(c: &mut Criterion) {
    for (per_block, bytes) in SHAPES {
        let (verifier, block) = block_of(per_block, bytes);
        let raw = block.raw().clone();
        let chunk = encode_block_chunk(&raw).expect("the block is small enough to be sent");
        let message = block.to_block().message.encode();
        let mut group = c.benchmark_group(format!("block/bytes={}", raw.len()));
        group.throughput(Throughput::Bytes(raw.len() as u64));
        group.bench_function(BenchmarkId::from_parameter("chunk"), |b| {
            b.iter(|| {
                let mut decoder = ChunkDecoder::for_blocks();
                let mut rest = &chunk[..];
                while let Some(progress) = decoder.advance(&mut rest).expect("a good chunk") {
                    black_box(progress);
                }
            });
        });
        group.bench_function(BenchmarkId::from_parameter("root"), |b| {
            b.iter(|| signing_root(black_box(&message)));
        });
        group.bench_function(BenchmarkId::from_parameter("scan"), |b| {
            b.iter(|| EncodedBlock::decode(black_box(raw.clone())).expect("a good block"));
        });
        group.bench_function(BenchmarkId::from_parameter("decode"), |b| {
            b.iter(|| black_box(&block).to_block());
        });
        group.bench_function(BenchmarkId::from_parameter("verify"), |b| {
            b.iter(|| verifier.verify(black_box(block.clone())).expect("a valid block"));
        });
        group.finish();
    }
}

criterion_group!(benches, stages);
criterion_main!(benches);
