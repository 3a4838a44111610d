//! What peers do, a file each. The seed of a plan gives each of its peers a role.
//!
//! A behaviour answers one request at a time with the bytes and silences of a [`Reply`]; links,
//! connections and time are the world's.

mod cutter;
mod empty;
mod equivocating;
mod forked;
mod honest;
mod leaver;
mod liar;
mod one_block;
mod reordered;
mod silent;
mod slow;
mod stale;

use std::time::Duration;

use alys_sync::{
    types::{Height, HeightRange},
    wire::request::BlocksByRangeRequest,
};
use rand::rngs::StdRng;

pub use cutter::Cutter;
pub use empty::Empty;
pub use equivocating::Equivocating;
pub use forked::Forked;
pub use honest::Honest;
pub use leaver::Leaver;
pub use liar::Liar;
pub use one_block::OneBlock;
pub use reordered::Reordered;
pub use silent::Silent;
pub use slow::Slow;
pub use stale::Stale;

use crate::{
    fixture::{Fixture, Lie, Second},
    world::Reply,
};

/// The most blocks that servers of this network send for one request.
const SERVED_BLOCKS_MAX: u64 = 1024;

/// A request as it arrived at a peer.
pub struct Ask<'a> {
    /// The chain.
    pub fixture: &'a Fixture,
    /// The head of the network at this moment: the last block that an honest peer has.
    pub head: Height,
    /// The request.
    pub request: BlocksByRangeRequest,
}

impl Ask<'_> {
    /// The heights asked for that a full server with its head at `head` has.
    pub fn heights_to(&self, head: Height) -> impl Iterator<Item = Height> + use<> {
        let count = self.request.count.min(SERVED_BLOCKS_MAX);
        let range = HeightRange::new(self.request.start, count);
        range.into_iter().flat_map(HeightRange::heights).take_while(move |height| *height <= head)
    }
}

/// How a peer answers.
pub trait Behaviour: Send {
    /// The reply to one request.
    fn answer(&mut self, ask: &Ask<'_>, rng: &mut StdRng) -> Reply;

    /// How long the peer is away if it closes its connection after this answer.
    fn leaves(&mut self, _: &mut StdRng) -> Option<Duration> {
        None
    }
}

/// Which behaviour, with its figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Sends what is asked for.
    Honest,
    /// Sends one block a request.
    OneBlock,
    /// Falls silent after some blocks of each reply.
    Silent {
        /// How many blocks it sends first.
        after_blocks: usize,
    },
    /// Cuts some of its replies off inside a block.
    Cutter {
        /// One reply in so many is cut; at least 1.
        one_in: u32,
    },
    /// Forges some of its blocks.
    Liar {
        /// How.
        lie: Lie,
        /// One block in so many is forged; at least 1.
        one_in: u32,
    },
    /// Has the true chain, but not all of it.
    Stale {
        /// Where its chain ends.
        head: Height,
    },
    /// Comes and goes.
    Leaver {
        /// It leaves after one answer in so many; at least 1.
        one_in: u32,
        /// For how long.
        away: Duration,
    },
    /// Sends nothing and closes cleanly.
    Empty,
    /// Sends true blocks in another order.
    Reordered,
    /// Serves a fork that a majority signed.
    Forked {
        /// Which fork of the fixture.
        fork: usize,
        /// Where its chain ends.
        head: Height,
    },
    /// Has two blocks for each height, for different requests.
    Equivocating {
        /// How the second blocks are approved.
        second: Second,
        /// One request in so many gets second blocks; at least 1.
        one_in: u32,
    },
    /// Drips its blocks.
    Slow {
        /// The pause before each block.
        pause: Duration,
    },
}

impl Role {
    /// The behaviour of this role.
    pub fn behaviour(self) -> Box<dyn Behaviour> {
        match self {
            Self::Honest => Box::new(Honest),
            Self::OneBlock => Box::new(OneBlock),
            Self::Silent { after_blocks } => Box::new(Silent { after_blocks }),
            Self::Cutter { one_in } => Box::new(Cutter { one_in }),
            Self::Liar { lie, one_in } => Box::new(Liar { lie, one_in }),
            Self::Stale { head } => Box::new(Stale { head }),
            Self::Leaver { one_in, away } => Box::new(Leaver { one_in, away }),
            Self::Empty => Box::new(Empty),
            Self::Reordered => Box::new(Reordered),
            Self::Forked { fork, head } => Box::new(Forked { fork, head }),
            Self::Equivocating { second, one_in } => Box::new(Equivocating { second, one_in }),
            Self::Slow { pause } => Box::new(Slow { pause }),
        }
    }

    /// Whether what it sends proves that it lies. Slow, silent, short and absent peers do not lie,
    /// and what a majority signed convicts nobody, in whatever order and on whatever fork it is.
    pub fn is_liar(self) -> bool {
        match self {
            Self::Liar { .. } | Self::Equivocating { .. } => true,
            Self::Honest
            | Self::OneBlock
            | Self::Silent { .. }
            | Self::Cutter { .. }
            | Self::Stale { .. }
            | Self::Leaver { .. }
            | Self::Empty
            | Self::Reordered
            | Self::Forked { .. }
            | Self::Slow { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests;
