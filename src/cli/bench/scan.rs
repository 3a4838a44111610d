//! Reading a block and taking its root, against verifying its signature.

use alys_sync::{
    consensus::generate::{GenerateOptions, Transactions, generate},
    wire::block::EncodedBlock,
};
use bytes::Bytes;
use serde::Serialize;

use super::{
    rounds::Rounds,
    signature_load::SignatureLoad,
    signatures::{HEADLINE_AUTHORITIES, HEADLINE_BATCH},
};
use crate::cli::Ending;

/// Transactions a block, and bytes of each: about 1.3, 1.8, 5, 100 and 1,000 kB as encoded. The
/// last is about the largest that fits in a block.
const SHAPES: [(u32, u32); 5] = [(0, 0), HEADLINE_SHAPE, (9, 200), (242, 200), (2_400, 200)];

/// The block that the bound is about: 1.8 kB.
const HEADLINE_SHAPE: (u32, u32) = (1, 250);

/// Different blocks of each shape. Unit: blocks. Source: enough that no fixed bytes are learned by
/// the processor. Higher: making them takes the time.
const BLOCKS: u64 = 8;

/// Bytes read in one measurement, at least. Unit: bytes. Too low: the clock's own cost shows. Too
/// high: the measurement takes long.
const BYTES_MIN: usize = 4_000_000;

/// What reading blocks of one size costs.
#[derive(Debug, Clone, Serialize)]
pub(super) struct ScanRow {
    /// The mean size. Unit: bytes.
    pub(super) bytes: usize,
    /// CPU time of one block. Unit: seconds.
    pub(super) cpu_seconds: f64,
    /// The same over the CPU time that a signature takes in a batch, within rounds.
    pub(super) over_verify: f64,
}

/// What reading costs.
pub(super) struct Scanned {
    pub(super) rows: Vec<ScanRow>,
    /// [`ScanRow::over_verify`] of the block that the bound is about.
    pub(super) over_verify: Option<f64>,
}

/// Measures every shape.
pub(super) fn measure(rounds: &mut Rounds<'_>) -> Result<Scanned, Ending> {
    let signatures =
        SignatureLoad::new(HEADLINE_AUTHORITIES, HEADLINE_BATCH, 0).map_err(Ending::failed)?;
    let mut scanned = Scanned { rows: Vec::new(), over_verify: None };
    for shape in SHAPES {
        let row = measure_one(rounds, &signatures, shape)?;
        if shape == HEADLINE_SHAPE {
            scanned.over_verify = Some(row.over_verify);
        }
        scanned.rows.push(row);
    }
    Ok(scanned)
}

fn measure_one(
    rounds: &mut Rounds<'_>,
    signatures: &SignatureLoad,
    (per_block, bytes): (u32, u32),
) -> Result<ScanRow, Ending> {
    let transactions = Transactions::Fixed { per_block, bytes };
    let options = GenerateOptions { blocks: BLOCKS, transactions, ..GenerateOptions::default() };
    let chain = generate(options).map_err(Ending::failed)?;
    let blocks: Vec<Bytes> = chain.blocks().map(|block| block.raw().clone()).collect();
    let all: usize = blocks.iter().map(Bytes::len).sum();
    let repeats = BYTES_MIN.div_ceil(all.max(1));
    let read = || {
        let mut raw = blocks.iter().cycle().take(repeats * blocks.len());
        raw.all(|raw| std::hint::black_box(EncodedBlock::decode(raw.clone())).is_ok())
    };
    let verify = || signatures.grouped(HEADLINE_BATCH) == HEADLINE_BATCH;
    let [scan, verify] = rounds.cpu_of("reading", [&read, &verify])?;
    let scan = scan.times(1.0 / (repeats * blocks.len()) as f64);
    let verify = verify.times(1.0 / HEADLINE_BATCH as f64);
    Ok(ScanRow {
        bytes: all / blocks.len().max(1),
        cpu_seconds: scan.median(),
        over_verify: scan.over(&verify),
    })
}
