//! What a node has stored, damaged or forged while it is down.

use std::{
    error::Error,
    fs::{self, File},
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use alys_sync::{
    adapters::sled::{ChainStore, RecordKey, RecordKind, RecordStore, StoreOptions},
    checkpoint::{Checkpoint, CheckpointKind},
    ports::Journal as _,
    resilience::ErrorClass,
    types::{BlockRoot, Height},
};

use super::{Outcome, Table, watched::Watched};
use crate::processes::{
    SceneError,
    said::Said,
    scene::{NodeOptions, Scene},
};

/// What a node does with a checkpoint that is of no use.
const SETS_ASIDE: &str =
    "it is set aside, the log says so, and the sync goes on from the true ones";

/// What a node does whose head is damaged.
const GOES_BACK: &str = "it goes on from a whole block below, and says what it did";

/// Where the nodes are whose files are damaged. Source: above a checkpoint, and not one itself.
const STOPPED_AT: Height = Height::new(1_500);

/// The height of the forged checkpoint: above the true ones.
const FORGED_AT: Height = Height::new(1_400);

/// Where the node goes whose checkpoints were damaged. Source: few enough blocks that none of the
/// true checkpoints is pruned.
const GOES_TO: Height = Height::new(1_900);

/// The root of a block that there is not.
const NO_BLOCK: BlockRoot = BlockRoot::new([7; 32]);

/// Bytes at the end of the last segment that are damaged. Source: less than a block.
const DAMAGED_BYTES: usize = 64;

/// All rows of what is stored.
pub(super) async fn rows(table: &mut Table<'_>, scene: &Scene) -> Result<(), SceneError> {
    let says = "a checkpoint fails its checks: it was set aside";
    let broken = checkpoint_is_set_aside(scene, "broken-record", says, break_off);
    let caused_by = "a checkpoint whose record breaks off";
    table.row(ErrorClass::CheckpointCorrupted, caused_by, SETS_ASIDE, broken).await?;
    let says = "a checkpoint is not of this chain: it was set aside";
    let forged = checkpoint_is_set_aside(scene, "forged-record", says, forge);
    let caused_by = "a forged checkpoint with a right checksum";
    table.row(ErrorClass::CheckpointCorrupted, caused_by, SETS_ASIDE, forged).await?;
    let caused_by = "bits flipped in the last block of a stopped node";
    table.row(ErrorClass::InconsistentState, caused_by, GOES_BACK, damaged(scene)).await
}

/// A store in which a node was stopped in the middle of the chain.
async fn stopped(scene: &Scene, name: &str) -> Result<PathBuf, SceneError> {
    let store = scene.new_store(name)?;
    let options = NodeOptions { target: Some(STOPPED_AT), ..NodeOptions::default() };
    let mut node = Watched::start(scene, &store, options)?;
    node.is_synced().await?;
    node.stop().await?;
    Ok(store)
}

type Done<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Writes the beginning of a record of a checkpoint, as a record with a right checksum.
fn break_off(records: &RecordStore, newest: &Checkpoint) -> Done<()> {
    let (kind, key) = (RecordKind::new("checkpoint", 2), RecordKey::new(*b"broken"));
    records.put(kind, &key, &(newest.chain, newest.height))?;
    Ok(records.flush()?)
}

/// Writes a checkpoint of a block that the chain does not have, as the newest.
fn forge(records: &RecordStore, newest: &Checkpoint) -> Done<()> {
    let forged = Checkpoint {
        height: FORGED_AT,
        root: NO_BLOCK,
        kind: CheckpointKind::Periodic,
        ..newest.clone()
    };
    Ok(records.put_checkpoint(&forged)?)
}

/// Does something with the records of a store that nobody uses.
async fn with_records<T: Send + 'static>(
    scene: &Scene,
    store: &Path,
    work: impl FnOnce(&RecordStore) -> Done<T> + Send + 'static,
) -> Result<T, SceneError> {
    let (store, genesis) = (store.to_owned(), scene.prepared().genesis()?);
    let worked = tokio::task::spawn_blocking(move || {
        let chain = ChainStore::open(&store, &genesis, StoreOptions::default())?;
        work(&chain.records()?)
    });
    worked.await.map_err(Into::into).flatten().map_err(SceneError::Records)
}

