//! What the scheduler is told.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use ractor::RpcReplyPort;
use supervisors::Vital;

use super::{Front, WindowGauge, policy::ReplyEnd};
use crate::{
    flow::{RequestId, Segment},
    importer::Refusal,
    selection::Standing,
    types::{Height, HeightRange, PeerId},
};

/// Messages to the download scheduler.
pub enum SchedulerMsg {
    /// Blocks from `next` to `last` are needed; everything below `next` is imported.
    SetWindow {
        /// Lowest height needed.
        next: Height,
        /// Highest height needed.
        last: Height,
    },
    /// No more blocks are needed: give up what is in flight.
    CloseWindow,
    /// All peers that may be asked.
    UsablePeers {
        /// What reputation tells of each.
        peers: BTreeMap<PeerId, Standing>,
        /// Those kept out for lies: nothing of them is worth verifying.
        banned: BTreeSet<PeerId>,
    },
    /// The chain's head is now here.
    Imported {
        /// The height of the head.
        head: Height,
    },
    /// A released block does not continue the chain; all below it are imported.
    ImportRefused {
        /// Which block, whose, and why.
        refusal: Refusal,
    },
    /// The importer holds nothing of what was released above its head.
    ImporterStarted {
        /// The height of the head.
        head: Height,
    },
    /// The chain was set back: everything above its head is to be downloaded again.
    SetBack {
        /// The height of the head.
        head: Height,
    },
    /// What a fetch task reports.
    Fetch {
        /// Of which request.
        request: RequestId,
        /// What happened.
        report: FetchReport,
    },
    /// Time passed.
    Tick,
    /// Where the front is.
    ReadFront {
        /// Where the answer goes.
        reply: RpcReplyPort<Front>,
    },
    /// The figures of the window.
    ReadGauge {
        /// Where they go.
        reply: RpcReplyPort<WindowGauge>,
    },
    /// A sign of life is asked for.
    Vital(Vital),
}

impl From<Vital> for SchedulerMsg {
    fn from(vital: Vital) -> Self {
        Self::Vital(vital)
    }
}

/// What a fetch task reports. `Settled` comes last, whatever happened.
pub enum FetchReport {
    /// These blocks arrived and are being verified.
    Arrived {
        /// Their heights.
        range: HeightRange,
        /// Their size.
        bytes: u64,
    },
    /// The verdict on blocks that arrived.
    Verified {
        /// Their heights.
        range: HeightRange,
        /// Those that passed.
        segments: Vec<Arc<Segment>>,
    },
    /// The reply is over.
    Ended {
        /// How.
        end: ReplyEnd,
    },
    /// Nothing more will come.
    Settled,
}
