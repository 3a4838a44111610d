//! Who is kept out, from when to when.

use std::{collections::BTreeSet, time::Duration};

use super::{Action, PROBATION_BLOCKS, PeerBook};
use crate::{
    reputation::{
        PeerState,
        ban::{Ban, BanReason, Offences},
        record::Record,
    },
    selection::ip_of,
    types::{Multiaddr, PeerId},
};

impl PeerBook {
    /// Keeps `peer` out, known or not; how that shows.
    pub(in crate::reputation) fn ban_by_hand(
        &mut self,
        now: Duration,
        peer: PeerId,
        length: Option<Duration>,
    ) -> Action {
        self.records.entry(peer).or_insert_with(|| Record::new(now, Multiaddr::empty()));
        let action = self.ban(now, peer, BanReason::Operator);
        if let (Some(length), Some(record)) = (length, self.records.get_mut(&peer)) {
            let until = now.saturating_add(length);
            record.figures.ban = Some(Ban { until, reason: BanReason::Operator });
        }
        self.forget(now);
        action
    }

    pub(super) fn ban(&mut self, now: Duration, peer: PeerId, reason: BanReason) -> Action {
        if let Some(record) = self.records.get_mut(&peer) {
            record.state = PeerState::Banned;
            record.figures.lies = 0;
            record.figures.ban = Some(record.figures.offences.ban(now, reason, &self.settings));
            record.end_of_trouble();
            record.changed = true;
        }
        Action::Disconnect(peer)
    }

    /// Ends the ban of `peer` and forgets its offences; whether there was one.
    pub(in crate::reputation) fn lift(&mut self, now: Duration, peer: PeerId) -> bool {
        let banned = self.records.get_mut(&peer).filter(|record| record.is_banned(now));
        let Some(record) = banned else { return false };
        record.figures.ban = None;
        record.figures.lies = 0;
        record.figures.offences = Offences::default();
        record.figures.probation = 0;
        record.changed = true;
        if record.state == PeerState::Banned {
            record.state = PeerState::Gone;
        }
        true
    }

    /// Ends the bans whose time has come.
    pub(in crate::reputation) fn expire(&mut self, now: Duration) {
        for record in self.records.values_mut() {
            if record.figures.ban.is_some() && !record.is_banned(now) {
                record.figures.ban = None;
                record.figures.lies = 0;
                record.changed = true;
                record.put_on_probation(now, PROBATION_BLOCKS, &self.settings);
                if record.state == PeerState::Banned {
                    record.state = PeerState::Gone;
                }
            }
        }
    }

    /// Who is kept out, so that what they sent is not worth verifying.
    pub(in crate::reputation) fn banned(&self, now: Duration) -> BTreeSet<PeerId> {
        let banned = self.records.iter().filter(|(_, record)| record.is_banned(now));
        banned.map(|(peer, _)| *peer).collect()
    }

    /// Who is not worth a connection: the banned, and those of another chain for a while.
    pub(in crate::reputation) fn refused(&self, now: Duration) -> BTreeSet<PeerId> {
        let refused = self
            .records
            .iter()
            .filter(|(_, record)| record.is_banned(now) || now < record.elsewhere_until);
        refused.map(|(peer, _)| *peer).collect()
    }

    /// Whether somebody at this address is kept out. Old nodes take a new identity at each start,
    /// but many honest ones can share an address too, all of a machine's its loopback.
    pub(super) fn is_banned_address(&self, now: Duration, address: &Multiaddr) -> bool {
        let Some(ip) = ip_of(address).filter(|ip| !ip.is_loopback()) else { return false };
        let mut banned = self.records.values().filter(|record| record.is_banned(now));
        banned.any(|record| ip_of(&record.address) == Some(ip))
    }
}
