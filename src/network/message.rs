//! What the owner of the network is told.

use ractor::RpcReplyPort;

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
    /// Reputation was started and knows nobody.
    ReputationStarted,
    /// The addresses peers can dial.
    ReadListening {
        /// Where they go.
        reply: RpcReplyPort<Vec<Multiaddr>>,
    },
    /// Time passed.
    Tick,
}
