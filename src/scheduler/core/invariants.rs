//! The invariants of the module, as a check for tests.

use std::collections::BTreeMap;

use super::{DownloadCore, Held, PeerWork, Rival};
use crate::types::{Height, HeightRange, PeerId};

impl<S: Held> DownloadCore<S> {
    /// Panics where an invariant of the module is broken.
    pub(crate) fn check(&self) {
        if self.last.is_none() {
            assert!(self.gauge().is_empty(), "{:?}", self.gauge());
            return;
        }
        let mut states: BTreeMap<Height, &'static str> = BTreeMap::new();
        let mut put = |range: HeightRange, state| {
            for height in range.heights() {
                if height < self.next_import {
                    // A segment that import is half way through.
                    assert_eq!(state, "released", "{height} is {state} below the head");
                    continue;
                }
                let before = states.insert(height, state);
                assert_eq!(before, None, "{height} is {before:?} and {state}");
            }
        };
        self.wanted.iter().for_each(|range| put(range, "wanted"));
        self.verifying.values().for_each(|(range, _)| put(*range, "verifying"));
        let verifying = self.verifying.values().map(|(_, request)| request);
        for request in self.flights.keys().chain(verifying) {
            assert!(self.requests.contains_key(request), "{request:?} is of nobody");
        }
        for (request, flight) in &self.flights {
            match flight.rival {
                Some(Rival::First(first)) => {
                    let first = &self.flights[&first];
                    assert_eq!(first.rival, Some(Rival::Second(*request)));
                    let (ours, theirs) = (flight.missing.unwrap(), first.missing.unwrap());
                    assert_eq!(ours.start(), theirs.start(), "a race from one start");
                    assert!(ours.last() <= theirs.last());
                    assert_ne!(flight.peer, first.peer);
                }
                Some(Rival::Second(_)) | None => {
                    flight.missing.into_iter().for_each(|range| put(range, "in flight"));
                }
            }
        }
        self.held.values().for_each(|segment| put(segment.range(), "held"));
        self.released.values().for_each(|segment| put(segment.range(), "released"));
        if let Some(window) = self
            .horizon
            .checked_sub(1)
            .and_then(|last| HeightRange::inclusive(self.next_import, last))
        {
            for height in window.heights() {
                let state = states.remove(&height);
                assert!(state.is_some(), "{height} is lost");
                assert_eq!(state == Some("released"), height < self.next_release, "{height}");
            }
        }
        assert!(states.is_empty(), "outside the window: {states:?}");
        let mut open: BTreeMap<PeerId, (usize, u64)> = BTreeMap::new();
        for flight in self.flights.values() {
            let (requests, blocks) = open.entry(flight.peer).or_default();
            *requests += 1;
            *blocks += flight.missing.map_or(0, HeightRange::count);
        }
        for (peer, &PeerWork { requests, blocks, .. }) in &self.peers {
            assert!(requests <= self.requests_per_peer_max);
            assert_eq!((requests, blocks), open.remove(peer).unwrap_or_default());
        }
        assert!(open.is_empty(), "asked of nobody: {open:?}");
    }
}
