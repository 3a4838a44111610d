//! Without links in the way: the old algorithm, and ours with one peer and with eight.

use std::{path::Path, time::Duration};

use alys_sync::validation::process_cpu;
use serde::Serialize;

use super::{chains::BenchChain, node_child::NodeFigures, node_run::NodeRun, old_sync};
use crate::cli::{
    Context, Ending,
    bench::{
        rounds::{MeasureError, Samples},
        signature_load::SignatureLoad,
        signatures::HEADLINE_AUTHORITIES,
    },
    blocking,
    progress::Progress,
};

/// What the sync of today's real node was measured to do on the machine that this benchmark was
/// written on. Unit: blocks a second.
const REAL_NODE: [f64; 2] = [192.0, 225.0];

/// What the real node took to verify one signature there, and it verifies three a block. Unit:
/// seconds of CPU time. Tells a slower machine from a wrong model.
const REAL_VERIFICATION_SECONDS: f64 = 0.001_22;

/// How far from its speed the old algorithm may be to stand for it. A part: 0.25 is a quarter.
const REAL_NODE_MARGIN: f64 = 0.25;

/// Peers that ours syncs from.
const PEERS: [u8; 2] = [1, SERVERS];

/// Signatures verified to learn what one takes. Unit: signatures. Too low: chance. Too high: time.
const SINGLES: usize = 128;

/// Processes that serve.
const SERVERS: u8 = 8;

/// The old algorithm. Medians over all rounds.
#[derive(Debug, Clone, Serialize)]
pub(super) struct OldRow {
    /// With calls to an execution client that agrees at once: what today's node does.
    pub(super) blocks_per_second: f64,
    /// Without those calls: the work that our side does too. Ratios are to this.
    pub(super) without_execution_blocks_per_second: f64,
    /// CPU time of verifying one signature by itself. It does so three times a block.
    pub(super) verification_cpu_seconds: f64,
    /// CPU time over time without those calls: how many cores were at work. `None` where it is not
    /// known.
    pub(super) cores_used: Option<f64>,
}

impl OldRow {
    /// Whether its speed is near what the real node's was measured to be.
    pub(super) fn is_comparable(&self) -> bool {
        let [low, high] = comparable();
        (low..=high).contains(&self.blocks_per_second)
    }

    /// Whether its speed stands for the real node's, and what tells why.
    pub(super) fn note(&self) -> String {
        let ([low, high], [slow, fast]) = (comparable(), REAL_NODE);
        let speed = self.blocks_per_second;
        let verdict = if self.is_comparable() {
            format!("comparable: {speed:.0} blocks/s lie between {low:.0} and {high:.0}")
        } else if speed < low {
            format!("NOT COMPARABLE: {speed:.0} blocks/s are fewer than {low:.0}")
        } else {
            format!("NOT COMPARABLE: {speed:.0} blocks/s are more than {high:.0}")
        };
        let (here, there) = (self.verification_cpu_seconds, REAL_VERIFICATION_SECONDS);
        // Nearly all of it is signatures, so its speed goes with theirs.
        let scaled = speed * here / there;
        let [here, there] = [here, there].map(|seconds| 1_000.0 * seconds);
        format!(
            "{verdict}; the real node did {slow:.0} to {fast:.0} where one signature took \
             {there:.2} ms of CPU time; here one takes {here:.2} ms, so there this would do about \
             {scaled:.0}"
        )
    }
}

/// Speeds that stand for the real node's. Unit: blocks a second.
fn comparable() -> [f64; 2] {
    let [slow, fast] = REAL_NODE;
    [slow * (1.0 - REAL_NODE_MARGIN), fast * (1.0 + REAL_NODE_MARGIN)]
}

/// Ours with some number of peers. Medians over all rounds.
#[derive(Debug, Clone, Serialize)]
pub(super) struct OursRow {
    pub(super) peers: u8,
    pub(super) blocks_per_second: f64,
    /// Over the speed of the old algorithm without an execution client, within rounds.
    pub(super) over_old: f64,
    /// From before it dials to its first import. Unit: seconds.
    pub(super) first_import_seconds: f64,
    /// Of its CPU time, the part that was verification: 0 to 1. `None` where it is not known; so
    /// below.
    pub(super) verification_cpu_share: Option<f64>,
    /// CPU time over time.
    pub(super) cores_used: Option<f64>,
    pub(super) peak_memory_bytes: Option<u64>,
}

/// Both.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Speeds {
    pub(super) chain_blocks: u64,
    /// The mean. Unit: bytes.
    pub(super) block_bytes: u64,
    pub(super) old: OldRow,
    /// Empty where only the old algorithm was measured.
    pub(super) ours: Vec<OursRow>,
}

/// Runs of ours with one number of peers.
struct OursRuns {
    peers: u8,
    took: Samples,
    runs: Vec<NodeFigures>,
}

