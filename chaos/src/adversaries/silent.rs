//! A peer that takes requests and falls silent: the connection stays, nothing comes.

use rand::rngs::StdRng;

use super::{Ask, Behaviour, Honest};
use crate::world::{Part, Reply};

/// Sends a few blocks and then nothing ever again. A request for no more than those it answers
/// like an honest peer, so that it passes as usable.
pub struct Silent {
    /// How many blocks it sends first.
    pub after_blocks: usize,
}

impl Behaviour for Silent {
    fn answer(&mut self, ask: &Ask<'_>, rng: &mut StdRng) -> Reply {
        let whole = Honest.answer(ask, rng);
        if whole.blocks() <= self.after_blocks {
            return whole;
        }
        let mut reply = Reply::default();
        let heights = ask.heights_to(ask.head).take(self.after_blocks);
        for raw in heights.filter_map(|at| ask.fixture.block(at)) {
            reply.block(&raw, rng);
        }
        reply.parts.push(Part::Silence);
        reply
    }
}
