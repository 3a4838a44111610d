//! Doubles of the ports and of siblings, for the tests of single actors: what they are asked is
//! counted, and what they answer is the test's choice.

mod blocks;
mod chain;
mod network;
mod resources;
mod slow;
mod tree;

pub(crate) use blocks::blocks;
pub(crate) use chain::{ChainDouble, Write};
pub(crate) use network::{NetworkDouble, StarterDouble, Told, peer, stream_of};
pub(crate) use resources::ResourcesDouble;
pub(crate) use slow::{SlowChain, SlowJournal};
pub(crate) use tree::{Recorded, Recorder, exit_of, recorded, tree};
