//! A full server with the whole chain.

use rand::rngs::StdRng;

use super::{Ask, Behaviour};
use crate::world::Reply;

/// Sends what is asked for.
pub struct Honest;

impl Behaviour for Honest {
    fn answer(&mut self, ask: &Ask<'_>, rng: &mut StdRng) -> Reply {
        let mut reply = Reply::default();
        for raw in ask.heights_to(ask.head).filter_map(|at| ask.fixture.block(at)) {
            reply.block(&raw, rng);
        }
        reply
    }
}
