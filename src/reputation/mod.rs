//! Who may be asked, and how good they are.
//!
//! Owns: which peers are connected, whether each serves our chain, what each delivered, and who
//! is kept out; and whether our own link is cut, since that is seen by comparing peers. Does not
//! own: connections ([`crate::network`]), or which range goes to whom ([`crate::scheduler`]).
//!
//! In: connections from the network, evidence from whoever asked a peer. Out: the set of usable
//! peers to the scheduler, figures to the coordinator, who is refused to the network, records to
//! the checkpoint store. Started again it takes its records from there, asks the network who is
//! connected, and checks each anew.
//!
//! Evidence is typed ([`Evidence`]); what follows from each kind is one table
//! (`consequences.rs`); the score is `score.rs`, bans are `ban.rs`, and what nobody can be blamed
//! for yet waits in `attempts.rs` until the chain shows who was right.

mod actor;
mod attempts;
mod ban;
mod book;
mod consequences;
mod evidence;
mod handle;
mod message;
mod record;
mod score;
mod settings;
mod stopped;
mod storing;
mod view;

pub use actor::{PeerReputation, ReputationArgs};
pub use ban::{Ban, BanReason};
pub use evidence::{CleanReply, Evidence};
pub use handle::ReputationHandle;
pub use message::ReputationMsg;
pub use record::{STORED_PEER_VERSION, StoredPeer};
pub use score::ScoreWeights;
pub use settings::ReputationSettings;
pub use stopped::StoppedPeers;
pub use view::{BanStatus, PeerState, PeerStatus, PeerView};
