//! Two requests for the same blocks at once, and how that ends.

use std::time::Duration;

use super::{DownloadCore, DownloadEffect, DownloadView, Held, Unanswered, view};
use crate::{
    flow::RequestId,
    types::{Height, HeightRange},
};

/// The other request in a race for the same blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rival {
    /// It is the first request; this one is the second.
    First(RequestId),
    /// It is the second request; this one is the first.
    Second(RequestId),
}

impl<S: Held> DownloadCore<S> {
    /// Asks other peers for what has waited for too long, as the policy says.
    pub(super) fn hedge(
        &mut self,
        now: Duration,
        available: u64,
        effects: &mut Vec<DownloadEffect<S>>,
    ) {
        let Some(reach) = self.next_release.checked_add(self.policy.hedges_beyond_front()) else {
            return;
        };
        let near = self.flights.iter().filter_map(|(&request, flight)| {
            let missing = flight.missing.filter(|missing| missing.start() <= reach)?;
            flight.rival.is_none().then_some((missing, request))
        });
        let mut near: Vec<_> = near.collect();
        near.sort_unstable();
        for (missing, first) in near {
            effects.extend(self.hedge_one(now, (first, missing), available));
        }
    }

    fn hedge_one(
        &mut self,
        now: Duration,
        (first, missing): (RequestId, HeightRange),
        available: u64,
    ) -> Option<DownloadEffect<S>> {
        let flight = self.flights.get(&first)?;
        let late = Unanswered {
            request: first,
            peer: flight.peer,
            missing,
            waited: now.saturating_sub(flight.since),
            pace: flight.pace,
            beyond_front: missing.start().blocks_above(self.next_release),
        };
        let view = view!(self, available);
        let assignment = self.policy.hedge(now, &late, &view)?;
        let range = assignment.range;
        let repeats = range.start() == missing.start() && range.last() <= missing.last();
        if !repeats || assignment.peer == late.peer || !self.may_ask(assignment.peer) {
            return None;
        }
        let (second, fetch) = self.send(now, assignment, Some(Rival::First(first)));
        if let Some(flight) = self.flights.get_mut(&first) {
            flight.rival = Some(Rival::Second(second));
        }
        self.hedges_sent += 1;
        Some(fetch)
    }

    /// A piece of `request` arrived: it has won, if there was a race. The other request is
    /// stopped, and what the winner was not asked for is wanted again.
    pub(super) fn end_race(
        &mut self,
        now: Duration,
        request: RequestId,
        effects: &mut Vec<DownloadEffect<S>>,
    ) {
        let rival = self.flights.get(&request).and_then(|flight| flight.rival);
        let loser = match rival {
            None => return,
            Some(Rival::First(loser)) => {
                self.hedges_won += 1;
                if let Some(late) = self.flights.get(&loser) {
                    self.policy.was_late(now, late.peer);
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
