//! A byzantine peer: among true blocks it sends forged ones, which no honest peer can have.

use alys_sync::types::Height;
use rand::{Rng as _, rngs::StdRng};

use super::{Ask, Behaviour};
use crate::{fixture::Lie, world::Reply};

/// Forges some of its blocks. Block 1 it sends as it is, so that it passes as usable.
pub struct Liar {
    /// How.
    pub lie: Lie,
    /// One block in so many is forged; at least 1.
    pub one_in: u32,
}

impl Behaviour for Liar {
    fn answer(&mut self, ask: &Ask<'_>, rng: &mut StdRng) -> Reply {
        let mut reply = Reply::default();
        for height in ask.heights_to(ask.head) {
            let lies = height > Height::new(1) && rng.random_ratio(1, self.one_in.max(1));
            let forged = lies.then(|| ask.fixture.forged(height, self.lie)).flatten();
            match (forged, ask.fixture.block(height)) {
                (Some(raw), _) => reply.lie(&raw, rng),
                (None, Some(raw)) => reply.block(&raw, rng),
                (None, None) => {}
            }
        }
        reply
    }
}
