//! What the checkpoint store is told and asked.

use ractor::RpcReplyPort;

use super::Checkpoint;
use crate::{ports::ChainError, types::Height};

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
    /// Work on the disk ended.
    Done {
        /// What was made.
        made: Result<Option<Checkpoint>, ChainError>,
    },
}
