//! A byzantine peer with two blocks for each height: one for some requests, another for others.

use alys_sync::types::Height;
use rand::{Rng as _, rngs::StdRng};

use super::{Ask, Behaviour};
use crate::{fixture::Second, world::Reply};

/// Answers some requests with second blocks, which no majority signed, and the others with the
/// true ones. Block 1 is always the true one, so that it passes as usable.
pub struct Equivocating {
    /// How the second blocks are approved.
    pub second: Second,
    /// One request in so many gets second blocks; at least 1.
    pub one_in: u32,
}

impl Behaviour for Equivocating {
    fn answer(&mut self, ask: &Ask<'_>, rng: &mut StdRng) -> Reply {
        let mut reply = Reply::default();
        let lies = rng.random_ratio(1, self.one_in.max(1));
        for height in ask.heights_to(ask.head) {
            let lies = lies && height > Height::new(1);
            let second = lies.then(|| ask.fixture.second(height, self.second)).flatten();
            match (second, ask.fixture.block(height)) {
                (Some(raw), _) => reply.lie(&raw, rng),
                (None, Some(raw)) => reply.block(&raw, rng),
                (None, None) => {}
            }
        }
        reply
    }
}
