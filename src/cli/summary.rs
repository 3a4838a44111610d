//! What a sync came to.

use std::{fmt, time::Duration};

use alys_sync::{
    coordinator::SyncStatus, reputation::PeerStatus, types::BlockRef, validation::VerificationGauge,
};
use serde_json::{Value, json};

use super::{ending::Answer, peak_memory, progress::eta};

/// What a sync has cost until some moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    /// Since the start of the sync.
    pub(crate) took: Duration,
    /// CPU time of this process since the start of the sync. `None` where the system does not tell.
    pub(crate) cpu: Option<Duration>,
    /// What of it was verification.
    pub(crate) verification: VerificationGauge,
}

impl Cost {
    /// The part of `part` in all CPU time of this process: 0 to 1. `None` where that is not known.
    fn share(&self, part: Duration) -> Option<f64> {
        let all = self.cpu.filter(|all| !all.is_zero())?;
        Some(part.as_secs_f64() / all.as_secs_f64())
    }

    /// CPU time in seconds. `None` where the system does not tell.
    fn known(&self, part: Duration) -> Option<f64> {
        self.cpu.map(|_| part.as_secs_f64())
    }

    fn verification_json(&self) -> Value {
        let VerificationGauge {
            blocks,
            batches,
            group_checks,
            scan_cpu,
            signature_cpu,
            content_cpu,
        } = self.verification;
        json!({
            "blocks": blocks,
            "batches": batches,
            "group_checks": group_checks,
            "scan_cpu_seconds": self.known(scan_cpu),
            "signature_cpu_seconds": self.known(signature_cpu),
            "content_cpu_seconds": self.known(content_cpu),
        })
    }
}

/// What a sync came to, as far as it came.
#[derive(Debug, Clone)]
pub(crate) struct Summary {
    /// Whether it is at its goal.
    pub(crate) synced: bool,
    /// The head of the chain.
    pub(crate) head: BlockRef,
    /// Imported by this run.
    pub(crate) blocks: u64,
    /// What this run cost.
    pub(crate) cost: Cost,
    /// How often children of the tree came back up; unknown once the tree has ended.
    pub(crate) restarts: Option<u64>,
    /// The last status: the way that was left, and who was seen with what each delivered.
    last: SyncStatus,
    /// The hashes of execution blocks were not checked.
    pub(crate) synthetic_payloads: bool,
    /// The most memory that this process used for it. `None` where the system does not tell.
    pub(crate) peak_memory_bytes: Option<u64>,
}

impl Summary {
    /// The summary of a run that began at `start` and has come to `head`.
    pub(crate) fn new(start: BlockRef, head: BlockRef, cost: Cost, last: SyncStatus) -> Self {
        Self {
            synced: false,
            head,
            blocks: head.height.blocks_above(start.height),
            cost,
            restarts: None,
            last,
            synthetic_payloads: false,
            peak_memory_bytes: peak_memory::bytes(),
        }
    }

    fn blocks_per_second(&self) -> f64 {
        let seconds = self.cost.took.as_secs_f64();
        if seconds > 0.0 { self.blocks as f64 / seconds } else { 0.0 }
    }

    /// Of the blocks that peers delivered, the part that came from `peer`: 0 to 1.
    fn share(&self, peer: &PeerStatus) -> f64 {
        let all: u64 = self.last.peers.iter().map(|peer| peer.blocks).sum();
        if all == 0 { 0.0 } else { peer.blocks as f64 / all as f64 }
    }

    fn peer_json(&self, peer: &PeerStatus) -> Value {
        let mut json = serde_json::to_value(peer).unwrap_or_default();
        json["share"] = json!(self.share(peer));
        json
    }

    /// Of all CPU time of this process, the part that went into signatures: 0 to 1. `None` where
    /// the system does not tell.
    pub(crate) fn signature_cpu_share(&self) -> Option<f64> {
        self.cost.share(self.cost.verification.signature_cpu)
    }

    /// Of all CPU time of this process, the part that went into verification: 0 to 1. `None` where
    /// the system does not tell.
    pub(crate) fn verification_cpu_share(&self) -> Option<f64> {
        self.cost.share(self.cost.verification.cpu())
    }

    /// The object for machines.
    pub(crate) fn json(&self) -> Value {
        json!({
            "synced": self.synced,
            "height": self.head.height,
            "blocks": self.blocks,
            "seconds": self.cost.took.as_secs_f64(),
            "blocks_per_second": self.blocks_per_second(),
            "peers": self.last.peers.iter().map(|peer| self.peer_json(peer)).collect::<Vec<_>>(),
            "target_height": self.last.target_height,
            "eta_seconds": self.last.eta_seconds,
            "eta_low_seconds": self.last.eta_low_seconds,
            "eta_high_seconds": self.last.eta_high_seconds,
            "restarts": self.restarts,
            "peak_memory_bytes": self.peak_memory_bytes,
            "verification": self.cost.verification_json(),
            "cpu_seconds": self.cost.cpu.map(|cpu| cpu.as_secs_f64()),
            "signature_cpu_share": self.signature_cpu_share(),
            "verification_cpu_share": self.verification_cpu_share(),
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
        let (blocks, seconds) = (self.blocks, self.cost.took.as_secs_f64());
        let speed = self.blocks_per_second();
        writeln!(f, "{synced}: {blocks} blocks in {seconds:.1} s, {speed:.0} blocks/s")?;
        writeln!(f, "head         {} {}", self.head.height, self.head.root)?;
        let target = self.last.target_height;
        let left = target.blocks_above(self.head.height);
        if left > 0 {
            writeln!(f, "left         {left} blocks to {target}, ETA {}", eta(&self.last))?;
        }
        for peer in &self.last.peers {
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
        write_verification(&self.cost, f)
    }
}

fn write_verification(cost: &Cost, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let VerificationGauge { blocks, batches, signature_cpu, .. } = cost.verification;
    if batches == 0 {
        return Ok(());
    }
    write!(f, "verify       ")?;
    if let Some((cpu, share)) = cost.cpu.zip(cost.share(signature_cpu)) {
        let (percent, seconds) = (100.0 * share, cpu.as_secs_f64());
        write!(f, "{percent:.0} % of {seconds:.1} s CPU in signatures, ")?;
    }
    writeln!(f, "{batches} batches of {:.0} blocks", blocks as f64 / batches as f64)
}
