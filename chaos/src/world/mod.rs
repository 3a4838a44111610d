//! The simulated ports of a node: network, store and clock.
//!
//! They keep the contracts of [`alys_sync::ports`] and report to the trace what passes through
//! them. Nothing skips the wire: requests and replies are encoded, cut into pieces, delayed, and
//! decoded again.

mod clock;
mod compute;
mod connection;
mod entropy;
mod incoming;
mod link;
mod network;
mod outage;
mod peer;
mod reply;
mod resources;
mod store;
mod turnstile;

pub use clock::VirtualClock;
pub use compute::LossyCompute;
pub use entropy::SeededEntropy;
pub use link::{Link, LinkSpeed};
pub use network::{SimStarter, World};
pub use outage::{Outage, OutageKind};
pub use peer::{SimPeer, peer_id};
pub use reply::{Part, Reply};
pub use resources::Machine;
pub use store::{RecordingChain, RecordingJournal, StoreFault};
pub use turnstile::Turnstile;
