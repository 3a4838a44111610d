//! A disk that is short, full, read-only, or that fails.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use tokio::time::{Instant, sleep};

use super::{Outcome, failed, is_synced, not_run, said};
use crate::{
    kill9::failing_at,
    processes::{SceneError, process::Process, scene::Scene, sync_node::Said},
};

/// What a node does that has less room than its reserve.
pub(super) const HOLDS: &str =
    "nothing is imported; the status says how much room is needed; with room it goes on by itself";

/// What a node does that cannot write at its start.
pub(super) const REFUSES: &str = "it does not start, and names the file and the reason";

/// What a node does whose store fails.
pub(super) const ENDS: &str =
    "the tree ends with the reason and is not restarted into; the next start loses nothing";

/// A disk that fills in the middle of a sync. Unit: MiB. Source: a store with one block takes nine,
/// one with the whole chain eighteen.
const SMALL_MIB: u64 = 13;

/// The disk with room. Unit: MiB.
const LARGE_MIB: u64 = 256;

/// What a node leaves free where that is to be more than the disk has. Unit: bytes.
const RESERVE: u64 = 32 << 20;

/// How long is looked whether a node that holds imports nothing. Unit: time.
const HOLDS_FOR: Duration = Duration::from_secs(3);

/// The write at which the disk fails. Any in the middle of a sync.
const FAILS_AT: u64 = 9;

/// A file system of its own in memory. Dropping it unmounts it.
pub(super) struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    /// Mounts one at `path`.
    pub(super) fn mount(path: &Path) -> Result<Self, SceneError> {
        fs::create_dir(path)?;
        let options = format!("size={SMALL_MIB}m");
        mount(&["-t", "tmpfs", "-o", &options, "tmpfs"], path)?;
        Ok(Self { path: path.to_owned() })
    }

    /// Mounts it anew with these options, with everything that is on it.
    fn remount(&self, options: &str) -> Result<(), SceneError> {
        mount(&["-o", &format!("remount,{options}")], &self.path)
    }

    /// A store on it with the first block; the disk is as small as it was at first.
    fn new_store(&self, scene: &Scene, mib: u64) -> Result<PathBuf, SceneError> {
        let (made, store) = (scene.new_store("to-copy")?, self.path.join("store"));
        self.remount(&format!("rw,size={LARGE_MIB}m"))?;
        if store.exists() {
            fs::remove_dir_all(&store)?;
        }
        crate::processes::prepared::copy_dir(&made, &store)?;
        fs::remove_dir_all(&made)?;
        self.remount(&format!("size={mib}m"))?;
        Ok(store)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // What is left is removed with the directory it is in, or stays until the machine restarts.
        let _ = Command::new("umount").arg("-l").arg(&self.path).status();
    }
}

fn mount(options: &[&str], path: &Path) -> Result<(), SceneError> {
    let ran = Command::new("mount").args(options).arg(path).output().map_err(not_run("mount"))?;
    if ran.status.success() {
        return Ok(());
    }
    Err(failed("mount", String::from_utf8_lossy(&ran.stderr)))
}

/// The disk has less left than the reserve, and gets more.
pub(super) async fn short_of_room(
    scene: &Scene,
    disk: &SmallDisk,
) -> Result<(Outcome, Duration), SceneError> {
    let begun = Instant::now();
    let store = disk.new_store(scene, RESERVE >> 20)?;
    let mut node = scene.start(&store, Some(RESERVE), None)?;
    let short = |said: &Said| matches!(said, Said::Short { of } if !of.is_empty());
    let told = said(&mut node, short).await?;
    let imports = |said: &Said| matches!(said, Said::Imported { .. });
    let held = tokio::select! {
        imported = said(&mut node, imports) => imported?.is_none(),
        () = sleep(HOLDS_FOR) => true,
    };
    disk.remount(&format!("size={LARGE_MIB}m"))?;
    let synced = said(&mut node, is_synced).await?.is_some();
    node.stop().await?;
    let told = match told {
        Some(Said::Short { of }) => of.join("; "),
        other => format!("{other:?}"),
    };
    let kept = held && told.contains("nothing is imported until");
    let completed = synced && scene.is_whole_chain(&store).await?;
    Ok((Outcome { told, kept, completed }, begun.elapsed()))
}

/// The disk is full, and nobody keeps a reserve.
pub(super) async fn full(
    scene: &Scene,
    disk: &SmallDisk,
) -> Result<(Outcome, Duration), SceneError> {
    let begun = Instant::now();
    let store = disk.new_store(scene, SMALL_MIB)?;
    let node = scene.start(&store, Some(0), None)?;
    let repair = || disk.remount(&format!("size={LARGE_MIB}m"));
    Ok((ends_and_goes_on(scene, &store, node, repair).await?, begun.elapsed()))
}

/// The disk is mounted read-only, as file systems are that were found damaged.
pub(super) async fn read_only(
    scene: &Scene,
    disk: &SmallDisk,
) -> Result<(Outcome, Duration), SceneError> {
    let begun = Instant::now();
    let store = disk.new_store(scene, LARGE_MIB)?;
    disk.remount("ro")?;
    let mut node = scene.start(&store, Some(0), None)?;
    let told = match said(&mut node, |_| true).await? {
        Some(Said::Ended { why }) => why,
        other => format!("{other:?}"),
    };
    node.stop().await?;
    disk.remount("rw")?;
    let mut next = scene.start(&store, Some(0), None)?;
    let synced = said(&mut next, is_synced).await?.is_some();
    next.stop().await?;
    let kept = told.contains("Read-only file system") && told.contains("store");
    let completed = synced && scene.is_whole_chain(&store).await?;
    Ok((Outcome { told, kept, completed }, begun.elapsed()))
}

/// A sync of data to the disk fails.
pub(super) async fn io_error(scene: &Scene) -> Result<(Outcome, Duration), SceneError> {
    let begun = Instant::now();
    let store = scene.new_store("failing")?;
    let node = scene.start(&store, None, Some(failing_at("fdatasync", FAILS_AT)))?;
    let outcome = ends_and_goes_on(scene, &store, node, || Ok(())).await?;
    fs::remove_dir_all(&store)?;
    Ok((outcome, begun.elapsed()))
}

/// Waits until the sync of `node` has ended by itself; after `repair`, the next node is left alone.
async fn ends_and_goes_on(
    scene: &Scene,
    store: &Path,
    mut node: Process,
    repair: impl FnOnce() -> Result<(), SceneError>,
) -> Result<Outcome, SceneError> {
    let mut promised = 0;
    let told = loop {
        match said(&mut node, |_| true).await? {
            Some(Said::Opened { height } | Said::Imported { height }) => promised = height.get(),
            Some(Said::Ended { why }) => break why,
            Some(Said::Downloads | Said::Short { .. } | Said::LinkCut { .. }) => {}
            other @ (Some(Said::Synced { .. }) | None) => break format!("{other:?}"),
        }
    };
    node.stop().await?;
    repair()?;
    let mut next = scene.start(store, Some(0), None)?;
    let found = match said(&mut next, |_| true).await? {
        Some(Said::Opened { height }) => height.get(),
        other => return Err(SceneError::Unexpected { said: Some(format!("{other:?}")) }),
    };
    let synced = said(&mut next, is_synced).await?.is_some();
    next.stop().await?;
    let kept = told.contains("store failed") && found >= promised;
    Ok(Outcome { told, kept, completed: synced && scene.is_whole_chain(store).await? })
}
