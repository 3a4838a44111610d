//! What the owner of the network is told.

use std::collections::BTreeSet;

use ractor::RpcReplyPort;
use supervisors::Vital;

use crate::{
    ports::NetworkEvent,
    types::{Multiaddr, PeerId},
};

/// Messages to the owner of the network.
pub enum NetworkMsg {
    /// The network reports.
    Event(NetworkEvent),
    /// Keep the peer at this address connected from now on.
    Dial {
        /// With the peer id as last part, if that is known: then other addresses with the same one
        /// are taken as further ways to this peer.
        address: Multiaddr,
    },
    /// Close the connection to a peer.
    Disconnect {
        /// Who.
        peer: PeerId,
    },
    /// Exactly these are refused from now on, by later incarnations of the network too.
    Refuse {
        /// Who.
        peers: BTreeSet<PeerId>,
    },
    /// Our own link is taken for cut: all connections are closed, as TCP itself would hold them for
    /// minutes, and everybody is dialled again and again, as
    /// [`crate::config::PeerSettings::redial_cut_max`] says.
    LinkCut,
    /// Our own link works again.
    LinkBack,
    /// Reputation was started and knows nobody.
    ReputationStarted,
    /// The addresses peers can dial.
    ReadListening {
        /// Where they go.
        reply: RpcReplyPort<Vec<Multiaddr>>,
    },
    /// Time passed.
    Tick,
    /// A sign of life is asked for.
    Vital(Vital),
}

impl From<Vital> for NetworkMsg {
    fn from(vital: Vital) -> Self {
        Self::Vital(vital)
    }
}
