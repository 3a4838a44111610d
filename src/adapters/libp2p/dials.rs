//! Dials under way. The addresses of one peer are dialled together, one dial for each transport,
//! and have one outcome.

use std::collections::BTreeMap;

use libp2p::{Multiaddr, PeerId, swarm::ConnectionId};

use crate::types::Transport;

/// Addresses that were to be dialled, and why they could not be.
pub(super) struct FailedDial {
    pub(super) addresses: Vec<Multiaddr>,
    pub(super) reason: String,
}

/// What was dialled together.
struct Group {
    addresses: Vec<Multiaddr>,
    under_way: usize,
    reasons: Vec<String>,
}

/// Names what was dialled together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct GroupId(u64);

struct Dial {
    /// None when the outcome is of interest to nobody.
    group: Option<GroupId>,
    peer: Option<PeerId>,
    transport: Option<Transport>,
}

/// The dials under way.
#[derive(Default)]
pub(super) struct Dials {
    dials: BTreeMap<ConnectionId, Dial>,
    groups: BTreeMap<GroupId, Group>,
    next: u64,
}

impl Dials {
    /// These addresses are going to be dialled together.
    pub(super) fn group(&mut self, addresses: Vec<Multiaddr>) -> GroupId {
        let id = GroupId(self.next);
        self.next += 1;
        self.groups.insert(id, Group { addresses, under_way: 0, reasons: Vec::new() });
        id
    }

    /// A dial began.
    pub(super) fn began(
        &mut self,
        group: Option<GroupId>,
        connection: ConnectionId,
        (peer, transport): (Option<PeerId>, Option<Transport>),
    ) {
        if let Some(group) = group.and_then(|group| self.groups.get_mut(&group)) {
            group.under_way += 1;
        }
        self.dials.insert(connection, Dial { group, peer, transport });
    }

    /// A part of the group cannot be dialled.
    pub(super) fn refused(&mut self, group: GroupId, reason: String) {
        if let Some(group) = self.groups.get_mut(&group) {
            group.reasons.push(reason);
        }
    }

    /// All dials of the group that could begin have begun. Its outcome, if none did.
    pub(super) fn all_begun(&mut self, group: GroupId) -> Option<FailedDial> {
        self.outcome(group)
    }

    /// Whether `peer` is being dialled over `transport`.
    pub(super) fn is_under_way(&self, peer: PeerId, transport: Option<Transport>) -> bool {
        self.dials.values().any(|dial| dial.peer == Some(peer) && dial.transport == transport)
    }

    /// A dial made a connection: the others of its group may fail in silence. Returns what was
    /// dialled together.
    pub(super) fn connected(&mut self, connection: ConnectionId) -> Vec<Multiaddr> {
        let group = self.dials.remove(&connection).and_then(|dial| dial.group);
        let group = group.and_then(|group| self.groups.remove(&group));
        group.map(|group| group.addresses).unwrap_or_default()
    }

    /// A dial failed. The outcome of its group, if it was the last.
    pub(super) fn failed(
        &mut self,
        connection: ConnectionId,
        reason: String,
    ) -> Option<FailedDial> {
        let id = self.dials.remove(&connection)?.group?;
        let group = self.groups.get_mut(&id)?;
        group.under_way -= 1;
        group.reasons.push(reason);
        self.outcome(id)
    }

    fn outcome(&mut self, id: GroupId) -> Option<FailedDial> {
        if self.groups.get(&id)?.under_way > 0 {
            return None;
        }
        let Group { addresses, reasons, .. } = self.groups.remove(&id)?;
        Some(FailedDial { addresses, reason: reasons.join("; ") })
    }
}
