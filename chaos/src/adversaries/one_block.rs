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
        if let Some(raw) = ask.fixture.block(ask.request.start) {
            reply.block(&raw, rng);
        }
        reply
    }
}
