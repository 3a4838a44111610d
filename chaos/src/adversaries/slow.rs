//! A peer that keeps the node waiting: its blocks drip, each just before the node loses patience.

use std::time::Duration;

use rand::rngs::StdRng;

use super::{Ask, Behaviour};
use crate::world::{Part, Reply};

/// Sends what is asked for, with a pause before each block.
pub struct Slow {
    /// The pause.
    pub pause: Duration,
}

impl Behaviour for Slow {
    fn answer(&mut self, ask: &Ask<'_>, rng: &mut StdRng) -> Reply {
        let mut reply = Reply::default();
        for raw in ask.heights_to(ask.head).filter_map(|at| ask.fixture.block(at)) {
            reply.parts.push(Part::Pause(self.pause));
            reply.block(&raw, rng);
        }
        reply
    }
}
