//! Whether this node may produce blocks. Pure.
//!
//! The gate is open iff the node is synced, or catching up with both 99.5 % of the target and at
//! most ten blocks behind, the target is fresh, our link works, and the chain is not being set
//! back. A percentage alone would let a node produce fifty thousand blocks behind at a height of
//! ten million.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Phase;
use crate::types::Height;

/// Of the target, in thousandths, that must be imported.
const READY_PERMILLE: u64 = 995;
/// Blocks behind the target at most.
const READY_BEHIND_MAX: u64 = 10;
/// Slots within which a peer must have answered for the target to be fresh.
const FRESH_SLOTS: u32 = 3;

/// Whether the node may produce, and why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gate {
    /// It may.
    Open,
    /// Not syncing: idle, discovering, failed or paused; or the coordinator is down, or hangs.
    NotFollowing,
    /// Too far behind the target.
    Behind,
    /// Our own link is cut: what the network does is not known.
    LinkCut,
    /// The chain is being set back: its head is about to go.
    SettingBack,
    /// No peer answered lately, so the target may be old.
    Stale,
    /// All conditions hold, but not yet for a whole slot.
    Settling,
}

/// What the gate looks at.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) phase: &'a Phase,
    pub(super) head: Height,
    pub(super) target: Height,
    /// When a peer last answered a probe or a block was imported.
    pub(super) last_answer: Option<Duration>,
    pub(super) slot: Duration,
    pub(super) link_cut: bool,
    /// The chain is about to be set back.
    pub(super) setting_back: bool,
}

/// The gate with its memory: it opens after one slot of holding and closes at once.
#[derive(Debug, Default)]
pub(super) struct GateKeeper {
    holds_since: Option<Duration>,
}

impl GateKeeper {
    pub(super) fn look(&mut self, now: Duration, view: View<'_>) -> Gate {
        if let Some(closed) = closed(now, view) {
            self.holds_since = None;
            return closed;
        }
        let since = *self.holds_since.get_or_insert(now);
        if now.saturating_sub(since) >= view.slot { Gate::Open } else { Gate::Settling }
    }
}

fn closed(now: Duration, view: View<'_>) -> Option<Gate> {
    if view.setting_back {
        return Some(Gate::SettingBack);
    }
    let near = {
        let (head, target) = (u128::from(view.head.get()), u128::from(view.target.get()));
        1_000 * head >= u128::from(READY_PERMILLE) * target
            && view.target.blocks_above(view.head) <= READY_BEHIND_MAX
    };
    match view.phase {
        Phase::Idle | Phase::Discovering { .. } | Phase::Failed { .. } | Phase::Paused => {
            return Some(Gate::NotFollowing);
        }
        Phase::DownloadingBlocks { .. } => return Some(Gate::Behind),
        Phase::CatchingUp { .. } if !near => return Some(Gate::Behind),
        Phase::CatchingUp { .. } | Phase::Synced { .. } => {}
    }
    if view.link_cut {
        return Some(Gate::LinkCut);
    }
    let fresh = view
        .last_answer
        .is_some_and(|at| now.saturating_sub(at) <= view.slot.saturating_mul(FRESH_SLOTS));
    (!fresh).then_some(Gate::Stale)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOT: Duration = Duration::from_secs(5);

    fn look(gate: &mut GateKeeper, now: u64, phase: &Phase, head: u64, target: u64) -> Gate {
        let view = View {
            phase,
            head: Height::new(head),
            target: Height::new(target),
            last_answer: Some(Duration::from_secs(100)),
            slot: SLOT,
            link_cut: false,
            setting_back: false,
        };
        gate.look(Duration::from_secs(now), view)
    }

    #[test]
    fn opens_after_one_slot_and_closes_at_once() {
        let mut gate = GateKeeper::default();
        let synced = Phase::Synced { head: Height::new(9) };
        assert_eq!(look(&mut gate, 100, &synced, 9, 9), Gate::Settling);
        assert_eq!(look(&mut gate, 105, &synced, 9, 9), Gate::Open);
        assert_eq!(look(&mut gate, 106, &Phase::Paused, 9, 9), Gate::NotFollowing);
        assert_eq!(look(&mut gate, 107, &synced, 9, 9), Gate::Settling);
    }

    #[test]
    fn percentage_and_distance_must_both_hold() {
        let mut gate = GateKeeper::default();
        let phase = |target| Phase::CatchingUp { target: Height::new(target) };
        let far = 10_000_000;
        assert_eq!(look(&mut gate, 100, &phase(far), far - 11, far), Gate::Behind);
        assert_eq!(look(&mut gate, 100, &phase(100), 99, 100), Gate::Behind);
        assert_eq!(look(&mut gate, 100, &phase(far), far - 10, far), Gate::Settling);
    }

    #[test]
    fn closes_when_no_peer_answered_for_three_slots() {
        let mut gate = GateKeeper::default();
        let synced = Phase::Synced { head: Height::new(9) };
        assert_eq!(look(&mut gate, 115, &synced, 9, 9), Gate::Settling);
        assert_eq!(look(&mut gate, 116, &synced, 9, 9), Gate::Stale);
        let nobody = View {
            phase: &synced,
            head: Height::new(9),
            target: Height::new(9),
            last_answer: None,
            slot: SLOT,
            link_cut: false,
            setting_back: false,
        };
        assert_eq!(gate.look(Duration::ZERO, nobody), Gate::Stale);
    }

    #[test]
    fn closes_as_soon_as_the_chain_is_being_set_back_and_opens_a_slot_after() {
        let mut gate = GateKeeper::default();
        let synced = Phase::Synced { head: Height::new(9) };
        let view = |setting_back| View {
            phase: &synced,
            head: Height::new(9),
            target: Height::new(9),
            last_answer: Some(Duration::ZERO),
            slot: SLOT,
            link_cut: false,
            setting_back,
        };
        assert_eq!(gate.look(Duration::ZERO, view(false)), Gate::Settling);
        assert_eq!(gate.look(SLOT, view(false)), Gate::Open);
        assert_eq!(gate.look(SLOT, view(true)), Gate::SettingBack);
        assert_eq!(gate.look(SLOT, view(false)), Gate::Settling);
    }

    #[test]
    fn closes_while_our_own_link_is_cut() {
        let mut gate = GateKeeper::default();
        let synced = Phase::Synced { head: Height::new(9) };
        let view = |link_cut| View {
            phase: &synced,
            head: Height::new(9),
            target: Height::new(9),
            last_answer: Some(Duration::ZERO),
            slot: SLOT,
            link_cut,
            setting_back: false,
        };
        assert_eq!(gate.look(Duration::ZERO, view(false)), Gate::Settling);
        assert_eq!(gate.look(SLOT, view(true)), Gate::LinkCut);
        assert_eq!(gate.look(SLOT, view(false)), Gate::Settling);
    }
}
