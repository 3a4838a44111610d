//! What a sync came to.

use std::{fmt, time::Duration};

use alys_sync::{coordinator::SyncStatus, reputation::PeerStatus, types::BlockRef};
use serde_json::{Value, json};

use super::{ending::Answer, peak_memory};

/// What a sync came to, as far as it came.
#[derive(Debug, Clone)]
pub(crate) struct Summary {
    /// Whether it is at its goal.
    pub(crate) synced: bool,
    /// The head of the chain.
    pub(crate) head: BlockRef,
    /// Imported by this run.
    pub(crate) blocks: u64,
    /// How long this run took.
    pub(crate) took: Duration,
    /// How often children of the tree came back up; unknown once the tree has ended.
    pub(crate) restarts: Option<u64>,
    /// Who was seen, with what each delivered.
    pub(crate) peers: Vec<PeerStatus>,
    /// The hashes of execution blocks were not checked.
    pub(crate) synthetic_payloads: bool,
    peak_memory_bytes: Option<u64>,
}

impl Summary {
    /// The summary of a run that began at `start` and has come to `head`.
    pub(crate) fn new(start: BlockRef, head: BlockRef, took: Duration, last: SyncStatus) -> Self {
        Self {
            synced: false,
            head,
            blocks: head.height.blocks_above(start.height),
            took,
            restarts: None,
            peers: last.peers,
            synthetic_payloads: false,
            peak_memory_bytes: peak_memory::bytes(),
        }
    }

    fn blocks_per_second(&self) -> f64 {
        let seconds = self.took.as_secs_f64();
        if seconds > 0.0 { self.blocks as f64 / seconds } else { 0.0 }
    }

    /// Of the blocks that peers delivered, the part that came from `peer`: 0 to 1.
    fn share(&self, peer: &PeerStatus) -> f64 {
        let all: u64 = self.peers.iter().map(|peer| peer.blocks).sum();
        if all == 0 { 0.0 } else { peer.blocks as f64 / all as f64 }
    }

    fn peer_json(&self, peer: &PeerStatus) -> Value {
        let mut json = serde_json::to_value(peer).unwrap_or_default();
        json["share"] = json!(self.share(peer));
        json
    }

    fn json(&self) -> Value {
        json!({
            "synced": self.synced,
            "height": self.head.height,
            "blocks": self.blocks,
            "seconds": self.took.as_secs_f64(),
            "blocks_per_second": self.blocks_per_second(),
            "peers": self.peers.iter().map(|peer| self.peer_json(peer)).collect::<Vec<_>>(),
            "restarts": self.restarts,
            "peak_memory_bytes": self.peak_memory_bytes,
            "head": self.head.root,
            "synthetic_payloads": self.synthetic_payloads,
        })
    }
}

impl From<Summary> for Answer {
    fn from(summary: Summary) -> Self {
        Self::new(summary.to_string(), summary.json())
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let synced = if self.synced { "synced" } else { "not synced" };
        let (blocks, seconds) = (self.blocks, self.took.as_secs_f64());
        let speed = self.blocks_per_second();
        writeln!(f, "{synced}: {blocks} blocks in {seconds:.1} s, {speed:.0} blocks/s")?;
        writeln!(f, "head         {} {}", self.head.height, self.head.root)?;
        for peer in &self.peers {
            let share = 100.0 * self.share(peer);
            let (blocks, name) = (peer.blocks, &peer.peer);
            writeln!(f, "peer         {name}  {blocks} blocks, {share:.1} %  {}", peer.address)?;
        }
        if let Some(restarts) = self.restarts {
            writeln!(f, "restarts     {restarts}")?;
        }
        if let Some(bytes) = self.peak_memory_bytes {
            writeln!(f, "peak memory  {:.1} MiB", bytes as f64 / f64::from(1 << 20))?;
        }
        Ok(())
    }
}
