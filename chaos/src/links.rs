//! How much of what the links of honest peers carry a sync uses, in virtual time.

use std::{num::NonZeroU64, sync::Arc, time::Duration};

use alys_sync::{config::SyncConfig, types::Height, wire::response::encode_block_chunk};
use serde::Serialize;

use crate::{
    adversaries::Role,
    fixture::{Fixture, FixtureError},
    plan::{Course, PeerPlan, Plan},
    run::{RunError, run},
    trace::Event,
    world::LinkSpeed,
};

/// What to measure.
#[derive(Debug, Clone)]
pub struct LinkOptions {
    /// Blocks of the chain to sync.
    pub blocks: u64,
    /// Bytes of transactions in each; as encoded, a block is about twice as large.
    pub transaction_bytes: u32,
    /// How many peers serve.
    pub peers: usize,
    /// What each link carries. Unit: bytes a second, at least 1.
    pub bytes_per_second: u64,
    /// Round trips to measure.
    pub round_trips: Vec<Duration>,
    /// The node's overall limit of downloads, if it has one. Unit: bytes a second.
    pub bytes_per_second_max: Option<NonZeroU64>,
}

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub enum LinksError {
    /// There is no chain.
    #[error("the chain cannot be made")]
    Fixture(#[from] FixtureError),
    /// A run did not take place.
    #[error("the run with round trips of {round_trip:?} did not take place")]
    Run {
        /// Which one.
        round_trip: Duration,
        /// Why.
        source: RunError,
    },
    /// A run did not complete.
    #[error("the run with round trips of {round_trip:?} broke: {what}")]
    Broken {
        /// Which one.
        round_trip: Duration,
        /// What went wrong.
        what: String,
    },
}

/// What one run came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LinkReport {
    /// The round trip to each peer. Unit: seconds of virtual time.
    pub round_trip_seconds: f64,
    /// From the first request to the last import. Unit: seconds of virtual time.
    pub seconds: f64,
    /// Bytes of the chain as they travel over what all links carry in that time: 0 to 1.
    pub utilisation: f64,
    /// Bytes of blocks imported in that time. Unit: bytes a second of virtual time.
    pub bytes_per_second: f64,
    /// From the first request to the first import. Unit: seconds of virtual time.
    pub first_import_seconds: f64,
    /// Blocks that were delivered more than once, of all that were delivered.
    pub duplicate_fraction: f64,
}

/// Syncs the same chain once for each round trip.
///
/// # Errors
/// [`LinksError`].
pub fn measure(options: &LinkOptions) -> Result<Vec<LinkReport>, LinksError> {
    let fixture = Arc::new(Fixture::filled(options.blocks, options.transaction_bytes)?);
    options.round_trips.iter().map(|trip| measure_one(options, &fixture, *trip)).collect()
}

fn measure_one(
    options: &LinkOptions,
    fixture: &Arc<Fixture>,
    round_trip: Duration,
) -> Result<LinkReport, LinksError> {
    let delay = round_trip / 2;
    let speed = LinkSpeed { delay, bytes_per_second: options.bytes_per_second };
    let peer = |seed| PeerPlan { role: Role::Honest, seed, speed };
    let mut config = SyncConfig::default();
    config.download.bytes_per_second_max = options.bytes_per_second_max;
    let plan = Plan {
        seed: 0,
        start: Height::GENESIS,
        peers: (0..options.peers as u64).map(peer).collect(),
        victim: None,
        killed_before_start: None,
        blows: Vec::new(),
        course: Course::Healing { faults_for: Duration::ZERO },
        write_takes: Duration::ZERO,
        healed_link: speed,
        pressures: Vec::new(),
        config,
    };
    let outcome =
        run(&plan, fixture, None).map_err(|source| LinksError::Run { round_trip, source })?;
    let times = |wanted: fn(&Event) -> bool| {
        let found = outcome.events.iter().filter(move |stamped| wanted(&stamped.event));
        found.map(|stamped| stamped.at)
    };
    let asked = times(|event| matches!(event, Event::Asked { .. })).next();
    let mut imports = times(|event| matches!(event, Event::Appended { .. }));
    let (first, last) = (imports.next(), imports.next_back());
    let (Some(asked), Some(first), Some(last), []) = (asked, first, last, &outcome.broken[..])
    else {
        let what = outcome.broken.first().map(ToString::to_string);
        let what = what.unwrap_or_else(|| "nothing was imported".to_owned());
        return Err(LinksError::Broken { round_trip, what });
    };
    let delivered = times(|event| matches!(event, Event::Delivered { .. })).count() as f64;
    let heights = (1..=options.blocks).filter_map(|height| fixture.block(Height::new(height)));
    let blocks: Vec<_> = heights.collect();
    let imported: usize = blocks.iter().map(|block| block.len()).sum();
    // As they travel: compressed, with their frames.
    let chunks = blocks.iter().filter_map(|block| encode_block_chunk(block).ok());
    let bytes: usize = chunks.map(|chunk| chunk.len()).sum();
    let seconds = (last - asked).as_secs_f64();
    let carried = seconds * options.peers as f64 * options.bytes_per_second as f64;
    Ok(LinkReport {
        round_trip_seconds: round_trip.as_secs_f64(),
        seconds,
        utilisation: bytes as f64 / carried,
        bytes_per_second: imported as f64 / seconds,
        first_import_seconds: (first - asked).as_secs_f64(),
        duplicate_fraction: 1.0 - options.blocks as f64 / delivered,
    })
}
