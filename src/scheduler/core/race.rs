//! Two requests for the front at once, and how that ends.

use std::time::Duration;

use super::{Core, Effect, Flight, Held};
use crate::{flow::RequestId, scheduler::hedge::HEDGE_BLOCKS, types::HeightRange};

/// The other request in a race for the front.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rival {
    /// It is the first request; this one is the second.
    First(RequestId),
    /// It is the second request; this one is the first.
    Second(RequestId),
}

impl<S: Held> Core<S> {
    /// Asks another peer for the front, if that has waited for too long.
    pub(super) fn hedge(&mut self, now: Duration) -> Option<Effect<S>> {
        let front = self.next_release;
        let is_front = |flight: &Flight| flight.missing.is_some_and(|m| m.start() == front);
        let (&first, flight) = self.flights.iter().find(|(_, flight)| is_front(flight))?;
        let (range, _) = flight.missing?.split_at(HEDGE_BLOCKS);
        let (range, waited) = (range?, now.saturating_sub(flight.since));
        if flight.rival.is_some() || !self.hedging.is_due(waited, range.count()) {
            return None;
        }
        let others = self.peers.iter().filter(|(peer, load)| {
            **peer != flight.peer && load.accepts_hedge(range.start(), now, &self.settings)
        });
        let best = others.min_by_key(|(peer, load)| (load.cost(range.count()), **peer));
        let peer = *best?.0;
        let (second, fetch) = self.send(now, peer, range, Some(Rival::First(first)));
        if let Some(flight) = self.flights.get_mut(&first) {
            flight.rival = Some(Rival::Second(second));
        }
        self.hedging.sent(range.count());
        Some(fetch)
    }

    /// A piece of `request` arrived: it has won, if there was a race. The other request is
    /// stopped, and what the winner was not asked for is wanted again.
    pub(super) fn end_race(
        &mut self,
        now: Duration,
        request: RequestId,
        effects: &mut Vec<Effect<S>>,
    ) {
        let rival = self.flights.get(&request).and_then(|flight| flight.rival);
        let loser = match rival {
            None => return,
            Some(Rival::First(loser)) => {
                self.hedging.won += 1;
                let late = self.flights.get(&loser).map(|flight| flight.peer);
                if let Some(load) = late.and_then(|late| self.peers.get_mut(&late)) {
                    load.was_late(now);
                }
                loser
            }
            Some(Rival::Second(loser)) => loser,
        };
        self.stop(now, loser, effects);
    }
}

/// What of `missing` a rival does not ask for. Both begin at the front.
pub(super) fn rest_after(missing: HeightRange, rival: Option<HeightRange>) -> Option<HeightRange> {
    match rival {
        Some(rival) => HeightRange::inclusive(rival.last().checked_add(1)?, missing.last()),
        None => Some(missing),
    }
}
