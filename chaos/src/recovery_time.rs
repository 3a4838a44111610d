//! How long a node takes from its start until it downloads, on a short chain and on a long one.
//!
//! Everything is real: processes, sockets on loopback, the disk. In each run a node syncs, is
//! killed with SIGKILL after its first import, and started again; before that its last block may be
//! destroyed, or so much of its end that only a checkpoint saves it. Short and long take turns, and
//! the figures are medians, so that a machine that is busy for a while does not decide.

use std::{
    fs::{self, File},
    io::{self, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use alys_sync::{
    consensus::generate::{GenerateOptions, Transactions},
    types::Height,
};
use serde::Serialize;
use tokio::time::Instant;

use crate::processes::{
    SceneError,
    process::Process,
    said::Said,
    scene::{NodeOptions, Scene},
};

/// What the network has beyond what a node holds. Unit: blocks. Source: more than a node imports
/// before it is killed, at the speed it is given.
const TO_SYNC: u64 = 2_000;

/// How long a node that is to be killed would take for all of that. Unit: time. Source: much longer
/// than a machine stands still. Too low: it may have imported more than is destroyed. Too high: its
/// first import is waited for.
const WOULD_TAKE: Duration = Duration::from_secs(30);

/// What is destroyed where a whole block near below the head is to save the chain. Unit: blocks.
/// Source: more than the node imports at once, as it may have been killed during an import.
const DESTROYED_NEAR: u64 = 600;

/// What is destroyed where only a checkpoint is to save the chain. Unit: blocks. Source: twice as
/// far as is looked for a whole block.
const DESTROYED_FAR: u64 = 2_200;

/// How far below what is held the checkpoint is. Unit: blocks.
const CHECKPOINT_BELOW: u64 = 2_500;

/// The shortest chain that can be measured. Unit: blocks. Source: it has its checkpoint.
pub const BLOCKS_MIN: u64 = CHECKPOINT_BELOW + 1;

/// How many times longer the long chain may take. Source: what was asked for.
const RATIO_MAX: f64 = 1.5;

/// Nothing is asked of what takes no longer than this. Unit: time. Source: what was asked for.
const FREE: Duration = Duration::from_millis(500);

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecoveryTimeOptions {
    /// Blocks of the short chain, at least [`BLOCKS_MIN`].
    pub short: u64,
    /// Blocks of the long chain, at least [`BLOCKS_MIN`].
    pub long: u64,
    /// Runs of each kind on each chain; at least 1.
    pub pairs: u64,
}

/// What happened to a node before its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StartedAfter {
    /// It was killed in the middle of a sync.
    Kill,
    /// So it was, and its last blocks were destroyed.
    DamagedHead,
    /// So it was, and so much was destroyed that only a checkpoint saves it.
    OnlyACheckpoint,
}

impl StartedAfter {
    const ALL: [Self; 3] = [Self::Kill, Self::DamagedHead, Self::OnlyACheckpoint];

    /// How many of the last blocks are destroyed.
    const fn destroyed(self) -> u64 {
        match self {
            Self::Kill => 0,
            Self::DamagedHead => DESTROYED_NEAR,
            Self::OnlyACheckpoint => DESTROYED_FAR,
        }
    }
}

/// One kind of start, on both chains.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RecoveryTime {
    /// Which.
    pub after: StartedAfter,
    /// The median on the short chain, from the start of the process until it downloads. Unit:
    /// seconds.
    pub short_seconds: f64,
    /// The same on the long chain.
    pub long_seconds: f64,
    /// The longest of all. Unit: seconds.
    pub max_seconds: f64,
    /// The long one over the short one.
    pub ratio: f64,
}

impl RecoveryTime {
    fn is_kept(&self) -> bool {
        self.ratio <= RATIO_MAX || self.long_seconds <= FREE.as_secs_f64()
    }
}

/// What came of all starts.
#[derive(Debug, Clone, Serialize)]
pub struct RecoveryTimeReport {
    /// Blocks of the short chain.
    pub short_blocks: u64,
    /// Blocks of the long chain.
    pub long_blocks: u64,
    /// A row for each kind of start.
    pub rows: Vec<RecoveryTime>,
    /// How long it all took. Unit: seconds.
    pub seconds: f64,
}

impl RecoveryTimeReport {
    /// Whether no time depends on the length of the chain, as far as that can be felt.
    pub fn is_kept(&self) -> bool {
        self.rows.iter().all(RecoveryTime::is_kept)
    }
}

