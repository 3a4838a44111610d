//! A peer that comes and goes: it closes its connection in the middle of replies and is not to be
//! reached for a while.

use std::time::Duration;

use rand::{Rng as _, rngs::StdRng};

use super::{Ask, Behaviour, Honest};
use crate::world::Reply;

/// An honest peer that leaves after some of its answers.
pub struct Leaver {
    /// It leaves after one answer in so many; at least 1.
    pub one_in: u32,
    /// For how long.
    pub away: Duration,
}

impl Behaviour for Leaver {
    fn answer(&mut self, ask: &Ask<'_>, rng: &mut StdRng) -> Reply {
        Honest.answer(ask, rng)
    }

    fn leaves(&mut self, rng: &mut StdRng) -> Option<Duration> {
        rng.random_ratio(1, self.one_in.max(1)).then_some(self.away)
    }
}
