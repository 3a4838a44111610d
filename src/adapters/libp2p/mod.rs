//! The network over libp2p, wire compatible with the nodes of today: TCP with Noise and Yamux,
//! QUIC on the same port number, and `/eth2/chain/req/blocks_by_range/1/ssz_snappy` as client and
//! server. Status, ping, metadata and goodbye are answered, never asked.
//!
//! Owns: sockets, connections and their limits, which transport to a peer is used, streams and
//! their framing, the node key. Does not own: whom to ask for what, deadlines of requests, retries,
//! redialling, what a block means; the callers of [`crate::ports::PeerNetwork`] do.
//!
//! Commands come in by the port and events go out by [`crate::ports::NetworkEvents`]; blocks of a
//! reply travel from the stream to the caller one by one with back-pressure, and so do served
//! blocks from the store to the stream. Every queue between is bounded.
//!
//! Failure: a peer's bytes end at most its own stream. A failed listener or a panic ends the
//! network with [`crate::ports::NetworkEvent::Stopped`]; it holds no state that a restart could
//! not make anew. After the drop of a network nothing more is reported. A restart gets the same
//! port and key, so that peers find the node again.
//!
//! libp2p's own timers do not follow a paused tokio clock: simulate above the port, not here.

mod admission;
mod behaviour;
mod codec;
mod describe;
mod dials;
mod driver;
mod driver_dials;
mod driver_events;
mod driver_transports;
mod exchange;
mod gate;
mod identity;
mod lanes;
mod links;
#[cfg(feature = "mdns")]
mod neighbours;
mod network;
mod options;
mod prompt_close;
pub mod raw_server;
mod reply_reader;
mod serving;
mod small_server;
mod sockets;
mod starter;
#[cfg(test)]
mod tests;
mod transport_choice;
mod transports;

pub use exchange::{InboundRequest, ReplyGone, ReplyWriter};
pub use identity::{KeyError, load_or_create};
pub use libp2p::identity::Keypair;
pub use options::{Libp2pOptions, ServingOptions, listen_addresses};
pub use starter::Libp2pStarter;
