//! What the checkpoint store is told and asked.

use ractor::RpcReplyPort;
use supervisors::Vital;

use super::Checkpoint;
use crate::{
    ports::ChainError,
    reputation::StoredPeer,
    types::{Height, PeerId},
};

/// Messages to the checkpoint store.
pub enum CheckpointMsg {
    /// The head is now here.
    HeadMoved {
        /// The height of the head.
        head: Height,
    },
    /// Make a checkpoint of the head.
    Create {
        /// Where it goes.
        reply: RpcReplyPort<Result<Checkpoint, ChainError>>,
    },
    /// All checkpoints, in order of height.
    List {
        /// Where they go.
        reply: RpcReplyPort<Result<Vec<Checkpoint>, ChainError>>,
    },
    /// What is stored of peers.
    ReadPeers {
        /// Where it goes.
        reply: RpcReplyPort<Result<Vec<StoredPeer>, ChainError>>,
    },
    /// Store what is known of peers.
    StorePeers {
        /// Records over those that are there.
        changed: Vec<StoredPeer>,
        /// Whose are to go.
        forgotten: Vec<PeerId>,
        /// Told when it would survive a power loss.
        reply: RpcReplyPort<Result<(), ChainError>>,
    },
    /// Work on the disk ended.
    Done {
        /// What was made.
        made: Result<Option<Checkpoint>, ChainError>,
    },
    /// A sign of life is asked for.
    Vital(Vital),
}

impl From<Vital> for CheckpointMsg {
    fn from(vital: Vital) -> Self {
        Self::Vital(vital)
    }
}
