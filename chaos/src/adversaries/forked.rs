//! A peer on a fork: its blocks carry valid majority signatures and do not continue our chain.

use alys_sync::types::Height;
use rand::rngs::StdRng;

use super::{Ask, Behaviour};
use crate::world::Reply;

/// A full server of a fork. Below it, the chain is the true one.
pub struct Forked {
    /// Which fork of the fixture.
    pub fork: usize,
    /// Where its chain ends.
    pub head: Height,
}

impl Behaviour for Forked {
    fn answer(&mut self, ask: &Ask<'_>, rng: &mut StdRng) -> Reply {
        let mut reply = Reply::default();
        let fork = ask.fixture.fork(self.fork);
        for height in ask.heights_to(self.head) {
            let own = fork.and_then(|fork| fork.block(height)).map(|block| block.raw().clone());
            if let Some(raw) = own.or_else(|| ask.fixture.block(height)) {
                reply.block(&raw, rng);
            }
        }
        reply
    }
}
