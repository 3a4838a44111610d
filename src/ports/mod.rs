//! What sync needs from the outside, as traits owned here: a chain, a network, a clock, compute,
//! entropy.
//!
//! Adapters implement them ([`crate::adapters`]); an embedding node may bring its own. No rule of
//! sync lives behind a port, and no channel appears in a signature.

mod chain;
mod clock;
mod compute;
mod entropy;
mod journal;
mod lease;
mod peer_network;
mod resources;

pub use chain::{BlockSource, Chain, ChainError};
pub use clock::{Clock, SystemClock};
pub use compute::{Compute, InlineCompute, RayonCompute, WorkersError};
pub use entropy::{Entropy, EntropyError, OsEntropy, RandomWeights};
pub use journal::Journal;
pub(crate) use lease::{Lent, Loan};
pub use peer_network::{
    Direction, DisconnectReason, Misuse, NetworkError, NetworkEvent, NetworkEvents, NetworkStarter,
    PeerNetwork, RangeStream, RequestError,
};
pub use resources::{ResourceSample, Resources};
