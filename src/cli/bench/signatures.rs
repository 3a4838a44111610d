//! Signatures: one by one, in blst's batch and in ours; and what wrong ones cost.

use serde::Serialize;

use super::{rounds::Rounds, signature_load::SignatureLoad};
use crate::cli::Ending;

/// Sizes of federations. Unit: authorities. Source: the smallest, the usual and the largest.
const FEDERATIONS: [usize; 3] = [3, HEADLINE_AUTHORITIES, MOST_AUTHORITIES];

/// Sizes of batches. Unit: signatures. Source: the pool forms batches of 64 to 256, and smaller
/// ones where few blocks come.
const SIZES: [usize; 5] = [1, 8, 64, HEADLINE_BATCH, 256];

/// How many signatures of a batch are wrong, beside none.
const WRONG: [usize; 3] = [1, 2, 5];

/// The federation and the batch that the bounds are about.
pub(super) const HEADLINE_AUTHORITIES: usize = 5;
/// See there.
pub(super) const HEADLINE_BATCH: usize = 128;
/// The largest federation, for which sets of signers repeat least.
pub(super) const MOST_AUTHORITIES: usize = 15;

/// The most signatures that are verified one by one; more cost in proportion. Unit: signatures.
/// Too low: chance. Too high: most of the time goes into what is already known.
const SINGLE_MAX: usize = 32;

/// Three ways to verify the same signatures. Medians over all rounds; ratios within rounds.
#[derive(Debug, Clone, Serialize)]
pub(super) struct SignatureRow {
    pub(super) authorities: usize,
    pub(super) signatures: usize,
    /// CPU time of one signature. Unit: seconds; so the two below.
    pub(super) single_cpu_seconds: f64,
    pub(super) blst_batch_cpu_seconds: f64,
    pub(super) grouped_cpu_seconds: f64,
    pub(super) grouped_over_single: f64,
    pub(super) grouped_over_blst_batch: f64,
}

/// A batch with wrong signatures against the same without.
#[derive(Debug, Clone, Serialize)]
pub(super) struct WrongRow {
    pub(super) wrong: usize,
    pub(super) over_clean: f64,
}

/// Measures every federation with every size of batch.
pub(super) fn measure(rounds: &mut Rounds<'_>) -> Result<Vec<SignatureRow>, Ending> {
    let most = SIZES.into_iter().max().unwrap_or_default();
    let mut rows = Vec::new();
    for authorities in FEDERATIONS {
        let load = SignatureLoad::new(authorities, most, 0).map_err(Ending::failed)?;
        for signatures in SIZES {
            rows.push(measure_one(rounds, &load, authorities, signatures)?);
        }
    }
    Ok(rows)
}

fn measure_one(
    rounds: &mut Rounds<'_>,
    load: &SignatureLoad,
    authorities: usize,
    signatures: usize,
) -> Result<SignatureRow, Ending> {
    let singles = signatures.min(SINGLE_MAX);
    let [single, blst_batch, grouped] = rounds.cpu_of(
        "signatures",
        [&|| load.single(singles) == singles, &|| load.blst_batch(signatures), &|| {
            load.grouped(signatures) == signatures
        }],
    )?;
    let single = single.times(1.0 / singles as f64);
    let [blst_batch, grouped] =
        [blst_batch, grouped].map(|samples| samples.times(1.0 / signatures as f64));
    Ok(SignatureRow {
        authorities,
        signatures,
        single_cpu_seconds: single.median(),
        blst_batch_cpu_seconds: blst_batch.median(),
        grouped_cpu_seconds: grouped.median(),
        grouped_over_single: grouped.over(&single),
        grouped_over_blst_batch: grouped.over(&blst_batch),
    })
}

/// Measures batches with wrong signatures against one without.
pub(super) fn measure_wrong(rounds: &mut Rounds<'_>) -> Result<Vec<WrongRow>, Ending> {
    let clean = load(0)?;
    let mut rows = Vec::new();
    for wrong in WRONG {
        let load = load(wrong)?;
        let [clean, searched] = rounds.cpu_of(
            "wrong signatures",
            [&|| clean.grouped(HEADLINE_BATCH) == HEADLINE_BATCH, &|| {
                load.grouped(HEADLINE_BATCH) == HEADLINE_BATCH - wrong
            }],
        )?;
        rows.push(WrongRow { wrong, over_clean: searched.over(&clean) });
    }
    Ok(rows)
}

fn load(wrong: usize) -> Result<SignatureLoad, Ending> {
    SignatureLoad::new(HEADLINE_AUTHORITIES, HEADLINE_BATCH, wrong).map_err(Ending::failed)
}
