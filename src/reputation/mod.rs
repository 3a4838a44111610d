//! Who may be asked, and how good they are.
//!
//! Owns: which peers are connected, whether each serves our chain, what each delivered, and who
//! is kept out. Does not own: connections ([`crate::network`]), or which range goes to whom
//! ([`crate::scheduler`]).
//!
//! In: connections from the network, evidence from whoever asked a peer. Out: the set of usable
//! peers to the scheduler, figures to the coordinator, disconnects to the network. Started again
//! it asks the network who is connected and checks each anew.

mod actor;
mod book;
mod evidence;
mod handle;
mod message;

pub use actor::{PeerReputation, ReputationArgs};
pub use book::{PeerState, PeerStatus, PeerView};
pub use evidence::Evidence;
pub use handle::ReputationHandle;
pub use message::ReputationMsg;
