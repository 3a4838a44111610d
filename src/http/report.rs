//! What a node tells about itself.

use serde::{Deserialize, Serialize};
use supervisors::{ChildStatus, ChildView};

use crate::{
    coordinator::SyncStatus, flow::BudgetGauge, node::Node, scheduler::WindowGauge,
    types::Multiaddr, validation::VerificationGauge,
};

/// A node at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeReport {
    /// The sync.
    #[serde(flatten)]
    pub sync: SyncStatus,
    /// How often children came back up, all together.
    pub restarts: u64,
    /// The children in order of start; empty while the supervisor does not answer.
    pub children: Vec<ChildReport>,
    /// The download window; none while the scheduler does not answer.
    pub window: Option<WindowReport>,
    /// What verification has done and cost since the node started.
    pub verification: VerificationReport,
    /// The byte budget.
    pub budget: BudgetReport,
    /// Where peers can dial; empty while the network does not answer.
    pub listening: Vec<Multiaddr>,
    /// The chain's execution payloads are made up, so their hashes are not checked.
    pub synthetic_payloads: bool,
}

/// One child of the supervision tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChildReport {
    /// Which one.
    pub id: String,
    /// The last incarnation that started.
    pub incarnation: u64,
    /// How often it came back up.
    pub restarts: u64,
    /// Where it is: down, waiting, starting, running or stopping.
    pub state: String,
}

/// The download window. Unit: blocks, but for the requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowReport {
    /// Requests open.
    pub requests: usize,
    /// Not asked yet.
    pub wanted_blocks: u64,
    /// Asked and not arrived.
    pub in_flight_blocks: u64,
    /// Being verified.
    pub verifying_blocks: u64,
    /// Verified and waiting for a lower one.
    pub held_blocks: u64,
    /// Given to the importer and not imported yet.
    pub released_blocks: u64,
    /// How often the front was asked of a second peer, since the scheduler started.
    pub hedges_sent: u64,
    /// How often the second peer was first.
    pub hedges_won: u64,
    /// Bytes of blocks received since the scheduler started that went on to verification.
    pub used_bytes: u64,
    /// Bytes that did not: they came twice, or late, or to learn how high a chain is.
    pub unused_bytes: u64,
}

/// What verification has done and cost. CPU time is zero where the system does not tell it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct VerificationReport {
    /// Blocks whose signature was checked.
    pub blocks: u64,
    /// Batches they were in.
    pub batches: u64,
    /// Products of pairings that took: one for each batch without an invalid signature.
    pub group_checks: u64,
    /// CPU time of reading blocks. Unit: seconds.
    pub scan_cpu_seconds: f64,
    /// CPU time of signatures. Unit: seconds.
    pub signature_cpu_seconds: f64,
    /// CPU time of the slot rule and of execution hashes. Unit: seconds.
    pub content_cpu_seconds: f64,
}

/// The byte budget. Unit: bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetReport {
    /// The limit.
    pub limit: u64,
    /// Held now.
    pub used: u64,
    /// The most that was ever held.
    pub peak: u64,
}

impl NodeReport {
    /// The report of `node` as of now. Waits a few seconds at most for children that do not answer,
    /// and goes on without them.
    pub async fn of(node: &Node, synthetic_payloads: bool) -> Self {
        let (children, window, listening) =
            tokio::join!(node.children(), node.window(), node.listening());
        let children = children.unwrap_or_default();
        Self {
            sync: node.status(),
            restarts: children.iter().map(|child| child.restarts).sum(),
            children: children.into_iter().map(ChildReport::from).collect(),
            window: window.ok().map(WindowReport::from),
            verification: node.verification().into(),
            budget: node.budget().into(),
            listening: listening.unwrap_or_default(),
            synthetic_payloads,
        }
    }
}

impl From<ChildView> for ChildReport {
    fn from(view: ChildView) -> Self {
        let state = match view.status {
            ChildStatus::Down => "down",
            ChildStatus::Waiting => "waiting",
            ChildStatus::Starting => "starting",
            ChildStatus::Running => "running",
            ChildStatus::Stopping => "stopping",
        };
        let ChildView { id, incarnation, restarts, .. } = view;
        Self { id: id.to_owned(), incarnation, restarts, state: state.to_owned() }
    }
}

impl From<WindowGauge> for WindowReport {
    fn from(gauge: WindowGauge) -> Self {
        Self {
            requests: gauge.requests,
            wanted_blocks: gauge.wanted_blocks,
            in_flight_blocks: gauge.in_flight_blocks,
            verifying_blocks: gauge.verifying_blocks,
            held_blocks: gauge.held_blocks,
            released_blocks: gauge.released_blocks,
            hedges_sent: gauge.hedges_sent,
            hedges_won: gauge.hedges_won,
            used_bytes: gauge.used_bytes,
            unused_bytes: gauge.unused_bytes,
        }
    }
}

impl From<VerificationGauge> for VerificationReport {
    fn from(gauge: VerificationGauge) -> Self {
        Self {
            blocks: gauge.blocks,
            batches: gauge.batches,
            group_checks: gauge.group_checks,
            scan_cpu_seconds: gauge.scan_cpu.as_secs_f64(),
            signature_cpu_seconds: gauge.signature_cpu.as_secs_f64(),
            content_cpu_seconds: gauge.content_cpu.as_secs_f64(),
        }
    }
}

impl From<BudgetGauge> for BudgetReport {
    fn from(gauge: BudgetGauge) -> Self {
        Self { limit: gauge.limit, used: gauge.used, peak: gauge.peak }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        coordinator::{FailureReason, Gate, Phase, Stall, StallReason},
        resilience::{CutSign, LinkCut},
        types::{BlockRoot, Height},
    };

    #[test]
    fn report_round_trips_as_json_in_every_phase() {
        let target = Height::new(9);
        let reason = FailureReason::NoUsablePeer { attempts: 30, banned: 0 };
        let retry_at = Duration::from_millis(1_500);
        for phase in [
            Phase::Idle,
            Phase::Discovering { attempts: 2 },
            Phase::DownloadingBlocks { target },
            Phase::Synced { head: target },
            Phase::Failed { reason, failures: 1, retry_at },
        ] {
            let report = NodeReport {
                sync: SyncStatus {
                    state_code: phase.code(),
                    phase,
                    failure: None,
                    genesis: BlockRoot::ZERO,
                    current_height: Height::new(u64::MAX),
                    head: BlockRoot::ZERO,
                    target_height: target,
                    target_given: false,
                    blocks_processed: 1,
                    blocks_failed: 0,
                    blocks_per_second: 0.5,
                    bytes_per_second: 0.0,
                    rate_window_seconds: 2.5,
                    eta_seconds: Some(8.0),
                    eta_low_seconds: Some(7.5),
                    eta_high_seconds: Some(9.0),
                    stalled: Some(Stall {
                        seconds: 4.5,
                        reason: StallReason::Turn { height: target },
                    }),
                    production: Gate::NotFollowing,
                    last_checkpoint: None,
                    usable_peers: 0,
                    link_cut: Some(LinkCut { sign: CutSign::Silence, seconds: 4.5 }),
                    peers: Vec::new(),
                },
                restarts: 1,
                children: Vec::new(),
                window: None,
                verification: VerificationGauge::default().into(),
                budget: BudgetReport { limit: 3, used: 2, peak: 3 },
                listening: vec!["/ip4/127.0.0.1/tcp/1".parse().unwrap()],
                synthetic_payloads: true,
            };
            let text = serde_json::to_string(&report).unwrap();
            assert_eq!(serde_json::from_str::<NodeReport>(&text).unwrap(), report, "{text}");
        }
    }
}
