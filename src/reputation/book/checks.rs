//! Whether a peer serves our chain, which it is asked before anything else.

use std::time::Duration;

use super::{Action, PeerBook};
use crate::{
    ports::RequestError,
    reputation::{PeerState, ban::BanReason},
    resilience::{CHECK_AGAIN, ProbeAnswer},
    types::{BlockRoot, PeerId},
};

impl PeerBook {
    /// Peers whose chain is to be checked now. Each is returned once, until its check is
    /// answered.
    pub(in crate::reputation) fn due_checks(&mut self, now: Duration) -> Vec<PeerId> {
        let mut due = Vec::new();
        for (peer, record) in &mut self.records {
            if record.state == PeerState::Checking && !record.check_open && record.check_at <= now {
                record.check_open = true;
                due.push(*peer);
            }
        }
        due
    }

    /// The answer to the request for block 1: its parent is the peer's genesis.
    pub(in crate::reputation) fn checked(
        &mut self,
        now: Duration,
        peer: PeerId,
        answer: ProbeAnswer,
    ) -> Option<Action> {
        let genesis = self.genesis;
        let record = self.records.get_mut(&peer)?;
        record.check_open = false;
        if record.state != PeerState::Checking {
            return None;
        }
        match answer {
            ProbeAnswer::Block(block) if block.parent == genesis => {
                record.state = PeerState::Usable;
            }
            ProbeAnswer::Block(block) => return Some(self.other_chain(now, peer, block.parent)),
            // It is at genesis, keeps no history, or closes early: nothing against it.
            ProbeAnswer::Nothing => record.state = PeerState::Usable,
            ProbeAnswer::Fault { parent: Some(parent), .. } if parent != genesis => {
                return Some(self.other_chain(now, peer, parent));
            }
            ProbeAnswer::Fault { fault, .. } if fault.is_provable_lie() => {
                return Some(self.ban(now, peer, BanReason::Lies));
            }
            ProbeAnswer::Failed(RequestError::Unsupported) => {
                record.state = PeerState::Unsupported;
            }
            ProbeAnswer::Fault { .. } | ProbeAnswer::Failed(_) | ProbeAnswer::NoVerdict => {
                let pause = CHECK_AGAIN.first.saturating_mul(1 << record.check_failures.min(16));
                record.check_failures = record.check_failures.saturating_add(1);
                record.check_at = now + pause.min(CHECK_AGAIN.longest);
            }
        }
        None
    }

    fn other_chain(&mut self, now: Duration, peer: PeerId, genesis: BlockRoot) -> Action {
        if let Some(record) = self.records.get_mut(&peer) {
            record.state = PeerState::OtherChain { genesis };
            record.elsewhere_until = now + self.settings.ban;
        }
        Action::Disconnect(peer)
    }
}
