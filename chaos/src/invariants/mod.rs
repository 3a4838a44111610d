//! What must hold of every trace, a file each. All of them are functions of the trace and of a few
//! facts of the plan, so that each can be shown to fail.
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "an invariant is about few events, and a new one concerns those that name it"
)]

mod children_back;
mod disk_respected;
mod height_rises;
mod honest_kept;
mod imported_once;
mod liars_out;
mod nothing_left;
mod permits_conserved;
mod ranges_kept;
mod requests_bounded;
mod restarts_explained;
mod sync_completes;
mod window_true;

use std::time::Duration;

use alys_sync::types::{BlockRef, Height};

pub use children_back::{BACK_WITHIN, Fall, NOTICED_WITHIN, falls};
pub use honest_kept::{dropped, thrown_out_without_a_lie};
pub use imported_once::imported_twice;
pub use liars_out::{BAD_REPLIES_MAX, LiarsSeen, liars_seen};
pub use ranges_kept::{LEFT_ALONE_MAX, left_alone};

use crate::{
    adversaries::Role,
    plan::{Plan, Pressure},
    trace::{PeerIndex, Stamped},
};

/// What the oracle knows beside the trace.
#[derive(Debug, Clone)]
pub struct Facts {
    /// What each peer is.
    pub roles: Vec<Role>,
    /// The height that the node has from the start.
    pub start: Height,
    /// The last block of the chain that honest peers serve.
    pub head: BlockRef,
    /// The limit of the byte budget with its stated overdraw. Unit: bytes.
    pub peak_bytes_max: u64,
    /// When the machine is short of something.
    pub pressures: Vec<Pressure>,
    /// How far beyond its head the node downloads. Unit: blocks.
    pub window: u64,
}

/// What a block is taken for before sizes are measured, and more than the blocks of the generated
/// chain have. Unit: bytes.
const BLOCK_BYTES: u64 = 4_096;

/// Blocks that a request reserves beyond those it asks for.
const RESERVE_BLOCKS: u64 = 2;

impl Facts {
    /// The facts of a run of `plan` on a chain with this head.
    pub fn of(plan: &Plan, head: BlockRef, taken_for_honest: Option<PeerIndex>) -> Self {
        let mut roles: Vec<_> = plan.peers.iter().map(|peer| peer.role).collect();
        if let Some(role) = taken_for_honest.and_then(|peer| roles.get_mut(peer.0)) {
            *role = Role::Honest;
        }
        // Over the limit the front gets its request all the same, and each peer may be probed, by
        // reputation and by the coordinator, with a block each.
        let front = plan.config.download.batch_size_max + RESERVE_BLOCKS;
        let probes = 2 * plan.peers.len() as u64;
        let peak_bytes_max = plan.config.memory_bytes + (front + probes) * BLOCK_BYTES;
        let pressures = plan.pressures.clone();
        let window = plan.config.download.window_blocks;
        Self { roles, start: plan.start, head, peak_bytes_max, pressures, window }
    }

    /// Whether a peer sends what no honest peer can have.
    pub fn is_liar(&self, peer: PeerIndex) -> bool {
        self.roles.get(peer.0).is_some_and(|role| role.is_liar())
    }
}

/// An invariant that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{invariant} at {at:?}: {what}")]
pub struct Broken {
    /// Which: the name of its file.
    pub invariant: &'static str,
    /// Since when, in virtual time.
    pub at: Duration,
    /// What happened, for people.
    pub what: String,
}

/// One invariant.
pub type Invariant = fn(&Facts, &[Stamped]) -> Result<(), Broken>;

/// All invariants.
pub const ALL: [Invariant; 13] = [
    sync_completes::check,
    imported_once::check,
    permits_conserved::check,
    honest_kept::check,
    liars_out::check,
    children_back::check,
    ranges_kept::check,
    height_rises::check,
    restarts_explained::check,
    requests_bounded::check,
    nothing_left::check,
    disk_respected::check,
    window_true::check,
];

/// Checks all of them.
pub fn check_all(facts: &Facts, events: &[Stamped]) -> Vec<Broken> {
    ALL.iter().filter_map(|check| check(facts, events).err()).collect()
}

fn broken(invariant: &'static str, at: Duration, what: impl Into<String>) -> Result<(), Broken> {
    Err(Broken { invariant, at, what: what.into() })
}

/// When the trace ends.
fn end_of(events: &[Stamped]) -> Duration {
    events.last().map_or(Duration::ZERO, |last| last.at)
}

#[cfg(test)]
mod tests;
