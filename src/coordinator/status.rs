//! What people and machines are shown of the sync.

use serde::{Deserialize, Serialize};

use super::{Gate, Phase, Stall};
use crate::{
    reputation::PeerStatus,
    resilience::LinkCut,
    resources::Shortage,
    types::{BlockRef, BlockRoot, Height},
};

/// The sync at one moment. Everything counts contiguous imported blocks, never through a hole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SyncStatus {
    /// Where the sync is.
    pub phase: Phase,
    /// The number that stands for the phase in metrics.
    pub state_code: u8,
    /// Why it failed, for people.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub failure: Option<String>,
    /// The root of the genesis block: which chain.
    pub genesis: BlockRoot,
    /// The highest imported block.
    pub current_height: Height,
    /// Its root.
    pub head: BlockRoot,
    /// The height to sync to; 0 while it is not known.
    pub target_height: Height,
    /// Whether the target was given by an operator rather than found.
    pub target_given: bool,
    /// Imported since the sync of this chain began, over all restarts: a node that starts counts on
    /// from its newest checkpoint. Unit: blocks.
    pub blocks_processed: u64,
    /// Delivered by peers and of no use: invalid, or of another height. Unit: blocks.
    pub blocks_failed: u64,
    /// Mean speed over the last [`rate_window_seconds`](Self::rate_window_seconds).
    pub blocks_per_second: f64,
    /// Mean speed over the same time.
    pub bytes_per_second: f64,
    /// Over how long the speeds were measured: about ten seconds, less at the start. Unit: seconds.
    pub rate_window_seconds: f64,
    /// Time to the target, by how the last minutes went. Unit: seconds; none without a target,
    /// while the sync stands still, and until enough was imported to tell.
    pub eta_seconds: Option<f64>,
    /// It is hardly sooner. Unit: seconds, at most `eta_seconds`; none with it.
    #[serde(default)]
    pub eta_low_seconds: Option<f64>,
    /// It is hardly later. Unit: seconds, at least `eta_seconds`; none with it. The true time is
    /// between the two in at least four of five cases.
    #[serde(default)]
    pub eta_high_seconds: Option<f64>,
    /// Set while nothing is imported although blocks are missing.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub stalled: Option<Stall>,
    /// Whether the node may produce blocks, and why not.
    pub production: Gate,
    /// Height of the newest checkpoint; none yet.
    pub last_checkpoint: Option<Height>,
    /// How many peers may be asked.
    pub usable_peers: usize,
    /// Set while our own link is taken for cut: nobody is blamed for not answering.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub link_cut: Option<LinkCut>,
    /// What the machine is short of, and what is held back because of it.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub short_of: Vec<Shortage>,
    /// Everybody known.
    pub peers: Vec<PeerStatus>,
}

impl SyncStatus {
    /// Of a sync of the chain that begins with the block `genesis` and has come to `head`, before
    /// anything is known.
    pub(crate) fn at_start(genesis: BlockRoot, head: BlockRef) -> Self {
        Self {
            phase: Phase::Idle,
            state_code: Phase::Idle.code(),
            failure: None,
            genesis,
            current_height: head.height,
            head: head.root,
            target_height: Height::GENESIS,
            target_given: false,
            blocks_processed: 0,
            blocks_failed: 0,
            blocks_per_second: 0.0,
            bytes_per_second: 0.0,
            rate_window_seconds: 0.0,
            eta_seconds: None,
            eta_low_seconds: None,
            eta_high_seconds: None,
            stalled: None,
            production: Gate::NotFollowing,
            last_checkpoint: None,
            usable_peers: 0,
            link_cut: None,
            short_of: Vec::new(),
            peers: Vec::new(),
        }
    }
}
