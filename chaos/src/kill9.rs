//! A real node on a real disk, killed with SIGKILL at any instant of its sync, and at the very
//! calls that make its data durable.
//!
//! Each run has a node of its own that starts with an empty chain. It says aloud which blocks it
//! has imported; what it said is a promise. It is killed, started again and left alone until it is
//! at the head. Then its store is opened here, and each block in it is compared with the chain.
//!
//! Of what a kill does not do: the machine stays up, so what was written and not synced survives.
//! That promises come after the syncs is therefore looked at by itself, in one sync under `strace`.

mod syncs;

use std::{fs, path::Path, time::Duration};

use alys_sync::types::Height;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use serde::Serialize;
use tokio::time::{Instant, sleep_until};

use self::syncs::Noted;
pub(crate) use self::syncs::{can_trace, failing_at};
use crate::processes::{
    SceneError,
    prepared::copy_dir,
    process::Process,
    said::Said,
    scene::{NodeOptions, Scene},
};

/// How long a restarted node may take until it downloads. Unit: time. Source: the product's
/// promise.
const RESUMES_WITHIN: Duration = Duration::from_secs(5);

/// The part of the chain that a restarted node may download in vain. Source: the product's promise.
const REDOWNLOADED_MAX: f64 = 0.02;

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kill9Options {
    /// How many kills; at least 1.
    pub runs: u64,
    /// The seed of the first run; the next run has the next seed.
    pub seed: u64,
    /// Blocks of the chain; at least 1.
    pub blocks: u64,
}

