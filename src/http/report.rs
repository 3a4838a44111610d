//! What a node tells about itself.

use serde::{Deserialize, Serialize};
use supervisors::{ChildStatus, ChildView};

use crate::{
    checkpoint::Recovery,
    coordinator::SyncStatus,
    flow::BudgetGauge,
    node::Node,
    resilience::{BreakerState, BreakerStatus, BreakerTotals},
    scheduler::WindowGauge,
    types::Multiaddr,
    validation::VerificationGauge,
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
    pub window: Option<WindowGauge>,
    /// What verification has done and cost since the node started.
    pub verification: VerificationReport,
    /// The byte budget.
    pub budget: BudgetGauge,
    /// How it is chosen whom to ask.
    pub selection: String,
    /// The breakers.
    pub breakers: BreakersReport,
    /// Where peers can dial; empty while the network does not answer.
    pub listening: Vec<Multiaddr>,
    /// The chain's execution payloads are made up, so their hashes are not checked.
    pub synthetic_payloads: bool,
    /// What was done about a damaged head when the node started; none if it was whole.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub recovery: Option<Recovery>,
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

/// The breakers: which of them keep what fails from being asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BreakersReport {
    /// How often those of peers changed since the node started.
    pub of_peers: BreakerTotals,
    /// Those of peers that are not closed.
    pub not_closed: Vec<BreakerReport>,
    /// The one around what is read from the chain store for peers; none once the node has ended.
    pub serving: Option<BreakerState>,
}

/// The breaker of a peer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BreakerReport {
    /// Whose.
    pub peer: String,
    /// Where it is.
    pub state: BreakerState,
    /// Failures since the last success.
    pub failures_in_row: usize,
    /// How long it stays open. Unit: seconds.
    pub open_seconds: f64,
}

impl NodeReport {
    /// The report of `node` as of now. Waits ten seconds at most for children that do not answer,
    /// and goes on without them.
    pub async fn of(node: &Node, synthetic_payloads: bool, recovery: Option<&Recovery>) -> Self {
        let (children, window, listening) =
            tokio::join!(node.children(), node.window(), node.listening());
        let children = children.unwrap_or_default();
        Self {
            sync: node.status(),
            restarts: children.iter().map(|child| child.restarts).sum(),
            children: children.into_iter().map(ChildReport::from).collect(),
            window: window.ok(),
            verification: node.verification().into(),
            budget: node.budget(),
            selection: node.selection().name().to_owned(),
            breakers: BreakersReport::of(node),
            listening: listening.unwrap_or_default(),
            synthetic_payloads,
            recovery: recovery.cloned(),
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
            ChildStatus::Hung => "hung",
            ChildStatus::Stopping => "stopping",
        };
        let ChildView { id, incarnation, restarts, .. } = view;
        Self { id: id.to_owned(), incarnation, restarts, state: state.to_owned() }
    }
}

impl BreakersReport {
    fn of(node: &Node) -> Self {
        let all = node.breakers().into_iter();
        let not_closed = all.filter(|breaker| breaker.state != BreakerState::Closed);
        Self {
            of_peers: node.breaker_totals(),
            not_closed: not_closed.map(BreakerReport::from).collect(),
            serving: node.serving_breaker(),
        }
    }
}

impl From<BreakerStatus> for BreakerReport {
    fn from(status: BreakerStatus) -> Self {
        let BreakerStatus { peer, state, failures_in_row, open_for } = status;
        let (peer, open_seconds) = (peer.to_string(), open_for.as_secs_f64());
        Self { peer, state, failures_in_row, open_seconds }
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        checkpoint::{
            CheckpointCheck, CheckpointKind, Quarantine, RecoveredBy, SkipReason, SkippedCheckpoint,
        },
        coordinator::{FailureReason, Gate, Phase, Stall, StallReason},
        resilience::{CutSign, LinkCut},
        resources::Shortage,
        types::{BlockRef, BlockRoot, Height},
    };

    fn recovery() -> Recovery {
        let (from, root) = (Height::new(70), BlockRoot::ZERO);
        Recovery {
            from,
            damage: "its record is damaged".to_owned(),
            to: BlockRef { height: Height::new(50), root },
            by: RecoveredBy::Checkpoint { height: Height::new(50), kind: CheckpointKind::Stop },
            skipped: vec![
                SkippedCheckpoint { height: None, why: SkipReason::Damaged("how".to_owned()) },
                SkippedCheckpoint {
                    height: Some(from),
                    why: SkipReason::DoesNotHold(CheckpointCheck::OtherBlock { ours: root }),
                },
            ],
            quarantine: Some(Quarantine {
                dir: "quarantine/0001".to_owned(),
                bytes_kept: 3,
                bytes_dropped: 4,
            }),
        }
    }

    #[test]
    fn report_round_trips_as_json_in_every_phase() {
        let target = Height::new(9);
        let reason = FailureReason::NoUsablePeer { attempts: 30, banned: 0 };
        let retry_at = Some(Duration::from_millis(1_500));
        for phase in [
            Phase::Idle,
            Phase::Discovering { attempts: 2 },
            Phase::DownloadingBlocks { target },
            Phase::Synced { head: target },
            Phase::Failed { reason: reason.clone(), head: target, failures: 1, retry_at },
            Phase::Failed { reason, head: target, failures: 6, retry_at: None },
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
                    short_of: vec![Shortage::Disk { free: 1, needed: 2 }],
                    peers: Vec::new(),
                },
                restarts: 1,
                children: Vec::new(),
                window: Some(WindowGauge { requests: 3, ..WindowGauge::default() }),
                verification: VerificationGauge::default().into(),
                budget: BudgetGauge { limit: 3, used: 2, peak: 3 },
                selection: "adaptive".to_owned(),
                breakers: BreakersReport {
                    of_peers: BreakerTotals { opened: 2, half_opened: 1, closed: 1 },
                    not_closed: vec![BreakerReport {
                        peer: "a peer".to_owned(),
                        state: BreakerState::HalfOpen,
                        failures_in_row: 5,
                        open_seconds: 0.0,
                    }],
                    serving: Some(BreakerState::Closed),
                },
                listening: vec!["/ip4/127.0.0.1/tcp/1".parse().unwrap()],
                synthetic_payloads: true,
                recovery: Some(recovery()),
            };
            let text = serde_json::to_string(&report).unwrap();
            assert_eq!(serde_json::from_str::<NodeReport>(&text).unwrap(), report, "{text}");
        }
    }
}
