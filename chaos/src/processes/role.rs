//! Which process this program is when it was started by itself.

use std::{error::Error, path::PathBuf};

use super::{
    server::{self, ServerArgs},
    sync_node::{self, NodeArgs},
};

/// The command that plays a process.
pub(super) const SYNC_ROLE: &str = "sync-role";

/// A process of a run, as it is started.
#[derive(Debug, Clone, clap::Args)]
pub struct SyncRoleArgs {
    /// Where the files are
    #[arg(long)]
    dir: PathBuf,
    /// The node's store; without it, this is a server
    #[arg(long)]
    store: Option<PathBuf>,
    #[command(flatten)]
    node: NodeArgs,
    #[command(flatten)]
    server: ServerArgs,
}

/// Plays a server or a node, until standard input ends.
///
/// # Errors
/// Whatever keeps the process from playing it.
pub fn play(args: SyncRoleArgs) -> Result<(), Box<dyn Error>> {
    let SyncRoleArgs { dir, store, node, server } = args;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let played = runtime.block_on(async {
        match store {
            Some(store) => sync_node::play(&dir, &store, node).await,
            None => server::play(&dir, server).await,
        }
    });
    // A thread that waits for standard input cannot be waited for.
    runtime.shutdown_background();
    played
}