/// When a node is killed.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KillInstant {
    /// So long after it was started. Unit: seconds.
    After(f64),
    /// Where a thread of it makes its nth call of this name.
    AtCall(&'static str, u64),
    /// At the head: no thread of it had made that call by then.
    AtHeadBefore(&'static str, u64),
}

/// One kill and what followed.
#[derive(Debug, Clone, Serialize)]
pub struct KillRun {
    /// What decided it.
    pub seed: u64,
    /// When the node was killed.
    pub instant: KillInstant,
    /// The last block that it had promised.
    pub promised: Height,
    /// What the next node found.
    pub found: Height,
    /// From its start until it downloaded; the shorter of two starts where it was too long. Unit:
    /// seconds; none if it never did.
    pub resume_seconds: Option<f64>,
    /// Bytes that it received beyond those that it lacked, and beyond what a sync without a kill
    /// takes to find the head of the network, over those of the whole chain.
    pub redownloaded_fraction: f64,
    /// Whether it came to the head of the network, with each block as it is there.
    pub identical: bool,
}

impl KillRun {
    fn lost(&self) -> u64 {
        self.promised.get().saturating_sub(self.found.get())
    }

    fn is_kept(&self) -> bool {
        let in_time = |seconds| seconds <= RESUMES_WITHIN.as_secs_f64();
        self.lost() == 0
            && self.identical
            && self.resume_seconds.is_some_and(in_time)
            && self.redownloaded_fraction <= REDOWNLOADED_MAX
    }
}

/// What came of all runs.
#[derive(Debug, Clone, Serialize)]
pub struct Kill9Report {
    /// How many.
    pub runs: u64,
    /// Of those, killed at a call that makes data durable.
    pub killed_at_syncs: u64,
    /// Of those, that were to be and came to the head without such a call, and were killed there.
    pub killed_at_head: u64,
    /// Nodes that downloaded again after their restart.
    pub resumed: u64,
    /// The longest time until they did. Unit: seconds.
    pub max_resume_seconds: f64,
    /// The median of those times. Unit: seconds.
    pub median_resume_seconds: f64,
    /// Blocks that were promised and gone, in all runs.
    pub lost_acknowledged: u64,
    /// The largest part of the chain that was downloaded in vain after a restart.
    pub redownloaded_fraction: f64,
    /// Runs that ended with the chain of the network, block by block.
    pub heads_identical: u64,
    /// Promises of one whole sync that were looked at. None without `strace`.
    pub promises: Option<u64>,
    /// Of those, made before the data was synced.
    pub promises_before_sync: Option<u64>,
    /// The runs in which a bound was broken.
    pub failed: Vec<KillRun>,
    /// How long it all took. Unit: seconds.
    pub seconds: f64,
}

impl Kill9Report {
    /// Whether all bounds were kept.
    pub fn is_kept(&self) -> bool {
        self.failed.is_empty() && self.promises_before_sync.is_none_or(|unkept| unkept == 0)
    }
}

/// Kills, restarts, compares. `done` is called after each run.
///
/// # Errors
/// [`SceneError`]. A broken bound is none: it is in the report.
pub async fn run_kill9(
    options: Kill9Options,
    done: impl Fn(&KillRun),
) -> Result<Kill9Report, SceneError> {
    let begun = Instant::now();
    let scene = Scene::set(options.blocks).await?;
    let mut kills = Kills { scene, whole: Duration::ZERO, searching: 0, noted: None };
    kills.look_at_a_whole_sync().await?;
    let mut runs = Vec::new();
    for seed in options.seed..options.seed.saturating_add(options.runs) {
        let run = kills.run(seed).await?;
        done(&run);
        runs.push(run);
    }
    Ok(report(runs, kills.noted.as_ref(), begun.elapsed()))
}

/// What all runs share.
struct Kills {
    scene: Scene,
    /// From the start of a node to its last import, in a whole sync.
    whole: Duration,
    /// What a sync without a kill receives beyond the chain: it has to find out how high that is.
    /// Unit: bytes.
    searching: u64,
    /// What `strace` saw of one; none where there is no `strace`.
    noted: Option<Noted>,
}

/// A node that was left alone until it was at the head.
struct Left {
    found: Height,
    resumed_after: Option<Duration>,
    imported_after: Duration,
    received_bytes: u64,
}

impl Kills {
    async fn look_at_a_whole_sync(&mut self) -> Result<(), SceneError> {
        let store = self.scene.new_store("whole")?;
        let left = self.sync(&store).await?;
        self.whole = left.imported_after;
        self.searching = self.in_vain(&left);
        fs::remove_dir_all(&store)?;
        if !can_trace() {
            return Ok(());
        }
        let (store, notes) = (self.scene.new_store("noted")?, self.scene.path("notes"));
        let strace = Some(syncs::noting(&notes));
        let node = self.scene.start(&store, NodeOptions { strace, ..NodeOptions::default() })?;
        let (node, _) = self.leave_alone(node, Instant::now()).await?;
        node.stop().await?;
        fs::remove_dir_all(&store)?;
        self.noted = Some(syncs::read(&notes)?);
        Ok(())
    }

    async fn run(&self, seed: u64) -> Result<KillRun, SceneError> {
        let instant = self.instant(&mut StdRng::seed_from_u64(seed));
        let store = self.scene.new_store("node")?;
        let (promised, instant) = self.kill(&store, instant).await?;
        let as_killed = self.scene.path("as_killed");
        copy_dir(&store, &as_killed)?;
        let left = self.sync(&store).await?;
        let identical = self.scene.is_whole_chain(&store).await?;
        fs::remove_dir_all(&store)?;
        let mut resumed_after = left.resumed_after;
        if resumed_after.is_some_and(|after| after > RESUMES_WITHIN) {
            // It takes as long again, if it was not the machine that stood still.
            resumed_after = resumed_after.min(self.sync(&as_killed).await?.resumed_after);
        }
        fs::remove_dir_all(&as_killed)?;
        let vain = self.in_vain(&left).saturating_sub(self.searching);
        Ok(KillRun {
            seed,
            instant,
            promised,
            found: left.found,
            resume_seconds: resumed_after.map(|after| after.as_secs_f64()),
            redownloaded_fraction: vain as f64 / self.scene.bytes_above(Height::GENESIS) as f64,
            identical,
        })
    }

    /// Starts a node over `store`, and ends it at the head.
    async fn sync(&self, store: &Path) -> Result<Left, SceneError> {
        let begun = Instant::now();
        let node = self.scene.start(store, NodeOptions::default())?;
        let (node, left) = self.leave_alone(node, begun).await?;
        node.stop().await?;
        Ok(left)
    }

    /// At any moment of a sync, or at one of its calls that make data durable.
    fn instant(&self, chance: &mut StdRng) -> KillInstant {
        let calls = self.noted.as_ref().map(|noted| &noted.calls).filter(|calls| !calls.is_empty());
        match calls {
            Some(calls) if chance.random_bool(0.5) => {
                let at = chance.random_range(0..calls.len());
                let (call, most) = calls.iter().nth(at).map_or(("fdatasync", 1), |(c, n)| (*c, *n));
                KillInstant::AtCall(call, chance.random_range(1..=most))
            }
            Some(_) | None => {
                KillInstant::After(chance.random_range(0.0..self.whole.as_secs_f64()))
            }
        }
    }

    /// Starts a node and kills it; the last block that it has promised, and when it was killed.
    async fn kill(
        &self,
        store: &Path,
        wanted: KillInstant,
    ) -> Result<(Height, KillInstant), SceneError> {
        let begun = Instant::now();
        let (strace, at) = match wanted {
            KillInstant::After(seconds) => (None, Some(Duration::from_secs_f64(seconds))),
            KillInstant::AtCall(call, nth) | KillInstant::AtHeadBefore(call, nth) => {
                (Some(syncs::killing_at(call, nth)), None)
            }
        };
        let options = NodeOptions { strace, ..NodeOptions::default() };
        let mut node = self.scene.start(store, options)?;
        if let Some(at) = at {
            // What it says meanwhile waits in the pipe.
            sleep_until(begun + at).await;
            node.kill_now()?;
        }
        let (mut promised, mut instant) = (Height::GENESIS, wanted.clone());
        while let Some(said) = node.hear_until_end::<Said>().await? {
            match said {
                Said::Opened { height } | Said::Imported { height } => promised = height,
                Said::Downloads
                | Said::Recovered { .. }
                | Said::Short { .. }
                | Said::LinkCut { .. }
                | Said::Failed { .. }
                | Said::Standing(_)
                | Said::Back { .. }
                | Said::Ended { .. } => {}
                // It made fewer calls than in the sync that was looked at.
                Said::Synced { .. } => {
                    if let KillInstant::AtCall(call, nth) = wanted {
                        instant = KillInstant::AtHeadBefore(call, nth);
                        node.kill_now()?;
                    }
                }
            }
        }
        node.ended().await?;
        Ok((promised, instant))
    }

    /// Waits until the node is at the head.
    async fn leave_alone(
        &self,
        mut node: Process,
        begun: Instant,
    ) -> Result<(Process, Left), SceneError> {
        let found = match node.hear().await? {
            Said::Opened { height } => height,
            other @ (Said::Downloads
            | Said::Recovered { .. }
            | Said::Imported { .. }
            | Said::Short { .. }
            | Said::LinkCut { .. }
            | Said::Failed { .. }
            | Said::Standing(_)
            | Said::Back { .. }
            | Said::Ended { .. }
            | Said::Synced { .. }) => {
                return Err(SceneError::Unexpected { said: Some(format!("{other:?}")) });
            }
        };
        let (mut resumed_after, mut imported_after) = (None, begun.elapsed());
        loop {
            match node.hear().await? {
                Said::Downloads => resumed_after = Some(begun.elapsed()),
                Said::Synced { received_bytes } => {
                    let left = Left { found, resumed_after, imported_after, received_bytes };
                    return Ok((node, left));
                }
                Said::Imported { .. } => imported_after = begun.elapsed(),
                Said::Ended { why } => return Err(SceneError::Unexpected { said: Some(why) }),
                Said::Opened { .. }
                | Said::Recovered { .. }
                | Said::Short { .. }
                | Said::LinkCut { .. }
                | Said::Failed { .. }
                | Said::Standing(_)
                | Said::Back { .. } => {}
            }
        }
    }

    /// What a node received that it had, or that it received twice. Unit: bytes.
    fn in_vain(&self, left: &Left) -> u64 {
        left.received_bytes.saturating_sub(self.scene.bytes_above(left.found))
    }
}

fn report(runs: Vec<KillRun>, noted: Option<&Noted>, took: Duration) -> Kill9Report {
    let mut resumes: Vec<f64> = runs.iter().filter_map(|run| run.resume_seconds).collect();
    resumes.sort_by(f64::total_cmp);
    let at_sync = |run: &&KillRun| matches!(run.instant, KillInstant::AtCall(..));
    let at_head = |run: &&KillRun| matches!(run.instant, KillInstant::AtHeadBefore(..));
    let redownloaded = runs.iter().map(|run| run.redownloaded_fraction);
    Kill9Report {
        runs: runs.len() as u64,
        killed_at_syncs: runs.iter().filter(at_sync).count() as u64,
        killed_at_head: runs.iter().filter(at_head).count() as u64,
        resumed: resumes.len() as u64,
        max_resume_seconds: resumes.last().copied().unwrap_or_default(),
        median_resume_seconds: resumes.get(resumes.len() / 2).copied().unwrap_or_default(),
        lost_acknowledged: runs.iter().map(KillRun::lost).sum(),
        redownloaded_fraction: redownloaded.fold(0.0, f64::max),
        heads_identical: runs.iter().filter(|run| run.identical).count() as u64,
        promises: noted.map(|noted| noted.promises),
        promises_before_sync: noted.map(|noted| noted.unkept),
        failed: runs.into_iter().filter(|run| !run.is_kept()).collect(),
        seconds: took.as_secs_f64(),
    }
}
