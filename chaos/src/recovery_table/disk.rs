//! A disk that is short, full, read-only, or that fails.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use alys_sync::resilience::ErrorClass;
use tokio::time::sleep;

use super::{Outcome, Table, slow, watched::Watched};
use crate::{
    kill9::{can_trace, failing_at},
    processes::{
        SceneError,
        said::Said,
        scene::{NodeOptions, Scene},
    },
};

/// What a node does that has less room than its reserve.
const HOLDS: &str =
    "nothing is imported; the status says how much room is needed; with room it goes on by itself";

/// What a node does that cannot write at its start.
const REFUSES: &str = "it does not start, and names the file and the reason";

/// What a node does whose store fails.
const ENDS: &str =
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

/// All rows of disks.
pub(super) async fn rows(table: &mut Table<'_>, scene: &Scene) -> Result<(), SceneError> {
    use ErrorClass::{Capacity, StorageFailure};
    match SmallDisk::mount(&scene.path("small")) {
        Ok(disk) => {
            let short = short_of_room(scene, &disk);
            table.row(Capacity, "a disk with less left than its reserve", HOLDS, short).await?;
            let full = full(scene, &disk);
            table.row(StorageFailure, "a disk that is full", ENDS, full).await?;
            let refused = read_only(scene, &disk);
            let caused_by = "a disk that is mounted read-only";
            table.row(StorageFailure, caused_by, REFUSES, refused).await?;
        }
        Err(_) => {
            table.leave_out(Capacity, "mounts need root");
            table.leave_out(StorageFailure, "mounts need root");
        }
    }
    if can_trace() {
        let failing = io_error(scene);
        table.row(StorageFailure, "an I/O error of fdatasync", ENDS, failing).await?;
    } else {
        table.leave_out(StorageFailure, "an I/O error of fdatasync needs strace");
    }
    Ok(())
}

/// A file system of its own in memory. Dropping it unmounts it.
struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    /// Mounts one at `path`.
    fn mount(path: &Path) -> Result<Self, SceneError> {
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

/// A program of the system did not do what it was told.
fn failed(program: &'static str, told: impl ToString) -> SceneError {
    SceneError::Program { program, told: told.to_string() }
}

fn not_run(program: &'static str) -> impl FnOnce(io::Error) -> SceneError {
    move |error| failed(program, error)
}

/// A node that leaves so many bytes of its disk free.
fn with_reserve(bytes: u64) -> NodeOptions {
    NodeOptions { reserve: Some(bytes), ..NodeOptions::default() }
}

/// The disk has less left than the reserve, and gets more.
async fn short_of_room(scene: &Scene, disk: &SmallDisk) -> Result<Outcome, SceneError> {
    let store = disk.new_store(scene, RESERVE >> 20)?;
    let mut node = Watched::start(scene, &store, with_reserve(RESERVE))?;
    let short = |said: &Said| matches!(said, Said::Short { of } if !of.is_empty());
    let told = match node.until(short).await? {
        Some(Said::Short { of }) => of.join("; "),
        other => format!("{other:?}"),
    };
    let imports = |said: &Said| matches!(said, Said::Imported { .. });
    let held = tokio::select! {
        imported = node.until(imports) => imported?.is_none(),
        () = sleep(HOLDS_FOR) => true,
    };
    disk.remount(&format!("size={LARGE_MIB}m"))?;
    let completed = node.completes(scene).await?;
    let says = told.contains("nothing is imported until");
    Ok(Outcome::new(told, completed, [("nothing is imported", held), ("it says so", says)]))
}

/// The disk is full, and nobody keeps a reserve.
async fn full(scene: &Scene, disk: &SmallDisk) -> Result<Outcome, SceneError> {
    let store = disk.new_store(scene, SMALL_MIB)?;
    let node = Watched::start(scene, &store, with_reserve(0))?;
    let repair = || disk.remount(&format!("size={LARGE_MIB}m"));
    ends_and_goes_on(scene, &store, node, repair).await
}

/// The disk is mounted read-only, as file systems are that were found damaged.
async fn read_only(scene: &Scene, disk: &SmallDisk) -> Result<Outcome, SceneError> {
    let store = disk.new_store(scene, LARGE_MIB)?;
    disk.remount("ro")?;
    let mut node = Watched::start(scene, &store, with_reserve(0))?;
    let told = match node.until(|_| true).await? {
        Some(Said::Ended { why }) => why,
        other => format!("{other:?}"),
    };
    node.stop().await?;
    disk.remount("rw")?;
    let completed = Watched::start(scene, &store, with_reserve(0))?.completes(scene).await?;
    let says = told.contains("Read-only file system") && told.contains("store");
    Ok(Outcome::new(told, completed, [("it names the file and the reason", says)]))
}

/// A sync of data to the disk fails.
async fn io_error(scene: &Scene) -> Result<Outcome, SceneError> {
    let store = scene.new_store("failing")?;
    let strace = Some(failing_at("fdatasync", FAILS_AT));
    // It imports little at a time, so that any thread comes to so many.
    let node = Watched::start(scene, &store, NodeOptions { strace, ..slow(scene) })?;
    ends_and_goes_on(scene, &store, node, || Ok(())).await
}

/// Waits until the sync of `node` has ended by itself; after `repair`, the next node is left alone.
async fn ends_and_goes_on(
    scene: &Scene,
    store: &Path,
    mut node: Watched,
    repair: impl FnOnce() -> Result<(), SceneError>,
) -> Result<Outcome, SceneError> {
    let ended = |said: &Said| matches!(said, Said::Ended { .. } | Said::Synced { .. });
    let told = match node.until(ended).await? {
        Some(Said::Ended { why }) => why,
        other => format!("{other:?}"),
    };
    let promised = node.promised();
    node.stop().await?;
    repair()?;
    let mut next = Watched::start(scene, store, with_reserve(0))?;
    next.until(|said| matches!(said, Said::Opened { .. })).await?;
    let found = next.promised();
    let completed = next.completes(scene).await?;
    // Checkpoints are on the same disk.
    let says = told.contains("store failed") || told.contains("journal of checkpoints failed");
    let promises =
        [("the tree ends, with the reason", says), ("nothing is lost", found >= promised)];
    Ok(Outcome::new(told, completed, promises))
}
