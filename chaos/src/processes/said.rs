//! What a node that is a process of its own says, and what it can be told to do: a line each.

use std::collections::BTreeMap;

use alys_sync::{
    reputation::{PeerState, PeerStatus},
    resilience::BreakerTotals,
    scheduler::Settings,
    tree::Child,
    types::Height,
};
use serde::{Deserialize, Serialize};

/// From so many blocks on, a peer is at work. Unit: blocks. Source: more than a newcomer is tried
/// with.
const AT_WORK_BLOCKS: u64 = 64;

/// What the node says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Said {
    /// Its store is open.
    Opened {
        /// The head.
        height: Height,
    },
    /// The head failed its checks, and the store goes on from another block.
    Recovered {
        /// What was done, in the words of the log.
        told: String,
    },
    /// It knows where the network is, and downloads what it lacks.
    Downloads,
    /// Blocks up to this one are imported, which is a promise.
    Imported {
        /// The head.
        height: Height,
    },
    /// What it is short of has changed.
    Short {
        /// What, in the words of the status; nothing if it is short of nothing.
        of: Vec<String>,
    },
    /// It takes its own link for cut.
    LinkCut {
        /// In the words of the status.
        told: String,
    },
    /// The sync cannot go on now.
    Failed {
        /// Why, in the words of the status.
        why: String,
    },
    /// The sync has ended by itself, or never began.
    Ended {
        /// Why.
        why: String,
    },
    /// It is at its target: the head of the network, or what it was given.
    Synced {
        /// All blocks that it received since it started. Unit: bytes.
        received_bytes: u64,
    },
    /// A child that was struck is up again.
    Back {
        /// Its name.
        child: String,
        /// How long ago it was struck. Unit: milliseconds.
        away_ms: f64,
    },
    /// The answer to [`Order::Look`].
    Standing(Standing),
}

/// How everything stands at one moment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Standing {
    /// The highest imported block.
    pub(crate) height: Height,
    /// Everybody known.
    pub(crate) peers: Vec<PeerStatus>,
    /// By name, how many calls in a row peers have failed that failed the last.
    pub(crate) failures_in_row: BTreeMap<String, usize>,
    /// By name, the peers whose breakers are not closed.
    pub(crate) breakers_open: Vec<String>,
    /// How often breakers changed.
    pub(crate) breaker_totals: BreakerTotals,
    /// How often a second peer was asked for the front and was first.
    pub(crate) hedges_won: u64,
    /// What may be downloaded ahead. Unit: bytes.
    pub(crate) budget_bytes: u64,
    /// By name, how often each child was started.
    pub(crate) incarnations: BTreeMap<String, u64>,
}

impl Standing {
    /// The peer that is called `name`.
    pub(crate) fn peer(&self, name: &str) -> Option<&PeerStatus> {
        self.peers.iter().find(|peer| peer.peer == name)
    }

    /// Whether the peer that is called `name` is at work.
    pub(crate) fn has_delivered(&self, name: &str) -> bool {
        self.peer(name).is_some_and(|peer| peer.blocks >= AT_WORK_BLOCKS)
    }

    /// Whether failures of the peer that is called `name` are counted against it.
    pub(crate) fn counts_failures_of(&self, name: &str) -> bool {
        self.failures_in_row.contains_key(name)
            || self.peer(name).is_some_and(|peer| peer.failures > 0)
    }

    /// Whether the peer that is called `name` is held to be honest, and has failed no more than the
    /// requests that are open at once: what a moment costs in which the machine stands still.
    pub(crate) fn does_not_blame(&self, name: &str) -> bool {
        self.peer(name).is_some_and(|peer| {
            let open_max = Settings::default().requests_per_peer_max as u64;
            peer.ban.is_none() && peer.failed_blocks == 0 && peer.failures <= open_max
        })
    }

    /// Whether somebody is kept out.
    pub(crate) fn is_anybody_banned(&self) -> bool {
        self.peers.iter().any(|peer| peer.ban.is_some() || peer.state == PeerState::Banned)
    }

    /// How often `child` was started.
    pub(crate) fn incarnation(&self, child: Child) -> u64 {
        self.incarnations.get(child.id()).copied().unwrap_or_default()
    }
}

/// What the node can be told to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Order {
    /// Say how everything stands.
    Look,
    /// Strike a child of the tree, if it is up.
    Strike {
        /// Its name.
        child: String,
        /// How.
        blow: Blow,
    },
}

/// How a child is struck.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Blow {
    /// It is killed.
    Kill,
    /// A handler of it panics.
    Panic,
    /// A handler of it hangs.
    Hang,
}
