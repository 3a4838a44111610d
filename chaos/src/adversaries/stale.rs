//! A peer that is behind: it has the true chain up to some height and nothing above.

use alys_sync::types::Height;
use rand::rngs::StdRng;

use super::{Ask, Behaviour};
use crate::world::Reply;

/// A full server of the lower part of the chain.
pub struct Stale {
    /// Where its chain ends.
    pub head: Height,
}

impl Behaviour for Stale {
    fn answer(&mut self, ask: &Ask<'_>, rng: &mut StdRng) -> Reply {
        let mut reply = Reply::default();
        for raw in ask.heights_to(self.head).filter_map(|at| ask.fixture.block(at)) {
            reply.block(&raw, rng);
        }
        reply
    }
}
