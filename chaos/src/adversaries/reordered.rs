//! A peer that sends true blocks in another order than they were asked for.

use alys_sync::types::Height;
use rand::{rngs::StdRng, seq::SliceRandom as _};

use super::{Ask, Behaviour};
use crate::world::Reply;

/// Shuffles its replies. A single block it sends as it is.
pub struct Reordered;

impl Behaviour for Reordered {
    fn answer(&mut self, ask: &Ask<'_>, rng: &mut StdRng) -> Reply {
        let mut heights: Vec<Height> = ask.heights_to(ask.head).collect();
        heights.shuffle(rng);
        let mut reply = Reply::default();
        for raw in heights.into_iter().filter_map(|at| ask.fixture.block(at)) {
            reply.block(&raw, rng);
        }
        reply
    }
}
