//! What the importer is told and tells.

use std::sync::Arc;

use ractor::RpcReplyPort;
use supervisors::Vital;

use super::batch::Stop;
use crate::{
    checkpoint::{Checkpoint, SetBack, SetBackRefused},
    consensus::LinkPoint,
    flow::Segment,
    ports::ChainError,
    types::{BlockRef, Height},
};

/// Messages to the importer.
pub enum ImporterMsg {
    /// Import this after everything imported before.
    Import {
        /// Verified blocks.
        segment: Arc<Segment>,
    },
    /// A transaction of the store ended.
    Committed {
        /// What was asked for.
        batch: Box<CommittedBatch>,
        /// How it ended.
        result: Result<BlockRef, ChainError>,
    },
    /// The scheduler was started: drop what an earlier one queued, and tell it the head.
    SchedulerStarted,
    /// The coordinator was started: tell it the head.
    CoordinatorStarted,
    /// Set the chain back to a checkpoint, once no transaction is under way.
    SetBack {
        /// Where to.
        order: SetBackOrder,
    },
    /// Setting the chain back ended.
    WasSetBack {
        /// How, and what the next block must link to now.
        result: Result<Result<(SetBack, LinkPoint), SetBackRefused>, ChainError>,
        /// Who is told.
        reply: RpcReplyPort<Result<SetBack, SetBackRefused>>,
    },
    /// The gate opened or closed.
    GateChanged,
    /// The present head.
    ReadHead {
        /// Where it goes.
        reply: RpcReplyPort<BlockRef>,
    },
    /// A sign of life is asked for.
    Vital(Vital),
}

impl From<Vital> for ImporterMsg {
    fn from(vital: Vital) -> Self {
        Self::Vital(vital)
    }
}

/// Which checkpoint to set the chain back to.
pub struct SetBackOrder {
    /// Its height.
    pub height: Height,
    /// All checkpoints: those at the height are compared with the chain, none is trusted.
    pub kept: Vec<Checkpoint>,
    /// Told what came of it, once it is durable.
    pub reply: RpcReplyPort<Result<SetBack, SetBackRefused>>,
}

/// What one transaction of the store was about.
pub struct CommittedBatch {
    /// What its last block asks of the next.
    pub tip: LinkPoint,
    /// How many blocks.
    pub blocks: u64,
    /// How many bytes of blocks.
    pub bytes: u64,
    /// Why it was not longer.
    pub stop: Option<Stop>,
}
