//! What the checkpoint store is told and asked.

use ractor::RpcReplyPort;
use supervisors::Vital;

use super::{CheckedCheckpoint, CheckedJournal, Checkpoint, KeepError};
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
    /// The chain is about to be set back: nothing above this was lost if it does not come back.
    GiveUpAbove {
        /// The height of the head that is to be.
        height: Height,
        /// Told when it would survive a power loss.
        reply: RpcReplyPort<Result<(), KeepError>>,
    },
    /// The chain was set back: what is above this is not in it any more.
    SetBack {
        /// The height of the head.
        head: Height,
    },
    /// The sync was told to stop: make a checkpoint of the head, unless that is genesis.
    SyncStopped {
        /// Told when it would survive a power loss.
        reply: RpcReplyPort<Result<(), KeepError>>,
    },
    /// Make a checkpoint of the head, by hand.
    Create {
        /// Where it goes.
        reply: RpcReplyPort<Result<Checkpoint, KeepError>>,
    },
    /// All checkpoints, in order of height.
    List {
        /// Where they go.
        reply: RpcReplyPort<Result<Vec<Checkpoint>, KeepError>>,
    },
    /// All checkpoints, each compared with the chain.
    Check {
        /// Where they go.
        reply: RpcReplyPort<Result<CheckedJournal, KeepError>>,
    },
    /// Take in claims that were brought from elsewhere.
    TakeIn {
        /// Which.
        claims: Vec<Checkpoint>,
        /// Where goes what came of each.
        reply: RpcReplyPort<Result<Vec<CheckedCheckpoint>, KeepError>>,
    },
    /// Forget a checkpoint that was made by hand.
    Remove {
        /// Its height.
        height: Height,
        /// Told whether there was one.
        reply: RpcReplyPort<Result<bool, KeepError>>,
    },
    /// What is stored of peers.
    ReadPeers {
        /// Where it goes.
        reply: RpcReplyPort<Result<Vec<StoredPeer>, KeepError>>,
    },
    /// Store what is known of peers.
    StorePeers {
        /// Records over those that are there.
        changed: Vec<StoredPeer>,
        /// Whose are to go.
        forgotten: Vec<PeerId>,
        /// Told when it would survive a power loss.
        reply: RpcReplyPort<Result<(), KeepError>>,
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
