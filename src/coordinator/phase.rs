//! Where the sync is, and which moves are legal. Pure.
//!
//! ```text
//!            start                peer                 near            at target
//!   Idle ───────────> Discovering ────> DownloadingBlocks ──> CatchingUp ──────> Synced
//!    ^                   │    ^              │   ^               │   ^              │
//!    │ stop          no  │    │ retry        │   └───────────────┘   └──────────────┘
//!    │ (from any)   peer v    │              v far again              network grew
//!    └──────────────── Failed ┴──────────────┘ diverged
//!
//!   any but Idle and Paused ── pause ──> Paused ── resume ──> Discovering
//!   any but Idle and Paused ── the chain was set back ──> Discovering
//! ```

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::types::{BlockRoot, Height};

/// Behind by at most this, the sync is catching up. Unit: blocks. Two minutes of slots. Too low:
/// the state flaps. Too high: it says little.
pub(super) const CATCH_UP_BLOCKS: u64 = 24;

/// Where the sync is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum Phase {
    /// Not asked to sync.
    Idle,
    /// Looking for peers, and for how high the chain is.
    Discovering {
        /// Looks taken.
        attempts: u32,
    },
    /// Far behind the target.
    DownloadingBlocks {
        /// Where to.
        target: Height,
    },
    /// A few blocks behind the target.
    CatchingUp {
        /// Where to.
        target: Height,
    },
    /// At the target; nobody has more.
    Synced {
        /// The head.
        head: Height,
    },
    /// Cannot go on now.
    Failed {
        /// Why.
        reason: FailureReason,
        /// The last good block: what is below stays.
        head: Height,
        /// Failures in a row.
        failures: u32,
        /// When it tries again by itself, as time of the node's clock. None: it has done so as
        /// often as it may, and waits for a peer that was not there or for a command.
        retry_at: Option<Duration>,
    },
    /// Held by an operator.
    Paused,
}

/// Why a sync cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case", tag = "reason")]
pub enum FailureReason {
    /// No usable peer within the attempts.
    #[error("no usable peer after {attempts} attempts{}", kept_out(*banned))]
    NoUsablePeer {
        /// How many.
        attempts: u32,
        /// Peers that were found and are kept out for provable lies.
        banned: usize,
    },
    /// The only peers found are on another chain.
    #[error(
        "the peers found serve another chain: {peer} has genesis {theirs}, ours is {ours}; check \
         --genesis and --bootnode"
    )]
    OtherChain {
        /// One of them.
        peer: String,
        /// Its genesis.
        theirs: BlockRoot,
        /// Our genesis.
        ours: BlockRoot,
    },
    /// No peer has a block that continues our chain.
    #[error("no peer's block {at} continues our chain: our head is on a fork that nobody shares")]
    Diverged {
        /// The height of the block that does not fit.
        at: Height,
    },
}

/// All peers lying is less likely than rules of another network.
fn kept_out(banned: usize) -> String {
    if banned == 0 {
        return String::new();
    }
    format!(
        "; {banned} were found whose blocks are not valid under our rules: if you trust them, \
         check --chain-spec"
    )
}

impl Phase {
    /// The name, as in status and logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Discovering { .. } => "discovering",
            Self::DownloadingBlocks { .. } => "downloading_blocks",
            Self::CatchingUp { .. } => "catching_up",
            Self::Synced { .. } => "synced",
            Self::Failed { .. } => "failed",
            Self::Paused => "paused",
        }
    }

    /// The number that stands for it in metrics. 2 is kept for downloading headers, which no peer
    /// of today serves.
    pub fn code(&self) -> u8 {
        match self {
            Self::Idle => 0,
            Self::Discovering { .. } => 1,
            Self::DownloadingBlocks { .. } => 3,
            Self::CatchingUp { .. } => 4,
            Self::Synced { .. } => 5,
            Self::Failed { .. } => 6,
            Self::Paused => 7,
        }
    }

    /// Whether blocks may be asked for.
    pub(super) fn is_active(&self) -> bool {
        match self {
            Self::Discovering { .. }
            | Self::DownloadingBlocks { .. }
            | Self::CatchingUp { .. }
            | Self::Synced { .. } => true,
            Self::Idle | Self::Failed { .. } | Self::Paused => false,
        }
    }

    /// Whether it is known how far there is to go.
    pub(super) fn has_target(&self) -> bool {
        match self {
            Self::DownloadingBlocks { .. } | Self::CatchingUp { .. } | Self::Synced { .. } => true,
            Self::Idle | Self::Discovering { .. } | Self::Failed { .. } | Self::Paused => false,
        }
    }

    /// The phase of an active sync whose head and target are these.
    pub(super) fn between(head: Height, target: Height, confirmed: bool) -> Self {
        match target.blocks_above(head) {
            0 if confirmed => Self::Synced { head },
            behind if behind <= CATCH_UP_BLOCKS => Self::CatchingUp { target },
            _ => Self::DownloadingBlocks { target },
        }
    }
}

/// A command that makes no sense now. Nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{command} is not possible while {phase}: {fix}")]
pub struct Refused {
    /// What was asked.
    pub command: &'static str,
    /// The phase it was asked in.
    pub phase: &'static str,
    /// What would work.
    pub fix: &'static str,
}
