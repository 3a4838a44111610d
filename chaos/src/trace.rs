//! What happened in a run, in order, and a hash of all of it.

use std::{
    fmt::Write as _,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use alys_sync::{
    flow::BudgetGauge,
    tree::Child,
    types::{BlockRef, Height, HeightRange},
};
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use crate::plan::Way;

/// One of the simulated peers, by its place in the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PeerIndex(pub usize);

/// One thing that happened. Heights are of blocks, incarnations count from 1.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the line above a variant says what its fields are")]
pub enum Event {
    /// A connection came up.
    Connected { peer: PeerIndex },
    /// A peer closed its connection.
    Left { peer: PeerIndex },
    /// The node closed the connection to a peer.
    DroppedByNode { peer: PeerIndex },
    /// The node asked a peer.
    Asked { peer: PeerIndex, request: u64, range: HeightRange },
    /// A whole block was handed to the node.
    Delivered { peer: PeerIndex, request: u64, lie: bool },
    /// A reply is over, for the node too: it was read as a whole, or dropped before.
    ReplyOver { peer: PeerIndex, request: u64, whole: bool },
    /// The store took blocks.
    Appended { first: Height, last: Height },
    /// The store refused blocks.
    AppendRefused { first: Option<Height> },
    /// A child was struck down; `segments` were in flight, in verification or waiting for import.
    Struck { child: Child, way: Way, incarnation: u64, segments: usize },
    /// A blow found nobody to strike.
    Missed { child: Child, way: Way },
    /// The supervisor says that an incarnation of a child hangs.
    Hung { child: &'static str, incarnation: u64 },
    /// An incarnation of a child is up.
    Started { child: &'static str, incarnation: u64 },
    /// An incarnation of a child has ended.
    Exited { child: &'static str, incarnation: u64 },
    /// A restart, with the number of them in the supervisor's period.
    Restarting { child: &'static str, in_period: u32 },
    /// The supervisor gave up, or the tree ended in another way before it was told to.
    TreeEnded,
    /// What the node shows.
    Status { phase: &'static str, height: Height, usable_peers: usize },
    /// What the scheduler says is under way: requests, and blocks in verification and import.
    Window { requests: usize, verifying: u64, importing: u64 },
    /// All faults are over.
    Healed,
    /// Nothing gets through to the first `peers` peers from now on.
    Cut { peers: usize },
    /// The way to peers is back.
    LinkBack,
    /// The node says, or says no longer, that its own link is cut.
    Partition { told: bool },
    /// What the node thinks of a peer: its score, in thousandths, and whether it is kept out.
    Judged { peer: PeerIndex, score: u16, banned: bool },
    /// The node says synced, with its head.
    Synced { head: BlockRef },
    /// The node did not become synced to the true head in its time.
    GaveUp { head: BlockRef },
    /// The node is told to stop; `used` is what the budget still holds, in bytes.
    ShuttingDown { used: u64 },
    /// After the shutdown: the budget, tasks still alive and replies still open.
    Ended { budget: BudgetGauge, tasks: usize, replies: usize },
}

/// An event and when it happened, as virtual time since the start of the run.
#[derive(Debug, Clone, PartialEq)]
pub struct Stamped {
    /// When.
    pub at: Duration,
    /// What.
    pub event: Event,
}

/// Collects events. Clones share them.
#[derive(Clone)]
pub struct Trace {
    start: Instant,
    events: Arc<Mutex<Vec<Stamped>>>,
}

impl Trace {
    /// An empty trace that starts now. Call it inside a tokio runtime.
    pub fn start() -> Self {
        Self { start: Instant::now(), events: Arc::default() }
    }

    /// Adds what happened now.
    pub fn record(&self, event: Event) {
        let at = self.now();
        self.lock().push(Stamped { at, event });
    }

    /// Virtual time since the start.
    pub fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// All events so far.
    pub fn events(&self) -> Vec<Stamped> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Stamped>> {
        // One push at a time: a panic elsewhere cannot have left half of one.
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The SHA-256 of all events with their times, in hexadecimal.
pub fn hash(events: &[Stamped]) -> String {
    let mut hasher = Sha256::new();
    for Stamped { at, event } in events {
        hasher.update(format!("{} {event:?}\n", at.as_nanos()));
    }
    hasher.finalize().iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