/// Measures. `done` is called after each kind of start.
///
/// # Errors
/// [`SceneError`]. A broken bound is none: it is in the report.
pub async fn measure(
    options: RecoveryTimeOptions,
    done: impl Fn(&RecoveryTime),
) -> Result<RecoveryTimeReport, SceneError> {
    let begun = Instant::now();
    let (short, long) = (Length::set(options.short).await?, Length::set(options.long).await?);
    let mut rows = Vec::new();
    for after in StartedAfter::ALL {
        let (mut of_short, mut of_long) = (Vec::new(), Vec::new());
        for _ in 0..options.pairs {
            of_short.push(short.run(after).await?.as_secs_f64());
            of_long.push(long.run(after).await?.as_secs_f64());
        }
        let row = RecoveryTime {
            after,
            max_seconds: of_short.iter().chain(&of_long).copied().fold(0.0, f64::max),
            short_seconds: median(&mut of_short),
            long_seconds: median(&mut of_long),
            ratio: median(&mut of_long) / median(&mut of_short),
        };
        done(&row);
        rows.push(row);
    }
    Ok(RecoveryTimeReport {
        short_blocks: options.short,
        long_blocks: options.long,
        rows,
        seconds: begun.elapsed().as_secs_f64(),
    })
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// A chain of one length, and who serves it.
struct Length {
    scene: Scene,
    held: u64,
}

impl Length {
    async fn set(held: u64) -> Result<Self, SceneError> {
        let chain = GenerateOptions {
            blocks: held + TO_SYNC,
            // The shortest blocks: what is measured depends on their number, if on anything.
            transactions: Transactions::Realistic { mean_per_block: 0 },
            ..GenerateOptions::default()
        };
        let scene = Scene::holding(held, chain).await?;
        scene.make_checkpoint(Height::new(held - CHECKPOINT_BELOW))?;
        Ok(Self { scene, held })
    }

    /// From the start of a node to where it downloads.
    async fn run(&self, after: StartedAfter) -> Result<Duration, SceneError> {
        let store = self.scene.new_store("node")?;
        let promised = self.kill_at_first_import(&store).await?;
        self.destroy_end(&store, after.destroyed())?;
        let begun = Instant::now();
        let mut node = self.scene.start(&store, NodeOptions::default())?;
        let opened =
            |said: &Said| if let Said::Opened { height } = said { Some(*height) } else { None };
        let found = hear(&mut node, opened).await?;
        hear(&mut node, |said| matches!(said, Said::Downloads).then_some(())).await?;
        let took = begun.elapsed();
        node.kill_now()?;
        node.ended().await?;
        fs::remove_dir_all(&store)?;
        let (checkpoint, held) = (self.held - CHECKPOINT_BELOW, self.held);
        let right = match after {
            StartedAfter::Kill => found >= promised,
            StartedAfter::DamagedHead => found < promised && found.get() > held - DESTROYED_NEAR,
            StartedAfter::OnlyACheckpoint => {
                found.get() >= checkpoint && found.get() < held - DESTROYED_FAR / 2
            }
        };
        if right {
            return Ok(took);
        }
        let said = format!("that it goes on from {found}, after {after:?} at {promised}");
        Err(SceneError::Unexpected { said: Some(said) })
    }

    async fn kill_at_first_import(&self, store: &Path) -> Result<Height, SceneError> {
        let bytes = self.scene.bytes_above(Height::new(self.held));
        let bytes_per_second = Some(bytes / WOULD_TAKE.as_secs());
        let options = NodeOptions { bytes_per_second, ..NodeOptions::default() };
        let mut node = self.scene.start(store, options)?;
        let imported =
            |said: &Said| if let Said::Imported { height } = said { Some(*height) } else { None };
        let promised = hear(&mut node, imported).await?;
        node.kill_now()?;
        node.ended().await?;
        Ok(promised)
    }

    /// Writes zeros over about so many of the last blocks.
    fn destroy_end(&self, store: &Path, blocks: u64) -> io::Result<()> {
        let mut rest = blocks * (self.scene.bytes_above(Height::GENESIS) / (self.held + TO_SYNC));
        for file in segment_files(store)?.into_iter().rev() {
            let length = fs::metadata(&file)?.len();
            let count = rest.min(length);
            let mut file = File::options().write(true).open(&file)?;
            file.seek(SeekFrom::Start(length - count))?;
            file.write_all(&vec![0; usize::try_from(count).unwrap_or(usize::MAX)])?;
            rest -= count;
        }
        Ok(())
    }
}

/// The files with the blocks, in order.
fn segment_files(store: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(store.join("blocks"))?;
    let mut files: Vec<_> =
        entries.map(|entry| Ok(entry?.path())).collect::<Result<_, io::Error>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "seg"));
    files.sort();
    Ok(files)
}

/// The first that is `wanted` of what the node says next.
async fn hear<T>(node: &mut Process, wanted: impl Fn(&Said) -> Option<T>) -> Result<T, SceneError> {
    loop {
        let said = node.hear::<Said>().await?;
        if let Some(wanted) = wanted(&said) {
            return Ok(wanted);
        }
        if let Said::Ended { why } = said {
            return Err(SceneError::Unexpected { said: Some(why) });
        }
    }
}
