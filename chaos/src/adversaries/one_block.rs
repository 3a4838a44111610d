//! A server of today's main branch: one block a request, whatever was asked for, then a clean
//! close.

use rand::rngs::StdRng;

use super::{Ask, Behaviour};
use crate::world::Reply;

/// Sends the first block asked for.
pub struct OneBlock;

impl Behaviour for OneBlock {
    fn answer(&mut self, ask: &Ask<'_>, rng: &mut StdRng) -> Reply {
        let mut reply = Reply::default();
        let first = ask.heights_to(ask.head).next();
        if let Some(raw) = first.and_then(|at| ask.fixture.block(at)) {
            reply.block(&raw, rng);
        }
        reply
    }
}
