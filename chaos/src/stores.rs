//! Stores whose files were damaged in every way a seed can think of, and what becomes of them when
//! they are opened: a store that is whole as far as it goes, or a refusal that says what to do.
//! Never a panic, never a block or a record that is not the chain's, and never a long wait.

mod damage;

use std::{
    fs, io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use alys_sync::{
    adapters::sled::{ChainStore, OpenError, StoreOptions},
    checkpoint::{CheckpointKind, KeepError, make},
    consensus::VerifiedBlock,
    ports::{BlockSource as _, Chain as _, ChainError, Journal as _},
    reputation::{ReputationSettings, StoppedPeers},
    types::{Height, PeerId},
};
use rand::{SeedableRng as _, rngs::StdRng};
use serde::Serialize;

pub use self::damage::{Damage, Filling};
use crate::{
    fixture::{Fixture, FixtureError},
    processes::prepared::copy_dir,
};

/// Segment files of the stores are short, so that there are several. Unit: bytes.
const SEGMENT_BYTES: u64 = 64 << 10;

/// Blocks of one append while the store is filled. Unit: blocks.
const APPEND_BLOCKS: usize = 32;

/// A checkpoint at each multiple of this height. Unit: blocks.
const CHECKPOINT_EVERY: u64 = CHECKPOINT_STEP as u64;
/// The same, as a step.
const CHECKPOINT_STEP: usize = 25;

/// Peers whose records are in the store.
const PEERS: u64 = 8;

/// How long a decision may take. Unit: time. Source: the product's promise.
const DECIDES_WITHIN: Duration = Duration::from_secs(2);

/// How long one is waited for. Unit: time. Too low: a busy machine is taken for a hang.
const HANGS_AFTER: Duration = Duration::from_secs(60);

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoresOptions {
    /// How many stores.
    pub runs: u64,
    /// The seed of the first; the next has the next seed.
    pub seed: u64,
    /// Blocks in each store; at least 2.
    pub blocks: u64,
}

/// Why nothing was found out.
#[derive(Debug, thiserror::Error)]
pub enum StoresError {
    /// There is no chain.
    #[error(transparent)]
    Fixture(#[from] FixtureError),
    /// A store cannot be made.
    #[error("the store to damage cannot be made")]
    Open(#[from] OpenError),
    /// It cannot be filled.
    #[error("the store to damage cannot be filled")]
    Store(#[from] ChainError),
    /// Its checkpoints cannot be made.
    #[error("the checkpoints of the store to damage cannot be made")]
    Checkpoints(#[from] KeepError),
    /// The disk.
    #[error("the files cannot be written or read")]
    Io(#[from] io::Error),
}

/// What became of a damaged store.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StoreEnd {
    /// It opened.
    Opened {
        /// With this head.
        head: Height,
        /// Blocks and records that are not what was stored, and were given out as good.
        bad: Vec<String>,
    },
    /// It was refused.
    Refused {
        /// What the operator is told.
        told: String,
    },
    /// It panicked.
    Panicked,
    /// Nothing came of it in time.
    Hung,
}

/// One damaged store.
#[derive(Debug, Clone, Serialize)]
pub struct StoreRun {
    /// What decided it.
    pub seed: u64,
    /// What was done to it.
    pub damages: Vec<Damage>,
    /// What became of it.
    pub decision: StoreEnd,
    /// How long that took; of what was right and too slow, the second time. Unit: seconds.
    pub seconds: f64,
}

impl StoreRun {
    fn is_kept(&self) -> bool {
        self.is_right() && !self.is_slow()
    }

    fn is_right(&self) -> bool {
        match &self.decision {
            StoreEnd::Opened { bad, .. } => bad.is_empty(),
            StoreEnd::Refused { .. } => true,
            StoreEnd::Panicked | StoreEnd::Hung => false,
        }
    }

    fn is_slow(&self) -> bool {
        self.seconds > DECIDES_WITHIN.as_secs_f64()
    }
}

/// What came of all stores.
#[derive(Debug, Clone, Serialize)]
pub struct StoresReport {
    /// How many.
    pub runs: u64,
    /// Of those, opened.
    pub opened: u64,
    /// Of those, opened with all their blocks.
    pub opened_whole: u64,
    /// Refused with a message.
    pub refused: u64,
    /// Panicked, or hung.
    pub panics: u64,
    /// Blocks and records that were not what had been stored, and were given out as good.
    pub bad_trusted: u64,
    /// The longest time to a decision. Unit: seconds.
    pub max_decision_seconds: f64,
    /// The runs in which a bound was broken.
    pub failed: Vec<StoreRun>,
    /// How long it all took. Unit: seconds.
    pub seconds: f64,
}

impl StoresReport {
    /// Whether all bounds were kept.
    pub fn is_kept(&self) -> bool {
        self.failed.is_empty()
    }
}

/// Damages stores and opens them. `done` is called after each.
///
/// # Errors
/// [`StoresError`]. A broken bound is none: it is in the report.
pub fn run_stores(
    options: StoresOptions,
    done: impl Fn(&StoreRun),
) -> Result<StoresReport, StoresError> {
    let begun = Instant::now();
    let fixture = Arc::new(Fixture::new(options.blocks)?);
    let dir = tempfile::tempdir()?;
    let (older, whole) = (dir.path().join("older"), dir.path().join("whole"));
    let blocks = fixture.verified_to(fixture.head.height);
    fill(&older, &fixture, blocks.get(..blocks.len() / 2).unwrap_or_default())?;
    fill(&whole, &fixture, blocks)?;
    let mut runs = Vec::new();
    for seed in options.seed..options.seed.saturating_add(options.runs) {
        let store = dir.path().join("store");
        let open_damaged = || -> io::Result<StoreRun> {
            copy_dir(&whole, &store)?;
            let damages = damage::damage(&store, &older, &mut StdRng::seed_from_u64(seed))?;
            let (decision, took) = decide(&store, &fixture);
            fs::remove_dir_all(&store)?;
            Ok(StoreRun { seed, damages, decision, seconds: took.as_secs_f64() })
        };
        let mut run = open_damaged()?;
        if run.is_right() && run.is_slow() {
            // It takes as long again, if it was not the machine that stood still.
            run = open_damaged()?;
        }
        done(&run);
        runs.push(run);
    }
    Ok(report(options.blocks, runs, begun.elapsed()))
}

fn fill(dir: &Path, fixture: &Fixture, blocks: &[VerifiedBlock]) -> Result<(), StoresError> {
    let store = open(dir, fixture)?;
    for part in blocks.chunks(APPEND_BLOCKS) {
        store.append(part)?;
    }
    let journal = store.records().map_err(ChainError::from)?;
    let head = store.head().height.get();
    for height in (CHECKPOINT_EVERY..=head).step_by(CHECKPOINT_STEP) {
        let what = (Height::new(height), CheckpointKind::Periodic);
        make(&store, &journal, what, Duration::ZERO, None)?;
    }
    let mut peers = StoppedPeers::new(Duration::ZERO, ReputationSettings::default(), Vec::new());
    for _ in 0..PEERS {
        let _ = peers.ban(PeerId::random(), None);
    }
    let (changed, forgotten) = peers.into_changes();
    Ok(journal.store_peers(&changed, &forgotten)?)
}

/// As `run` does: a store whose head is damaged goes on from a whole block.
fn open(dir: &Path, fixture: &Fixture) -> Result<ChainStore, OpenError> {
    let options = StoreOptions { segment_bytes_max: SEGMENT_BYTES };
    ChainStore::open_recovering(dir, &fixture.genesis, options).map(|(store, _)| store)
}

/// Opens the store on a thread of its own, as one that hangs cannot be ended.
fn decide(dir: &Path, fixture: &Arc<Fixture>) -> (StoreEnd, Duration) {
    let begun = Instant::now();
    let (dir, fixture) = (dir.to_owned(), Arc::clone(fixture));
    let (tell, told) = mpsc::channel();
    let opening = thread::spawn(move || {
        let opened = catch_unwind(AssertUnwindSafe(|| open(&dir, &fixture)));
        let took = begun.elapsed();
        let looked = catch_unwind(AssertUnwindSafe(|| match opened {
            Ok(Ok(store)) => {
                StoreEnd::Opened { head: store.head().height, bad: look(&store, &fixture) }
            }
            Ok(Err(error)) => StoreEnd::Refused { told: error.to_string() },
            Err(_) => StoreEnd::Panicked,
        }));
        // Nobody waits any more once it has hung.
        let _ = tell.send((looked.unwrap_or(StoreEnd::Panicked), took));
    });
    match told.recv_timeout(HANGS_AFTER) {
        Ok(decided) => {
            // It has said all it has to say; a panic was caught.
            let _ = opening.join();
            decided
        }
        Err(_) => (StoreEnd::Hung, begun.elapsed()),
    }
}

/// Everything that the store gives out as good, and is not.
fn look(store: &ChainStore, fixture: &Fixture) -> Vec<String> {
    let mut bad = Vec::new();
    let head = store.head();
    for number in store.oldest().get().max(1)..=head.height.get() {
        let height = Height::new(number);
        let stored = store.read(height, 1, usize::MAX);
        let Ok(blocks) = stored else { continue };
        if blocks.first() != fixture.block(height).as_ref() {
            bad.push(format!("block {height}"));
        }
    }
    if fixture.root(head.height) != Some(head.root) {
        bad.push(format!("head {head}"));
    }
    // Those that are damaged are told apart.
    let kept = store.records().map_err(ChainError::from).and_then(|journal| journal.checkpoints());
    for checkpoint in kept.map(|(kept, _)| kept).unwrap_or_default() {
        if fixture.root(checkpoint.height) != Some(checkpoint.root) {
            bad.push(format!("checkpoint {}", checkpoint.height));
        }
    }
    bad
}

fn report(blocks: u64, runs: Vec<StoreRun>, took: Duration) -> StoresReport {
    let count = |what: fn(&StoreEnd, u64) -> u64| {
        runs.iter().map(|run| what(&run.decision, blocks)).sum::<u64>()
    };
    StoresReport {
        runs: runs.len() as u64,
        opened: count(|decision, _| matches!(decision, StoreEnd::Opened { .. }).into()),
        opened_whole: count(|decision, blocks| {
            matches!(decision, StoreEnd::Opened { head, .. } if head.get() == blocks).into()
        }),
        refused: count(|decision, _| matches!(decision, StoreEnd::Refused { .. }).into()),
        panics: count(|decision, _| matches!(decision, StoreEnd::Panicked | StoreEnd::Hung).into()),
        bad_trusted: count(|decision, _| match decision {
            StoreEnd::Opened { bad, .. } => bad.len() as u64,
            StoreEnd::Refused { .. } | StoreEnd::Panicked | StoreEnd::Hung => 0,
        }),
        max_decision_seconds: runs.iter().map(|run| run.seconds).fold(0.0, f64::max),
        failed: runs.into_iter().filter(|run| !run.is_kept()).collect(),
        seconds: took.as_secs_f64(),
    }
}
