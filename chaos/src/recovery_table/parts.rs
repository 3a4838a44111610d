//! Parts of the node that fail or hang.

use std::fs;

use alys_sync::{resilience::ErrorClass, tree::Child};
use tokio::time::sleep;

use super::{
    Outcome, Table, slow,
    watched::{LOOK_EVERY, Watched},
};
use crate::processes::{
    SceneError,
    said::{Blow, Order, Said},
    scene::{NodeOptions, Scene},
};

/// What a node does whose child fails.
const RESTARTS: &str = "the child is started again, and takes up its work";

/// What a node does whose child hangs.
const FINDS_IT: &str =
    "the log says so, the child is killed and started again, and takes up its work";

/// What a node does whose child fails again and again.
const ENDS: &str = "the tree ends with the reason, the process lives; the next start goes on";

/// All rows of parts of the node.
pub(super) async fn rows(table: &mut Table<'_>, scene: &Scene) -> Result<(), SceneError> {
    use ErrorClass::{ProcessingFailure, ValidationFailure};
    let panics = struck(scene, Child::ValidatorPool, Blow::Panic);
    table.row(ValidationFailure, "verification panics in mid-sync", RESTARTS, panics).await?;
    let ends = struck_until_it_ends(scene, Child::ValidatorPool);
    table.row(ValidationFailure, "verification panics again and again", ENDS, ends).await?;
    let killed = struck(scene, Child::BlockImporter, Blow::Kill);
    table.row(ProcessingFailure, "the importer is killed in mid-sync", RESTARTS, killed).await?;
    let hung = struck(scene, Child::DownloadScheduler, Blow::Hang);
    table.row(ProcessingFailure, "the scheduler hangs in mid-sync", FINDS_IT, hung).await
}

/// A child is struck once, in the middle of a sync.
async fn struck(scene: &Scene, child: Child, blow: Blow) -> Result<Outcome, SceneError> {
    let log = scene.path("struck.log");
    let options = NodeOptions { log: Some(log.clone()), ..slow(scene) };
    let mut node = Watched::new(scene, "struck", options)?;
    node.until_it_imports().await?;
    node.order(&Order::Strike { child: child.id().to_owned(), blow }).await?;
    let back = node.look_until(|now| now.incarnation(child) > 1).await?;
    let after = node.look_until(|now| now.height > back.height).await?;
    let completed = node.at_full_speed(scene).await?.completes(scene).await?;
    let said = fs::read_to_string(&log)?;
    fs::remove_file(&log)?;
    let found = said.lines().find(|line| line.contains("child gives no sign of life: killing it"));
    let hung = blow == Blow::Hang;
    let times = after.incarnation(child);
    let told = format!("incarnation {times} of {child:?} {}", found.unwrap_or_default());
    Ok(Outcome::new(
        told,
        completed,
        [
            ("it is back", back.incarnation(child) == 2),
            ("the sync goes on", after.height > back.height),
            ("it is found to hang, if it does", found.is_some() == hung),
            ("it is started again once", times == 2),
        ],
    ))
}

/// A child is struck as often as it comes back.
async fn struck_until_it_ends(scene: &Scene, child: Child) -> Result<Outcome, SceneError> {
    let store = scene.new_store("ended")?;
    let mut node = Watched::start(scene, &store, slow(scene))?;
    node.until_it_imports().await?;
    let mut struck = 0;
    let last = loop {
        let now = node.look().await?;
        if node.ended_because().is_some() {
            break now;
        }
        if now.incarnation(child) > struck {
            struck = now.incarnation(child);
            let order = Order::Strike { child: child.id().to_owned(), blow: Blow::Panic };
            node.order(&order).await?;
        }
        sleep(LOOK_EVERY).await;
    };
    // It answered after the end of its tree, so the process lives.
    let promised = node.promised();
    let told = node.ended_because().unwrap_or_default().to_owned();
    node.stop().await?;
    let mut next = Watched::start(scene, &store, NodeOptions::default())?;
    next.until(|said| matches!(said, Said::Opened { .. })).await?;
    let found = next.promised();
    let completed = next.completes(scene).await?;
    let says = told.contains("supervisor SyncSupervisor gave up on child ValidatorPool");
    Ok(Outcome::new(
        told,
        completed,
        [
            ("it was started again before", last.incarnation(child) > 1),
            ("the tree ends, with the reason", says),
            ("nothing is lost", found >= promised),
        ],
    ))
}
