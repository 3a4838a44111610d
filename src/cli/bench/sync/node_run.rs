//! One sync by a fresh node in a process of its own, as `bench sync` starts it.

use std::{
    ffi::OsString,
    fs, io,
    num::NonZeroU64,
    path::Path,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use alys_sync::types::Multiaddr;
use tokio::{process::Command, time::timeout};

use super::{
    chains::{BenchChain, unless_stopped},
    node_child::NodeFigures,
};
use crate::cli::{Context, Ending};

/// How long a sync may take. Too low: a slow machine measures nothing. Too high: one that hangs is
/// told late.
const SYNCS_WITHIN: Duration = Duration::from_secs(1_800);

/// What a node is to sync.
pub(super) struct NodeRun<'a> {
    pub(super) chain: &'a BenchChain,
    /// Where its peers are.
    pub(super) peers: Vec<Multiaddr>,
    /// What its store takes at most. Unit: bytes a second.
    pub(super) import_bytes_per_second: Option<NonZeroU64>,
}

/// Why a sync was not measured.
#[derive(Debug, thiserror::Error)]
enum NodeRunError {
    #[error("cannot run the node that is measured")]
    Start(#[source] io::Error),
    #[error("the data directory of the node that is measured cannot be removed")]
    Remove(#[source] io::Error),
    #[error("the node that is measured did not sync ({status}): {said}")]
    NotSynced { status: ExitStatus, said: String },
    #[error("the node that is measured was not synced within {SYNCS_WITHIN:?}")]
    TimedOut,
    #[error("what the node that is measured says cannot be understood: {said}")]
    Unclear {
        said: String,
        #[source]
        source: serde_json::Error,
    },
}

impl NodeRun<'_> {
    /// Syncs from nothing, with a data directory in `dir` that is removed again.
    pub(super) async fn sync(&self, dir: &Path, context: &Context) -> Result<NodeFigures, Ending> {
        let data_dir = dir.join("node");
        let outcome = unless_stopped(context, async {
            let run = timeout(SYNCS_WITHIN, self.run(&data_dir)).await;
            run.unwrap_or(Err(NodeRunError::TimedOut)).map_err(Ending::failed)
        })
        .await;
        match fs::remove_dir_all(&data_dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                outcome.and(Err(Ending::failed(NodeRunError::Remove(error))))
            }
            Ok(()) | Err(_) => outcome,
        }
    }

    async fn run(&self, data_dir: &Path) -> Result<NodeFigures, NodeRunError> {
        let program = std::env::current_exe().map_err(NodeRunError::Start)?;
        let mut child = Command::new(program)
            .args(["bench", "sync-node", "--json", "--log", "warn"])
            .args(self.arguments(data_dir))
            // It ends when its standard input does, so that it never outlives this process.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(NodeRunError::Start)?;
        let _stdin = child.stdin.take();
        let output = child.wait_with_output().await.map_err(NodeRunError::Start)?;
        let stdout = String::from_utf8_lossy(&output.stdout);
        let said = stdout.lines().last().unwrap_or_default().to_owned();
        if !output.status.success() {
            return Err(NodeRunError::NotSynced { status: output.status, said });
        }
        serde_json::from_str(&said).map_err(|source| NodeRunError::Unclear { said, source })
    }

    fn arguments(&self, data_dir: &Path) -> Vec<OsString> {
        let prepared = &self.chain.prepared;
        let mut arguments: Vec<OsString> =
            vec!["--head".into(), self.chain.blocks().to_string().into()];
        arguments.extend(["--chain-spec".into(), prepared.spec_file.clone().into()]);
        arguments.extend(["--genesis".into(), self.chain.genesis_file.clone().into()]);
        arguments.extend(["--data-dir".into(), data_dir.into()]);
        if let Some(rate) = self.import_bytes_per_second {
            arguments.extend(["--import-bytes-per-second".into(), rate.to_string().into()]);
        }
        arguments.push("--bootnode".into());
        arguments.extend(self.peers.iter().map(|peer| peer.to_string().into()));
        arguments
    }
}
