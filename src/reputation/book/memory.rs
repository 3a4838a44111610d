//! What is remembered of peers: over a restart, and how many of them.

use std::time::Duration;

use super::{Action, PeerBook};
use crate::{
    reputation::{PeerState, record::StoredPeer},
    types::PeerId,
};

/// Peers remembered while not connected. Unit: peers. Too low: bans are forgotten. Too high:
/// memory that anybody with many identities can fill.
pub(super) const REMEMBERED_MAX: usize = 1_024;

impl PeerBook {
    /// Takes in what was stored before the start, under what was seen since; who must go.
    pub(in crate::reputation) fn restore(
        &mut self,
        now: Duration,
        stored: Vec<StoredPeer>,
    ) -> Vec<Action> {
        let mut actions = Vec::new();
        for stored in stored {
            let Some((peer, mut record)) = stored.restore(now, &self.settings) else {
                tracing::warn!("a stored peer has impossible figures and is not used");
                continue;
            };
            let banned = record.is_banned(now);
            if let Some(present) = self.records.remove(&peer) {
                record.address = present.address;
                record.state = if banned { PeerState::Banned } else { present.state };
                record.check_at = present.check_at;
                record.check_open = present.check_open;
                actions.extend(banned.then_some(Action::Disconnect(peer)));
            }
            self.records.insert(peer, record);
        }
        self.forget(now);
        actions
    }

    /// What is to be stored, each change once: who changed, and who was forgotten.
    pub(in crate::reputation) fn take_changes(&mut self) -> (Vec<StoredPeer>, Vec<PeerId>) {
        let changed = self.records.iter_mut().filter(|(_, record)| record.changed);
        let stored = changed.map(|(peer, record)| {
            record.changed = false;
            record.stored(*peer)
        });
        (stored.collect(), std::mem::take(&mut self.forgotten))
    }

    /// Records of these were not stored: they are still to be.
    pub(in crate::reputation) fn not_stored(&mut self, peers: &[PeerId]) {
        for peer in peers {
            if let Some(record) = self.records.get_mut(peer) {
                record.changed = true;
            }
        }
    }

    /// Keeps the memory bounded. First goes who is of no use now and delivered least, and then, if
    /// there are none of those, who will be let in again soonest.
    pub(super) fn forget(&mut self, now: Duration) {
        while self.records.len() > REMEMBERED_MAX {
            let forgettable = self.records.iter().filter(|(_, record)| {
                matches!(
                    record.state,
                    PeerState::Gone | PeerState::OtherChain { .. } | PeerState::Banned
                )
            });
            let least = forgettable
                .min_by_key(|(peer, record)| {
                    let banned_until = record.figures.ban.map_or(Duration::ZERO, |ban| ban.until);
                    (record.is_banned(now), banned_until.max(now), record.figures.blocks, **peer)
                })
                .map(|(peer, _)| *peer);
            let Some(least) = least else { return };
            self.records.remove(&least);
            self.forgotten.push(least);
        }
    }
}
