//! One client that abuses a node, beside four honest ones: what it costs the node's own sync, what
//! the honest clients still get, and what memory it takes.
//!
//! Everything is real: processes, sockets on loopback, the disk. The node runs on one core, all
//! others on another. Runs with and without the abuser take turns, and figures are medians over the
//! pairs, so that a machine that is busy for a while does not decide. Two kinds of abusers take
//! turns as well; the worse of their medians counts.
//!
//! What the honest clients' fair share is: a fifth of what all five clients together are sent, or
//! what an honest client gets without the abuser, if that is less: nobody is owed more than it
//! would have.

mod abuser;
mod client;
mod node;
mod roles;

use std::{ffi::OsString, fs, io, path::Path, time::Duration};

use alys_sync::{
    consensus::generate::GenerateOptions,
    types::{Height, Multiaddr},
};
use serde::Serialize;
use tokio::time::{Instant, sleep};

pub use roles::{AbuserKind, ProcessRole, RoleArgs, play};

use self::{client::Got, node::NodeFigures};
use crate::processes::{PrepareError, ProcessError, prepared::Prepared, process::Process};

/// Honest clients. Source: the product's promise.
const HONEST: usize = 4;

/// Between the clients' first connection and the node's sync: they are at work by then. Unit: time.
const WARM_UP: Duration = Duration::from_secs(2);

/// By how much the own sync may be slower. Source: the product's promise. A part: 0.1 is a tenth.
const SLOWDOWN_MAX: f64 = 0.10;

/// The least part of its fair share that an honest client may get. Source: the product's promise.
const FAIR_SHARE_MIN: f64 = 0.90;

/// By how much more memory still counts as flat. Unit: bytes. Source: a busy connection takes about
/// 1 MiB, and the abuser has a few; the peak differs by some from run to run. Too low: chance
/// decides. Too high: a queue that grows with each request is missed.
const MEMORY_GROWTH_MAX: i64 = 16 << 20;

