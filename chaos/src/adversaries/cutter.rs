//! A peer whose streams break: some replies end inside a block.

use rand::{Rng as _, rngs::StdRng};

use super::{Ask, Behaviour, Honest};
use crate::world::Reply;

/// Cuts some replies off inside their last block.
pub struct Cutter {
    /// One reply in so many is cut; at least 1.
    pub one_in: u32,
}

impl Behaviour for Cutter {
    fn answer(&mut self, ask: &Ask<'_>, rng: &mut StdRng) -> Reply {
        let mut reply = Honest.answer(ask, rng);
        if rng.random_ratio(1, self.one_in.max(1)) {
            reply.cut_inside_the_last_block();
        }
        reply
    }
}
