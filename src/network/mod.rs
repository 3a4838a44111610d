//! The owner of the network: keeps it running, dials, and passes on who comes and goes.
//!
//! Owns: the incarnation of the network ([`crate::ports::PeerNetwork`]) and whom to dial when.
//! Does not own: who is any good ([`crate::reputation`]), or what is asked of whom.
//!
//! In: events of the network, whom to refuse, whether our own link is cut. Out: connections to
//! reputation. When the network ends by itself the
//! actor ends with the reason and is started again with a new one on the same addresses.

mod actor;
mod dialer;
mod handle;
mod message;
mod orders;

pub use actor::{NetworkArgs, NetworkEnded, PeerNetworkActor};
pub use handle::NetworkHandle;
pub use message::NetworkMsg;
pub use orders::NetworkOrders;