/// A node is stopped, `spoil` does something with its records, and it is started again.
async fn checkpoint_is_set_aside(
    scene: &Scene,
    name: &str,
    says: &str,
    spoil: fn(&RecordStore, &Checkpoint) -> Done<()>,
) -> Result<Outcome, SceneError> {
    let store = stopped(scene, name).await?;
    let true_ones = with_records(scene, &store, move |records| {
        let (checkpoints, _) = records.checkpoints()?;
        let newest = checkpoints.last().ok_or("the node has made no checkpoint")?;
        spoil(records, newest)?;
        Ok(checkpoints)
    });
    let true_ones = true_ones.await?;
    let log = scene.path(&format!("{name}.log"));
    let options =
        NodeOptions { log: Some(log.clone()), target: Some(GOES_TO), ..NodeOptions::default() };
    let mut node = Watched::start(scene, &store, options)?;
    node.until(|said| matches!(said, Said::Opened { .. })).await?;
    let found = node.promised();
    node.is_synced().await?;
    node.stop().await?;
    let (kept, damaged) = with_records(scene, &store, |records| {
        let (kept, damaged) = records.checkpoints()?;
        Ok((kept, damaged.len()))
    })
    .await?;
    let completed = Watched::start(scene, &store, NodeOptions::default())?.completes(scene).await?;
    let said = fs::read_to_string(&log)?;
    let told = said.lines().find(|line| line.contains(says));
    let is_true = |kept: &Checkpoint| kept.root != NO_BLOCK;
    Ok(Outcome::new(
        told.unwrap_or(&said),
        completed,
        [
            ("the log says so", told.is_some()),
            ("it is set aside", damaged == 0 && kept.iter().all(is_true)),
            ("the true ones stay", true_ones.iter().all(|made| kept.contains(made))),
            ("the head is as it was", found == STOPPED_AT),
        ],
    ))
}

/// Bits of the last block are flipped while the node is down.
async fn damaged(scene: &Scene) -> Result<Outcome, SceneError> {
    let store = stopped(scene, "damaged").await?;
    flip_the_end(&last_segment(&store)?)?;
    let mut node = Watched::start(scene, &store, NodeOptions::default())?;
    let recovered = node.until(|said| matches!(said, Said::Recovered { .. } | Said::Synced { .. }));
    let (told, says) = match recovered.await? {
        Some(Said::Recovered { told }) => (told, true),
        other => (format!("{other:?}"), false),
    };
    let found = node.promised();
    let completed = node.completes(scene).await?;
    Ok(Outcome::new(
        told,
        completed,
        [
            ("it says what it did", says),
            ("it goes on from the block below", STOPPED_AT.checked_sub(1) == Some(found)),
        ],
    ))
}

fn last_segment(store: &Path) -> Result<PathBuf, SceneError> {
    let files = fs::read_dir(store.join("blocks"))?;
    let mut files: Vec<_> =
        files.map(|file| Ok(file?.path())).collect::<Result<_, std::io::Error>>()?;
    files.sort();
    files.pop().ok_or(SceneError::Unexpected { said: Some("a store without blocks".to_owned()) })
}

fn flip_the_end(file: &Path) -> Result<(), SceneError> {
    let mut file = File::options().read(true).write(true).open(file)?;
    let mut bytes = [0; DAMAGED_BYTES];
    let at = file.seek(SeekFrom::End(-(DAMAGED_BYTES as i64)))?;
    file.read_exact(&mut bytes)?;
    file.seek(SeekFrom::Start(at))?;
    file.write_all(&bytes.map(|byte| !byte))?;
    Ok(())
}
