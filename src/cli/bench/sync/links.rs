//! Over shaped links: how much of them a sync uses, how much it gets twice, and what it costs when
//! a peer hangs.

use std::{convert::Infallible, num::NonZeroU64, path::Path, time::Duration};

use alys_sync::types::Multiaddr;
use serde::Serialize;
use tokio::time::interval;

use super::{
    chains::BenchChain,
    faulty_server::Fault,
    faulty_servers::serve_badly,
    node_child::NodeFigures,
    node_run::NodeRun,
    shaped_link::{LinkShape, ShapedLink},
    usage::{LostSeconds, UsageCurve},
};
use crate::cli::{Context, Ending, progress::Progress};

/// Links, and processes that serve. Source: the promise that is measured.
const LINKS: u8 = 8;

/// What a link carries. Unit: bytes a second. Source: 20 Mbit/s, as promised for.
const LINK_BYTES_PER_SECOND: NonZeroU64 = NonZeroU64::new(20_000_000 / 8).expect("not zero");

/// Round trips. Unit: milliseconds. Source: the promise: a city, a continent, the world.
pub(super) const ROUND_TRIPS_MS: [u64; 3] = [5, 50, 150];

/// The round trip of the runs with a peer that hangs. Unit: milliseconds.
const HANGING_ROUND_TRIP_MS: u64 = 50;

/// How often it is looked what links have carried. Too low: looking takes the processor. Too high:
/// what was lost is put down to the wrong part of a short sync.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// One sync over links of one round trip.
#[derive(Debug, Clone, Serialize)]
pub(super) struct LinkRow {
    pub(super) round_trip_ms: u64,
    /// From the node's start, before it dials, to its last import. Unit: seconds.
    pub(super) seconds: f64,
    pub(super) first_import_seconds: f64,
    /// The chain as it travels, over what all links carry in that time: 0 to 1.
    pub(super) utilisation: f64,
    /// What came over the links more than the chain takes as it travels, over that. Counts
    /// everything above TCP: blocks that came twice, and encryption, framing and probes.
    pub(super) duplicate_fraction: f64,
    pub(super) hedges_sent: u64,
    pub(super) hedges_won: u64,
    /// Where the rest of the links' time went.
    pub(super) lost_seconds: LostSeconds,
    /// The most that a link was late by, on the machine that made it. Unit: seconds.
    pub(super) link_late_max_seconds: f64,
    /// CPU time of the node over time. `None` where it is not known.
    pub(super) cores_used: Option<f64>,
}

/// All of them.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Links {
    pub(super) chain_blocks: u64,
    /// The mean as blocks travel. Unit: bytes.
    pub(super) travelling_block_bytes: u64,
    pub(super) rows: Vec<LinkRow>,
}

impl Links {
    /// What came more than once over all links of all runs, over what had to come.
    pub(super) fn duplicate_fraction(&self) -> f64 {
        // Every run has the same chain.
        let all: f64 = self.rows.iter().map(|row| row.duplicate_fraction).sum();
        all / self.rows.len() as f64
    }
}

/// A peer that hangs, beside seven good ones.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Hanging {
    pub(super) round_trip_ms: u64,
    /// With the seven alone. Unit: seconds.
    pub(super) seconds_without: f64,
    /// With the eighth. Unit: seconds.
    pub(super) seconds_with: f64,
    /// The second over the first, less 1.
    pub(super) cost: f64,
    pub(super) hedges_sent: u64,
    pub(super) hedges_won: u64,
}

/// Syncs `chain` once for each round trip.
pub(super) async fn measure(
    chain: &BenchChain,
    dir: &Path,
    context: &Context,
) -> Result<Links, Ending> {
    let servers = chain.served(LINKS, context).await?;
    let mut shown = Progress::bar_or_lines(&context.bars);
    let mut rows = Vec::new();
    for round_trip_ms in ROUND_TRIPS_MS {
        shown.work("links", rows.len() as u64, ROUND_TRIPS_MS.len() as u64);
        rows.push(measure_one(chain, &servers.addresses(), round_trip_ms, dir, context).await?);
    }
    servers.stop().await;
    let travelling_block_bytes = chain.travelling_bytes / chain.blocks().max(1);
    Ok(Links { chain_blocks: chain.blocks(), travelling_block_bytes, rows })
}