/// What to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AbuseOptions {
    /// How many times with and without each kind of abuser; at least 1.
    pub pairs: u32,
    /// Blocks that the node has from the start and the clients download; at least 1.
    pub held: u64,
    /// Blocks that the node syncs; at least 1.
    pub blocks: u64,
    /// Requests that the abuser sends in a second.
    pub requests_per_second: u32,
    /// The most blocks that an honest client takes in a second; 0 for as many as it gets.
    pub client_blocks_per_second: u64,
}

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub enum AbuseError {
    /// There is nothing to work on.
    #[error("the measurement cannot be prepared")]
    Prepare(#[from] PrepareError),
    /// A process is of no use.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// The disk.
    #[error("there is no directory to work in")]
    Io(#[from] io::Error),
    /// The machine is too small, or does not tell.
    #[error("two cores are needed, one for the node and one for all others")]
    Cores,
    /// The node stopped somewhere else.
    #[error("the node said that it is synced at block {found}, the chain ends with {wanted}")]
    NotSynced {
        /// Where it is.
        found: Height,
        /// Where it should be.
        wanted: u64,
    },
}

/// One sync, with the clients beside it.
#[derive(Debug, Clone, Serialize)]
pub struct AbuseRun {
    /// From the command to the last import. Unit: seconds.
    pub sync_seconds: f64,
    /// CPU time of the node meanwhile, serving included. Unit: seconds; none where it is not known.
    pub cpu_seconds: Option<f64>,
    /// The most memory of the node. Unit: bytes; as above.
    pub peak_memory_bytes: Option<u64>,
    /// What each honest client got meanwhile. Unit: bytes a second.
    pub honest_bytes_per_second: Vec<f64>,
    /// Requests of honest clients that failed, from their start on.
    pub honest_failed: u64,
    /// How often an honest client lost its connection.
    pub honest_lost: u64,
    /// What the abuser did; none where there was none.
    pub abuser: Option<AbuserRun>,
}

/// What the abuser did during one sync.
#[derive(Debug, Clone, Serialize)]
pub struct AbuserRun {
    /// Which kind it was.
    pub kind: AbuserKind,
    /// What it got. Unit: bytes a second.
    pub bytes_per_second: f64,
    /// What it asked for. Unit: requests a second.
    pub requests_per_second: f64,
    /// Requests that failed, of those.
    pub failed_per_second: f64,
    /// How often it was thrown out or refused, from its start on.
    pub lost: u64,
}

/// What came of the runs with one kind of abuser. Medians over the pairs.
#[derive(Debug, Clone, Serialize)]
pub struct KindReport {
    /// Which kind.
    pub kind: AbuserKind,
    /// Pairs of runs.
    pub pairs: usize,
    /// The time of the own sync with the abuser over that without, less 1.
    pub own_sync_slowdown: f64,
    /// What the honest client that got least got of its fair share. More than 1: the abuser got
    /// less than a fifth.
    pub honest_fair_share: f64,
    /// The node's peak with the abuser, less that without. Unit: bytes; none where it is not known.
    pub memory_growth_bytes: Option<i64>,
    /// The time of the own sync without the abuser. Unit: seconds.
    pub sync_seconds_without: f64,
    /// The same with it.
    pub sync_seconds_with: f64,
    /// What the abuser asked for. Unit: requests a second.
    pub abuser_requests_per_second: f64,
    /// What the abuser got, over what all five clients together got: 0 to 1.
    pub abuser_part: f64,
}

/// What came of all runs.
#[derive(Debug, Clone, Serialize)]
pub struct AbuseReport {
    /// The worst of the two kinds; so below.
    pub own_sync_slowdown: f64,
    /// See [`KindReport`].
    pub honest_fair_share: f64,
    /// See [`KindReport`].
    pub memory_growth_bytes: Option<i64>,
    /// By the kind of abuser. Medians.
    pub kinds: Vec<KindReport>,
    /// Each pair: without the abuser, and with it.
    pub runs: Vec<[AbuseRun; 2]>,
    /// How long it all took. Unit: seconds.
    pub seconds: f64,
}

impl AbuseReport {
    /// Whether all bounds were kept.
    pub fn is_kept(&self) -> bool {
        self.own_sync_slowdown <= SLOWDOWN_MAX
            && self.honest_fair_share >= FAIR_SHARE_MIN
            && self.memory_growth_bytes.is_none_or(|bytes| bytes <= MEMORY_GROWTH_MAX)
    }
}

/// Measures. `done` is called after each pair.
///
/// # Errors
/// [`AbuseError`]. A broken bound is none: it is in the report.
pub async fn measure(
    options: AbuseOptions,
    done: impl Fn(&[AbuseRun; 2]),
) -> Result<AbuseReport, AbuseError> {
    let begun = Instant::now();
    let cores = roles::two_cores().ok_or(AbuseError::Cores)?;
    let dir = tempfile::tempdir()?;
    let (held, wanted) = (options.held, options.held + options.blocks);
    let chain = GenerateOptions { blocks: wanted, ..GenerateOptions::default() };
    let prepared = Prepared::make(dir.path(), chain, held)?;
    let scene = Scene { options, prepared, cores };
    let mut runs = Vec::new();
    for pair in 0..options.pairs {
        for kind in AbuserKind::ALL {
            // Who is first takes turns as well.
            let pair = if pair % 2 == 0 {
                let without = scene.run(None).await?;
                [without, scene.run(Some(kind)).await?]
            } else {
                let with = scene.run(Some(kind)).await?;
                [scene.run(None).await?, with]
            };
            done(&pair);
            runs.push(pair);
        }
    }
    Ok(report(runs, begun.elapsed()))
}

/// What all runs share.
struct Scene {
    options: AbuseOptions,
    prepared: Prepared,
    /// The node's, and that of all others.
    cores: [usize; 2],
}

impl Scene {
    async fn run(&self, abuser: Option<AbuserKind>) -> Result<AbuseRun, AbuseError> {
        let store = self.prepared.copy_store("node")?;
        let run = self.run_in(&store, abuser).await;
        fs::remove_dir_all(&store)?;
        run
    }

    async fn run_in(&self, store: &Path, kind: Option<AbuserKind>) -> Result<AbuseRun, AbuseError> {
        let (server, address): (_, Multiaddr) = self.start(ProcessRole::Server, None, &[]).await?;
        let store = [OsString::from("--store"), store.into()];
        let (mut node, address): (_, Multiaddr) =
            self.start(ProcessRole::Node, Some(&address), &store).await?;
        let mut clients = Vec::new();
        for _ in 0..HONEST {
            let (client, _): (_, String) =
                self.start(ProcessRole::Client, Some(&address), &[]).await?;
            clients.push(client);
        }
        let mut abuser = None;
        if let Some(kind) = kind {
            let kind = ["--abuser", kind.name()].map(OsString::from);
            let (process, _): (_, String) =
                self.start(ProcessRole::Abuser, Some(&address), &kind).await?;
            abuser = Some(process);
        }
        sleep(WARM_UP).await;
        let (begun, before) = (Instant::now(), counts(&mut clients, &mut abuser).await?);
        let figures: NodeFigures = node.ask().await?;
        let (took, after) = (begun.elapsed(), counts(&mut clients, &mut abuser).await?);
        for process in clients.into_iter().chain(abuser).chain([node, server]) {
            process.stop().await?;
        }
        let wanted = self.options.held + self.options.blocks;
        if figures.height.get() != wanted {
            return Err(AbuseError::NotSynced { found: figures.height, wanted });
        }
        Ok(run_of(&figures, (took, kind), &before, &after))
    }

    async fn start<T: serde::de::DeserializeOwned>(
        &self,
        role: ProcessRole,
        peer: Option<&Multiaddr>,
        more: &[OsString],
    ) -> Result<(Process, T), ProcessError> {
        let [own, others] = self.cores;
        let cpu = if role == ProcessRole::Node { own } else { others };
        let options = &self.options;
        let mut arguments: Vec<OsString> =
            ["abuse-role", role.name(), "--dir"].map(Into::into).into();
        arguments.push(self.prepared.dir().into());
        let mut number = |name: &str, value: u64| {
            arguments.extend([name.into(), value.to_string().into()]);
        };
        number("--cpu", cpu as u64);
        number("--held", options.held);
        number("--blocks-per-second", options.client_blocks_per_second);
        number("--requests-per-second", options.requests_per_second.into());
        if let Some(peer) = peer {
            arguments.extend(["--peer".into(), peer.to_string().into()]);
        }
        arguments.extend(more.iter().cloned());
        Process::start(role.name(), arguments).await
    }
}

/// What the honest clients got so far, and the abuser, if there is one.
struct CountsOfAll {
    honest: Vec<Got>,
    abuser: Option<Got>,
}

async fn counts(
    clients: &mut [Process],
    abuser: &mut Option<Process>,
) -> Result<CountsOfAll, ProcessError> {
    let mut honest = Vec::with_capacity(clients.len());
    for client in clients {
        honest.push(client.ask().await?);
    }
    let abuser = match abuser {
        Some(abuser) => Some(abuser.ask().await?),
        None => None,
    };
    Ok(CountsOfAll { honest, abuser })
}

fn run_of(
    figures: &NodeFigures,
    (took, kind): (Duration, Option<AbuserKind>),
    before: &CountsOfAll,
    after: &CountsOfAll,
) -> AbuseRun {
    let rate = |before: u64, after: u64| after.saturating_sub(before) as f64 / took.as_secs_f64();
    let honest = before.honest.iter().zip(&after.honest);
    let abuser = kind.zip(before.abuser.zip(after.abuser));
    let abuser = abuser.map(|(kind, (before, after))| AbuserRun {
        kind,
        bytes_per_second: rate(before.bytes, after.bytes),
        requests_per_second: rate(before.requests, after.requests),
        failed_per_second: rate(before.failed, after.failed),
        lost: after.lost,
    });
    AbuseRun {
        sync_seconds: figures.seconds,
        cpu_seconds: figures.cpu_seconds,
        peak_memory_bytes: figures.peak_memory_bytes,
        honest_bytes_per_second: honest
            .map(|(before, after)| rate(before.bytes, after.bytes))
            .collect(),
        honest_failed: after.honest.iter().map(|got| got.failed).sum(),
        honest_lost: after.honest.iter().map(|got| got.lost).sum(),
        abuser,
    }
}

/// What the honest client that got least got of its fair share.
fn fair_share([without, with]: &[AbuseRun; 2]) -> f64 {
    let honest: f64 = with.honest_bytes_per_second.iter().sum();
    let abuser = with.abuser.as_ref().map_or(0.0, |abuser| abuser.bytes_per_second);
    let equal = (honest + abuser) / (with.honest_bytes_per_second.len() + 1) as f64;
    let before: f64 = without.honest_bytes_per_second.iter().sum();
    let before = before / without.honest_bytes_per_second.len().max(1) as f64;
    let least = with.honest_bytes_per_second.iter().copied().fold(f64::INFINITY, f64::min);
    least / equal.min(before)
}

/// The part of all that was sent that the abuser got.
fn abuser_part([_, with]: &[AbuseRun; 2]) -> f64 {
    let honest: f64 = with.honest_bytes_per_second.iter().sum();
    let abuser = with.abuser.as_ref().map_or(0.0, |abuser| abuser.bytes_per_second);
    abuser / (honest + abuser)
}

fn memory_growth([without, with]: &[AbuseRun; 2]) -> Option<i64> {
    let [without, with] = [without, with].map(|run| i64::try_from(run.peak_memory_bytes?).ok());
    Some(with? - without?)
}

fn kind_report(kind: AbuserKind, runs: &[[AbuseRun; 2]]) -> Option<KindReport> {
    let of_kind = |run: &AbuseRun| run.abuser.as_ref().is_some_and(|abuser| abuser.kind == kind);
    let runs: Vec<_> = runs.iter().filter(|[_, with]| of_kind(with)).collect();
    let of =
        |figure: fn(&[AbuseRun; 2]) -> f64| median(runs.iter().map(|pair| figure(pair)).collect());
    let mut growths: Vec<_> = runs.iter().filter_map(|pair| memory_growth(pair)).collect();
    growths.sort_unstable();
    Some(KindReport {
        kind,
        pairs: runs.len(),
        own_sync_slowdown: of(|[without, with]| with.sync_seconds / without.sync_seconds - 1.0)?,
        honest_fair_share: of(fair_share)?,
        memory_growth_bytes: growths.get(growths.len() / 2).copied(),
        sync_seconds_without: of(|[without, _]| without.sync_seconds)?,
        sync_seconds_with: of(|[_, with]| with.sync_seconds)?,
        abuser_requests_per_second: of(|[_, with]| {
            with.abuser.as_ref().map_or(0.0, |abuser| abuser.requests_per_second)
        })?,
        abuser_part: of(abuser_part)?,
    })
}

fn report(runs: Vec<[AbuseRun; 2]>, took: Duration) -> AbuseReport {
    let kinds = AbuserKind::ALL.iter().filter_map(|kind| kind_report(*kind, &runs));
    let kinds: Vec<_> = kinds.collect();
    let figures = |figure: fn(&KindReport) -> f64| kinds.iter().map(figure);
    AbuseReport {
        own_sync_slowdown: figures(|kind| kind.own_sync_slowdown).fold(f64::MIN, f64::max),
        honest_fair_share: figures(|kind| kind.honest_fair_share).fold(f64::MAX, f64::min),
        memory_growth_bytes: kinds.iter().filter_map(|kind| kind.memory_growth_bytes).max(),
        seconds: took.as_secs_f64(),
        kinds,
        runs,
    }
}

fn median(mut figures: Vec<f64>) -> Option<f64> {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied()
}

#[cfg(test)]
mod tests;
