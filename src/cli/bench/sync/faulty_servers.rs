//! Starts peers that serve a chain badly, and measures those that serve one block a request.

use std::{ffi::OsString, path::Path, time::Duration};

use clap::ValueEnum as _;
use serde::Serialize;

use super::{
    chains::{BenchChain, unless_stopped},
    faulty_server::Fault,
    links::sync_over,
    shaped_link::LinkShape,
};
use crate::cli::{Context, Ending, demo::Servers, progress::Progress};

/// Servers of one block a request. Source: the promise that is measured.
const SERVERS: u8 = 8;

/// Requests open at each of them, at best. Source: what a sync may have open at one peer, less
/// what it keeps for probes; the promise names this number.
const REQUESTS_AT_ONCE: u32 = 24;

/// The round trip to them. Unit: milliseconds. Source: as for their number.
const ROUND_TRIP_MS: u64 = 50;

/// What a sync from servers of one block a request came to.
#[derive(Debug, Clone, Serialize)]
pub(super) struct OneBlock {
    pub(super) chain_blocks: u64,
    pub(super) round_trip_ms: u64,
    /// From the node's start, before it dials, to its last import. Unit: seconds.
    pub(super) seconds: f64,
    pub(super) first_import_seconds: f64,
    pub(super) blocks_a_round_trip: f64,
    /// Of the blocks that all open requests could bring in a round trip: 0 to 1.
    pub(super) share: f64,
    /// CPU time of the node over time. `None` where it is not known.
    pub(super) cores_used: Option<f64>,
}

/// `count` processes that serve `chain` with `fault`.
pub(super) async fn serve_badly(
    chain: &BenchChain,
    fault: Fault,
    count: u8,
    context: &Context,
) -> Result<Servers, Ending> {
    let mut serve: Vec<OsString> = vec!["bench".into(), "sync-server".into(), "--chain".into()];
    serve.push(chain.prepared.chain.clone().into());
    let fault = fault.to_possible_value();
    serve.extend(fault.map(|fault| format!("--fault={}", fault.get_name()).into()));
    unless_stopped(context, Servers::start_with(&serve, count)).await
}

/// Syncs `chain` from servers of one block a request, over links without a rate.
pub(super) async fn measure_one_block(
    chain: &BenchChain,
    dir: &Path,
    context: &Context,
) -> Result<OneBlock, Ending> {
    let servers = serve_badly(chain, Fault::OneBlock, SERVERS, context).await?;
    let round_trip = Duration::from_millis(ROUND_TRIP_MS);
    let shape = LinkShape { delay: round_trip / 2, bytes_per_second: None };
    let mut shown = Progress::bar_or_lines(&context.bars);
    shown.work("servers of one block a request", 0, 1);
    let figures = sync_over(chain, &servers.addresses(), shape, dir, context).await?.figures;
    drop(shown);
    servers.stop().await;
    let round_trips = figures.seconds / round_trip.as_secs_f64();
    let blocks_a_round_trip = chain.blocks() as f64 / round_trips;
    Ok(OneBlock {
        chain_blocks: chain.blocks(),
        round_trip_ms: ROUND_TRIP_MS,
        seconds: figures.seconds,
        first_import_seconds: figures.first_import_seconds,
        blocks_a_round_trip,
        share: blocks_a_round_trip / f64::from(u32::from(SERVERS) * REQUESTS_AT_ONCE),
        cores_used: figures.cpu_seconds.map(|cpu| cpu / figures.seconds),
    })
}
