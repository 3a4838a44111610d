//! A peer that falls silent.

use std::{fs, time::Duration};

use tokio::time::{Instant, sleep};

use super::{Outcome, is_synced, said};
use crate::processes::{SceneError, scene::Scene, sync_node::Said};

/// What a node does that hears nothing from anybody.
pub(super) const WAITS: &str = "it says that its link is cut, and goes on with the first answer";

/// How long the peer is stopped. Unit: time. Source: longer than it takes to tell, and than
/// connections are kept.
const STOPPED_FOR: Duration = Duration::from_secs(12);

/// The process of the only peer is stopped, which leaves its connections open, and goes on.
pub(super) async fn stopped_for_a_while(scene: &Scene) -> Result<(Outcome, Duration), SceneError> {
    let begun = Instant::now();
    let store = scene.new_store("silent")?;
    let mut node = scene.start(&store, None, None)?;
    said(&mut node, |said| matches!(said, Said::Imported { .. })).await?;
    scene.server.stop_now()?;
    let told = said(&mut node, |said| matches!(said, Said::LinkCut { .. }));
    let told = tokio::select! {
        told = told => told?,
        () = sleep(STOPPED_FOR) => None,
    };
    sleep(STOPPED_FOR.saturating_sub(begun.elapsed())).await;
    scene.server.go_on()?;
    let synced = said(&mut node, is_synced).await?.is_some();
    node.stop().await?;
    let completed = synced && scene.is_whole_chain(&store).await?;
    fs::remove_dir_all(&store)?;
    let (told, kept) = match told {
        Some(Said::LinkCut { told }) => (told, true),
        other => (format!("{other:?}"), false),
    };
    Ok((Outcome { told, kept, completed }, begun.elapsed()))
}
