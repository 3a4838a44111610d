//! What is waited for from which peer, so that the silence of all can be told from that of one.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::partition::Traffic;
use crate::{ports::Clock, types::PeerId};

/// The waiting of all requests. Clones are the same one.
#[derive(Clone)]
pub(super) struct Activity {
    clock: Arc<dyn Clock>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    next: u64,
    /// Requests that wait for their peer: whose, and since when.
    waiting: BTreeMap<u64, (PeerId, Duration)>,
    last_arrival: Option<Duration>,
}

impl Activity {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, state: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each call changes it whole, so a panic elsewhere cannot have left half a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request to `peer`, which waits for nothing yet.
    pub(super) fn request(&self, peer: PeerId) -> RequestActivity {
        let mut state = self.lock();
        state.next += 1;
        RequestActivity { activity: self.clone(), id: state.next, peer }
    }

    /// What is waited for now.
    pub(super) fn traffic(&self) -> Traffic {
        let state = self.lock();
        let mut waiting: BTreeMap<PeerId, Duration> = BTreeMap::new();
        for (peer, since) in state.waiting.values() {
            let longest = waiting.entry(*peer).or_insert(*since);
            *longest = (*longest).min(*since);
        }
        Traffic { last_arrival: state.last_arrival, waiting }
    }
}

/// One request. Dropping it ends its waiting.
pub(super) struct RequestActivity {
    activity: Activity,
    id: u64,
    peer: PeerId,
}

impl RequestActivity {
    /// It waits for the peer from now on, if it did not before.
    pub(super) fn waits(&self) {
        let now = self.activity.clock.now();
        self.activity.lock().waiting.entry(self.id).or_insert((self.peer, now));
    }

    /// Something came: a block, or a clean end. It waits no more until it is read on.
    pub(super) fn arrived(&self) {
        let now = self.activity.clock.now();
        let mut state = self.activity.lock();
        state.waiting.remove(&self.id);
        state.last_arrival = Some(now);
    }
}

impl Drop for RequestActivity {
    fn drop(&mut self) {
        self.activity.lock().waiting.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{doubles::peer, ports::SystemClock};

    #[tokio::test(start_paused = true)]
    async fn longest_wait_of_each_peer_and_the_last_arrival_of_anybody_are_told() {
        let activity = Activity::new(Arc::new(SystemClock::start()));
        let second = Duration::from_secs(1);
        let [first, other, third] = [1, 1, 2].map(|index| activity.request(peer(index)));
        assert_eq!(activity.traffic(), Traffic::default(), "nobody is read yet");
        first.waits();
        tokio::time::advance(second).await;
        other.waits();
        third.waits();
        tokio::time::advance(second).await;
        first.waits();
        let waiting = BTreeMap::from([(peer(1), Duration::ZERO), (peer(2), second)]);
        assert_eq!(activity.traffic(), Traffic { last_arrival: None, waiting });
        first.arrived();
        let waiting = BTreeMap::from([(peer(1), second), (peer(2), second)]);
        let last_arrival = Some(2 * second);
        assert_eq!(activity.traffic(), Traffic { last_arrival, waiting });
        drop((other, third));
        assert_eq!(activity.traffic().waiting, BTreeMap::new());
    }
}
