//! A peer that has nothing for anybody: it closes every reply cleanly at once.

use rand::rngs::StdRng;

use super::{Ask, Behaviour};
use crate::world::Reply;

/// Sends nothing. That proves nothing, so it passes as usable.
pub struct Empty;

impl Behaviour for Empty {
    fn answer(&mut self, _: &Ask<'_>, _: &mut StdRng) -> Reply {
        Reply::default()
    }
}
