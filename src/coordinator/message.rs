//! What the coordinator is told and asked.

use ractor::RpcReplyPort;
use supervisors::Vital;

use super::{Refused, SyncStatus};
use crate::{
    importer::Refusal,
    reputation::PeerView,
    resilience::ProbeAnswer,
    resources::Shortage,
    scheduler::Front,
    types::{BlockRef, Height, PeerId},
};

/// What an operator or the embedding node may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Sync, to the given height or to the head of the network and stay there.
    Start {
        /// Where to end.
        target: Option<Height>,
    },
    /// Hold.
    Pause,
    /// Go on.
    Resume,
    /// End; a later start begins at the head.
    Stop,
}

/// Messages to the coordinator.
pub enum CoordinatorMsg {
    /// A command.
    Command {
        /// Which.
        command: Command,
        /// Whether it was done.
        reply: RpcReplyPort<Result<(), Refused>>,
    },
    /// The status as of now.
    ReadStatus {
        /// Where it goes.
        reply: RpcReplyPort<SyncStatus>,
    },
    /// The head, as the importer read it.
    HeadRead {
        /// The head.
        head: BlockRef,
    },
    /// The chain is about to be set back.
    SettingBack,
    /// The chain was set back, as an operator asked.
    SetBack {
        /// The head.
        head: BlockRef,
    },
    /// Blocks were imported.
    Imported {
        /// The new head.
        head: BlockRef,
        /// How many blocks.
        blocks: u64,
        /// How many bytes.
        bytes: u64,
    },
    /// A block does not continue our chain.
    ImportRefused {
        /// Which, whose and why.
        refusal: Refusal,
    },
    /// The peers changed.
    PeersChanged {
        /// All of them.
        view: PeerView,
    },
    /// What the machine is short of.
    ShortOf {
        /// All of it.
        shortages: Vec<Shortage>,
    },
    /// A probe was answered.
    Probed {
        /// By whom.
        peer: PeerId,
        /// Which height was asked for.
        height: Height,
        /// What came.
        answer: ProbeAnswer,
    },
    /// The scheduler was started and knows no window.
    SchedulerStarted,
    /// Where the scheduler says that the front is; none if it does not answer.
    FrontRead {
        /// Where.
        front: Option<Front>,
    },
    /// A checkpoint was made.
    CheckpointMade {
        /// Its height.
        height: Height,
    },
    /// Time passed.
    Tick,
    /// A sign of life is asked for.
    Vital(Vital),
}

impl From<Vital> for CoordinatorMsg {
    fn from(vital: Vital) -> Self {
        Self::Vital(vital)
    }
}
