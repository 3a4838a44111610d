//! Dialling: one peer at all its addresses, each transport by itself, so that a slow or dead one
//! does not hold up the other, and both can be compared.

use std::collections::BTreeMap;

use libp2p::{
    PeerId,
    multiaddr::{Multiaddr, Protocol},
    swarm::dial_opts::{DialOpts, PeerCondition},
};

use super::{
    describe::dial_error_text,
    dials::{FailedDial, GroupId},
    driver::Driver,
};
use crate::{ports::NetworkEvent, types::Transport};

impl Driver {
    /// Dials one peer at `addresses`.
    pub(super) fn dial(&mut self, addresses: Vec<Multiaddr>) {
        let group = self.dials.group(addresses.clone());
        let mut parts: BTreeMap<(Option<PeerId>, Option<Transport>), Vec<Multiaddr>> =
            BTreeMap::new();
        for address in addresses {
            let part = (named_peer(&address), Transport::of(&address));
            parts.entry(part).or_default().push(address);
        }
        for ((peer, transport), addresses) in parts {
            match peer {
                Some(peer) => self.dial_peer(group, peer, transport, addresses),
                None => addresses.into_iter().for_each(|address| {
                    let unknown = DialOpts::unknown_peer_id().address(address);
                    let options = if transport == Some(Transport::Tcp) {
                        unknown.allocate_new_port().build()
                    } else {
                        unknown.build()
                    };
                    self.begin(Some(group), options, (None, transport));
                }),
            }
        }
        let failed = self.dials.all_begun(group);
        self.report(failed);
    }

    /// Dials a connected peer over another transport, at the addresses known.
    pub(super) fn dial_over(&mut self, peer: PeerId, transport: Transport) {
        let places = self.links.get(&peer).and_then(|linked| linked.places.get(&transport));
        let addresses: Vec<_> = places.into_iter().flatten().cloned().collect();
        let under_way = self.dials.is_under_way(self.now(), peer, Some(transport));
        if !addresses.is_empty() && !under_way {
            let options = to_peer(peer, Some(transport), addresses);
            self.begin(None, options, (Some(peer), Some(transport)));
        }
    }

    /// Reports a dial of which nothing came.
    pub(super) fn report(&self, failed: Option<FailedDial>) {
        if let Some(FailedDial { addresses, refused, reason }) = failed {
            self.events.on_event(NetworkEvent::DialFailed { addresses, refused, reason });
        }
    }

    fn dial_peer(
        &mut self,
        group: GroupId,
        peer: PeerId,
        transport: Option<Transport>,
        addresses: Vec<Multiaddr>,
    ) {
        let linked = self.links.get_mut(&peer);
        let connected = linked.is_some_and(|linked| {
            linked.reachable_at(addresses.iter().cloned());
            transport.is_some_and(|transport| linked.best(transport).is_some())
        });
        if connected || self.dials.is_under_way(self.now(), peer, transport) {
            let reason = "already connected or being dialled".to_owned();
            self.dials.not_begun(group, (reason, None));
            return;
        }
        let options = to_peer(peer, transport, addresses);
        self.begin(Some(group), options, (Some(peer), transport));
    }

    fn begin(
        &mut self,
        group: Option<GroupId>,
        options: DialOpts,
        whom: (Option<PeerId>, Option<Transport>),
    ) {
        let connection = options.connection_id();
        let now = self.now();
        match (self.swarm.dial(options), group) {
            (Ok(()), _) => self.dials.began(now, group, connection, whom),
            (Err(error), Some(group)) => {
                let refused = whom.0.filter(|peer| self.swarm.behaviour().gate.refuses(peer));
                self.dials.not_begun(group, (dial_error_text(&error), refused));
            }
            (Err(error), None) => {
                let reason = dial_error_text(&error);
                tracing::debug!(peer = ?whom.0, transport = ?whom.1, reason, "cannot dial");
            }
        }
    }
}

/// One dial of a peer. That it is connected already is no hindrance: over the other transport.
fn to_peer(peer: PeerId, transport: Option<Transport>, addresses: Vec<Multiaddr>) -> DialOpts {
    let options = DialOpts::peer_id(peer).addresses(addresses).condition(PeerCondition::Always);
    // From our listening port, an outbound TCP connection could meet the remains of one
    // before it. QUIC shares its one socket and has no such trouble.
    if transport == Some(Transport::Tcp) {
        options.allocate_new_port().build()
    } else {
        options.build()
    }
}

fn named_peer(address: &Multiaddr) -> Option<PeerId> {
    let last = address.iter().last();
    if let Some(Protocol::P2p(peer)) = last { Some(peer) } else { None }
}
