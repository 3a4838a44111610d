//! Dials under way. The addresses of one peer are dialled together, one dial for each transport,
//! and have one outcome. Pure.

use std::{collections::BTreeMap, time::Duration};

use libp2p::{Multiaddr, PeerId, swarm::ConnectionId};

use crate::types::Transport;

/// Dials of one peer over one transport at once. Unit: dials. The second is for when the first
/// hangs: its first packet was lost, or sent while the link was cut, and is repeated ever more
/// seldom. If too low: such a peer is reached seconds later. If too high: a host that is down holds
/// the places of others among the handshakes.
const DIALS_AT_ONCE_MAX: usize = 2;

/// How long a dial must have been under way for a second one to begin. Unit: time. Source: TCP
/// repeats its first packet after one second, and after two more. If too low: two connections where
/// one will do. If too high: see [`DIALS_AT_ONCE_MAX`].
const DIAL_HANGS: Duration = Duration::from_millis(1_500);

/// Addresses that were to be dialled, and why they could not be.
pub(super) struct FailedDial {
    pub(super) addresses: Vec<Multiaddr>,
    /// Who is there, if that is somebody who is refused.
    pub(super) refused: Option<PeerId>,
    pub(super) reason: String,
}

/// What was dialled together.
struct Group {
    addresses: Vec<Multiaddr>,
    under_way: usize,
    refused: Option<PeerId>,
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
    began: Duration,
}

/// Why one dial of a group came to nothing: a text, and who is there, if that one is refused.
pub(super) type Reason = (String, Option<PeerId>);

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
        let group = Group { addresses, under_way: 0, refused: None, reasons: Vec::new() };
        self.groups.insert(id, group);
        id
    }

    /// A dial began.
    pub(super) fn began(
        &mut self,
        began: Duration,
        group: Option<GroupId>,
        connection: ConnectionId,
        (peer, transport): (Option<PeerId>, Option<Transport>),
    ) {
        if let Some(group) = group.and_then(|group| self.groups.get_mut(&group)) {
            group.under_way += 1;
        }
        self.dials.insert(connection, Dial { group, peer, transport, began });
    }

    /// A part of the group cannot be dialled.
    pub(super) fn not_begun(&mut self, group: GroupId, reason: Reason) {
        if let Some(group) = self.groups.get_mut(&group) {
            group.note(reason);
        }
    }

    /// All dials of the group that could begin have begun. Its outcome, if none did.
    pub(super) fn all_begun(&mut self, group: GroupId) -> Option<FailedDial> {
        self.outcome(group)
    }

    /// Whether enough is under way to reach `peer` over `transport`.
    pub(super) fn is_under_way(
        &self,
        now: Duration,
        peer: PeerId,
        transport: Option<Transport>,
    ) -> bool {
        let same = |dial: &&Dial| dial.peer == Some(peer) && dial.transport == transport;
        let same = || self.dials.values().filter(same);
        same().count() >= DIALS_AT_ONCE_MAX || same().any(|dial| now < dial.began + DIAL_HANGS)
    }

    /// Whether the dial that made this connection named its peer.
    pub(super) fn is_named(&self, connection: ConnectionId) -> bool {
        self.dials.get(&connection).is_some_and(|dial| dial.peer.is_some())
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
        reason: Reason,
    ) -> Option<FailedDial> {
        let id = self.dials.remove(&connection)?.group?;
        let group = self.groups.get_mut(&id)?;
        group.under_way -= 1;
        group.note(reason);
        self.outcome(id)
    }

    fn outcome(&mut self, id: GroupId) -> Option<FailedDial> {
        if self.groups.get(&id)?.under_way > 0 {
            return None;
        }
        let Group { addresses, refused, reasons, .. } = self.groups.remove(&id)?;
        Some(FailedDial { addresses, refused, reason: reasons.join("; ") })
    }
}

impl Group {
    fn note(&mut self, (reason, refused): Reason) {
        self.reasons.push(reason);
        self.refused = self.refused.or(refused);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn began(dials: &mut Dials, at: Duration, number: usize, peer: PeerId) -> GroupId {
        let group = dials.group(Vec::new());
        let whom = (Some(peer), Some(Transport::Tcp));
        dials.began(at, Some(group), ConnectionId::new_unchecked(number), whom);
        group
    }

    #[test]
    fn dial_that_hangs_does_not_hold_up_one_more() {
        let (mut dials, peer) = (Dials::default(), PeerId::random());
        let is_under_way = |dials: &Dials, now| dials.is_under_way(now, peer, Some(Transport::Tcp));
        assert!(!is_under_way(&dials, Duration::ZERO));
        began(&mut dials, Duration::ZERO, 1, peer);
        assert!(is_under_way(&dials, DIAL_HANGS - Duration::from_millis(1)));
        assert!(!dials.is_under_way(Duration::ZERO, peer, Some(Transport::Quic)));
        assert!(!is_under_way(&dials, DIAL_HANGS));
        began(&mut dials, DIAL_HANGS, 2, peer);
        assert!(is_under_way(&dials, 100 * DIAL_HANGS), "there are two");
        dials.failed(ConnectionId::new_unchecked(1), (String::new(), None));
        assert!(!is_under_way(&dials, 100 * DIAL_HANGS));
    }

    #[test]
    fn failed_dial_tells_who_is_refused_there() {
        let (mut dials, peer) = (Dials::default(), PeerId::random());
        let group = began(&mut dials, Duration::ZERO, 1, peer);
        dials.not_begun(group, ("no such transport".to_owned(), None));
        assert!(dials.all_begun(group).is_none());
        let failed = dials.failed(ConnectionId::new_unchecked(1), ("no".to_owned(), Some(peer)));
        let failed = failed.unwrap();
        assert_eq!(failed.refused, Some(peer));
        assert_eq!(failed.reason, "no such transport; no");
    }
}