/// Measures the old algorithm, and in turn with it ours if `with_ours`.
pub(super) async fn measure(
    chain: &BenchChain,
    rounds: u32,
    with_ours: bool,
    dir: &Path,
    context: &Context,
) -> Result<Speeds, Ending> {
    let servers = chain.served(SERVERS, context).await?;
    let addresses = servers.addresses();
    let (mut real_took, mut old_took) = (Samples::default(), Samples::default());
    let mut old_runs = Vec::new();
    let peers = if with_ours { &PEERS[..] } else { &[] };
    let ours = |peers: &u8| OursRuns { peers: *peers, took: Samples::default(), runs: Vec::new() };
    let mut ours: Vec<_> = peers.iter().map(ours).collect();
    let mut shown = Progress::bar_or_lines(&context.bars);
    for round in 0..rounds {
        shown.work("old algorithm", round.into(), rounds.into());
        let Some(server) = addresses.first() else { break };
        real_took.push(old_sync::sync(chain, server, true, dir, context).await?.took);
        let run = old_sync::sync(chain, server, false, dir, context).await?;
        old_took.push(run.took);
        old_runs.push(run);
        for OursRuns { peers, took, runs } in &mut ours {
            shown.work("ours", round.into(), rounds.into());
            let peers = addresses.iter().take((*peers).into()).cloned().collect();
            let run = NodeRun { chain, peers, import_bytes_per_second: None };
            let figures = run.sync(dir, context).await?;
            took.push(Duration::from_secs_f64(figures.seconds));
            runs.push(figures);
        }
    }
    drop(shown);
    servers.stop().await;
    let verification_cpu_seconds = blocking(verification_cpu_seconds).await?;
    let blocks = chain.blocks() as f64;
    let speed = |took: &Samples| took.times(1.0 / blocks).median().recip();
    let old = OldRow {
        blocks_per_second: speed(&real_took),
        without_execution_blocks_per_second: speed(&old_took),
        verification_cpu_seconds,
        cores_used: cores(old_runs.iter().map(|run| (run.cpu_seconds, run.took))),
    };
    let row = |OursRuns { peers, took, runs }| OursRow {
        peers,
        blocks_per_second: speed(&took),
        over_old: old_took.over(&took),
        first_import_seconds: Samples::of(runs.iter().map(|run| run.first_import_seconds)).median(),
        verification_cpu_share: known(runs.iter().map(|run| run.verification_cpu_share)),
        cores_used: cores(
            runs.iter().map(|run| (run.cpu_seconds, Duration::from_secs_f64(run.seconds))),
        ),
        peak_memory_bytes: runs.iter().filter_map(|run| run.peak_memory_bytes).max(),
    };
    Ok(Speeds {
        chain_blocks: chain.blocks(),
        block_bytes: chain.bytes / chain.blocks().max(1),
        old,
        ours: ours.into_iter().map(row).collect(),
    })
}

/// What verifying one signature by itself takes of the CPU.
fn verification_cpu_seconds() -> Result<f64, Ending> {
    let load = SignatureLoad::new(HEADLINE_AUTHORITIES, SINGLES, 0).map_err(Ending::failed)?;
    let before = process_cpu();
    let valid = load.single(SINGLES);
    let spent = before.zip(process_cpu()).map(|(before, after)| after.saturating_sub(before));
    let spent = spent.ok_or_else(|| Ending::failed(MeasureError::NoClock))?;
    if valid != SINGLES {
        return Err(Ending::failed(MeasureError::WrongVerdict { what: "single signatures" }));
    }
    Ok(spent.as_secs_f64() / SINGLES as f64)
}

/// The median of figures that are all known.
fn known(figures: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    figures.collect::<Option<Vec<f64>>>().map(|figures| Samples::of(figures).median())
}

/// CPU time over time, the median.
fn cores(runs: impl Iterator<Item = (Option<f64>, Duration)>) -> Option<f64> {
    known(runs.map(|(cpu, took)| cpu.map(|cpu| cpu / took.as_secs_f64())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn old(blocks_per_second: f64, verification_cpu_seconds: f64) -> OldRow {
        OldRow {
            blocks_per_second,
            without_execution_blocks_per_second: 2.0 * blocks_per_second,
            verification_cpu_seconds,
            cores_used: None,
        }
    }

    #[test]
    fn old_algorithm_is_comparable_within_a_quarter_of_the_real_node() {
        for (speed, comparable) in [(143.0, false), (144.5, true), (281.0, true), (282.0, false)] {
            let old = old(speed, REAL_VERIFICATION_SECONDS);
            assert_eq!(old.is_comparable(), comparable, "{speed}");
            assert_eq!(old.note().starts_with("NOT COMPARABLE"), !comparable, "{}", old.note());
        }
    }

    #[test]
    fn faster_machine_is_told_from_a_wrong_model() {
        let note = old(400.0, REAL_VERIFICATION_SECONDS / 2.0).note();
        assert!(note.starts_with("NOT COMPARABLE") && note.ends_with("about 200"), "{note}");
    }
}