async fn measure_one(
    chain: &BenchChain,
    servers: &[Multiaddr],
    round_trip_ms: u64,
    dir: &Path,
    context: &Context,
) -> Result<LinkRow, Ending> {
    let shape = shape(round_trip_ms);
    let SyncOver { figures, links, curve } = sync_over(chain, servers, shape, dir, context).await?;
    let NodeFigures { seconds, first_import_seconds, hedges_sent, hedges_won, .. } = figures;
    let (useful, received) = (chain.travelling_bytes as f64, bytes_to_node(&links) as f64);
    let bytes_per_second = servers.len() as f64 * LINK_BYTES_PER_SECOND.get() as f64;
    Ok(LinkRow {
        round_trip_ms,
        seconds,
        first_import_seconds,
        utilisation: useful / (seconds * bytes_per_second),
        duplicate_fraction: received / useful - 1.0,
        hedges_sent,
        hedges_won,
        lost_seconds: curve.lost(seconds, bytes_per_second),
        link_late_max_seconds: late_max(&links).as_secs_f64(),
        cores_used: figures.cpu_seconds.map(|cpu| cpu / seconds),
    })
}

/// Syncs `chain` over seven links alone, and with an eighth whose server hangs.
pub(super) async fn measure_hanging(
    chain: &BenchChain,
    dir: &Path,
    context: &Context,
) -> Result<Hanging, Ending> {
    let good = chain.served(LINKS - 1, context).await?;
    let bad = serve_badly(chain, Fault::Hangs, 1, context).await?;
    let shape = shape(HANGING_ROUND_TRIP_MS);
    let mut shown = Progress::bar_or_lines(&context.bars);
    shown.work("hanging peer", 0, 2);
    let without = sync_over(chain, &good.addresses(), shape, dir, context).await?.figures;
    shown.work("hanging peer", 1, 2);
    let all = [good.addresses(), bad.addresses()].concat();
    let with = sync_over(chain, &all, shape, dir, context).await?.figures;
    drop(shown);
    good.stop().await;
    bad.stop().await;
    Ok(Hanging {
        round_trip_ms: HANGING_ROUND_TRIP_MS,
        seconds_without: without.seconds,
        seconds_with: with.seconds,
        cost: with.seconds / without.seconds - 1.0,
        hedges_sent: with.hedges_sent,
        hedges_won: with.hedges_won,
    })
}

const fn shape(round_trip_ms: u64) -> LinkShape {
    LinkShape {
        delay: Duration::from_micros(round_trip_ms * 1_000 / 2),
        bytes_per_second: Some(LINK_BYTES_PER_SECOND),
    }
}

/// A sync over links.
pub(super) struct SyncOver {
    pub(super) figures: NodeFigures,
    links: Vec<ShapedLink>,
    /// Since the node's first connection, a moment after its start.
    curve: UsageCurve,
}

/// Syncs `chain` from `servers`, each over a link of its own.
pub(super) async fn sync_over(
    chain: &BenchChain,
    servers: &[Multiaddr],
    shape: LinkShape,
    dir: &Path,
    context: &Context,
) -> Result<SyncOver, Ending> {
    let mut links = Vec::new();
    for server in servers {
        links.push(ShapedLink::to(server, shape).map_err(Ending::failed)?);
    }
    let peers = links.iter().map(|link| link.address().clone()).collect();
    let run = NodeRun { chain, peers, import_bytes_per_second: None };
    let mut curve = UsageCurve::default();
    let figures = tokio::select! {
        figures = run.sync(dir, context) => figures?,
        never = watch(&links, &mut curve) => match never {},
    };
    Ok(SyncOver { figures, links, curve })
}

/// Draws `curve` until it is dropped.
async fn watch(links: &[ShapedLink], curve: &mut UsageCurve) -> Infallible {
    let mut ticks = interval(LOOK_EVERY);
    loop {
        let now = ticks.tick().await;
        if let Some(began) = links.iter().filter_map(ShapedLink::connected_at).min() {
            curve.push(now.saturating_duration_since(began), bytes_to_node(links));
        }
    }
}

fn bytes_to_node(links: &[ShapedLink]) -> u64 {
    links.iter().map(ShapedLink::bytes_to_node).sum()
}

fn late_max(links: &[ShapedLink]) -> Duration {
    links.iter().map(ShapedLink::late_max).max().unwrap_or_default()
}
