//! What the checkpoint store is told and asked.

use ractor::RpcReplyPort;

use super::{Checkpoint, RunState};
use crate::{ports::ChainError, types::Height};

/// Messages to the checkpoint store.
pub enum CheckpointMsg {
    /// The head is now here.
    HeadMoved {
        /// The height of the head.
        head: Height,
    },
    /// Remember what was commanded.
    Remember {
        /// The command.
        run: RunState,
    },
    /// What was remembered.
    ReadRunState {
        /// Where it goes.
        reply: RpcReplyPort<Result<Option<RunState>, ChainError>>,
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
