//! A process that uses more memory than it should.

use alys_sync::{config::SyncConfig, resilience::ErrorClass};

use super::{Outcome, Table, watched::Watched};
use crate::processes::{
    SceneError,
    said::Said,
    scene::{NodeOptions, Scene},
};

/// What a node does whose process uses too much.
const USES_LESS: &str = "it says that less is downloaded ahead, does so, and completes";

/// What else the process holds. Unit: bytes. Source: more than a node, so that the node hardly
/// counts.
const BALLAST: u64 = 128 << 20;

/// What the process should not exceed. Unit: bytes. Source: what the rest holds is more than 85 %
/// of it, from where on less is downloaded ahead; a node that has started uses about what is left.
const LIMIT: u64 = BALLAST + (20 << 20);

/// The row of memory.
pub(super) async fn rows(table: &mut Table<'_>, scene: &Scene) -> Result<(), SceneError> {
    let caused_by = "a limit of memory close to what the process uses";
    table.row(ErrorClass::OutOfMemory, caused_by, USES_LESS, at_the_limit(scene)).await
}

/// What holds the memory is something else than the node, and stays.
async fn at_the_limit(scene: &Scene) -> Result<Outcome, SceneError> {
    let (ballast, memory_max) = (Some(BALLAST), Some(LIMIT));
    let options = NodeOptions { ballast, memory_max, ..NodeOptions::default() };
    let mut node = Watched::new(scene, "large", options)?;
    let short = |said: &Said| matches!(said, Said::Short { of } if !of.is_empty());
    let told = match node.until(short).await? {
        Some(Said::Short { of }) => of.join("; "),
        other => format!("{other:?}"),
    };
    let first = SyncConfig::default().memory_bytes;
    let less = node.look_until(|now| now.budget_bytes <= first / 4).await?;
    let completed = node.completes(scene).await?;
    Ok(Outcome::new(
        &told,
        completed,
        [
            ("it says so", told.contains("less is downloaded ahead")),
            ("less and less is downloaded ahead", less.budget_bytes <= first / 4),
        ],
    ))
}
