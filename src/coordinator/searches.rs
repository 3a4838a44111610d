//! Who is asked how high its chain reaches, and what is learned of peers by that. Pure.

use std::{collections::BTreeMap, time::Duration};

use super::search::{HeightSearch, Reach};
use crate::{
    selection::{Candidate, Experience, Load, Operation, Selector, Standing},
    types::{Height, PeerId},
};

/// Blocks that a peer's head may be behind and still be at the head of the network. Unit: blocks.
/// Source: a block may be made while a peer is asked. Lower: honest peers count as stale. Higher:
/// stale ones do not.
const BEHIND_MAX: u64 = 1;

/// The searches under way, and who is searched next.
pub(super) struct Searches {
    selector: Selector,
    open: BTreeMap<PeerId, Search>,
}

struct Search {
    heights: HeightSearch,
    /// When its round was asked for, until the first answer to it.
    asked_at: Option<Duration>,
    /// The shortest time from a round to its first answer.
    latency: Option<Duration>,
}

/// How a search goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SearchStep {
    /// More answers have to come.
    Waits,
    /// The peer is to be asked for these.
    Round(Vec<Height>),
    /// It is over.
    Over(Reach),
}

impl Searches {
    /// None yet; `selector` chooses who is asked.
    pub(super) const fn new(selector: Selector) -> Self {
        Self { selector, open: BTreeMap::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    pub(super) fn contains(&self, peer: PeerId) -> bool {
        self.open.contains_key(&peer)
    }

    /// All are given up.
    pub(super) fn clear(&mut self) {
        self.open.clear();
    }

    /// `before` were usable, and `usable` are now.
    pub(super) fn peers_changed(
        &mut self,
        now: Duration,
        before: &BTreeMap<PeerId, Standing>,
        usable: &BTreeMap<PeerId, Standing>,
    ) {
        for peer in before.keys().filter(|peer| !usable.contains_key(peer)) {
            self.open.remove(peer);
            self.selector.left(*peer);
        }
        usable.keys().for_each(|peer| self.selector.joined(now, *peer));
    }

    /// Begins searches like `search` at up to `count` of those who are not searched; who is to be
    /// asked for what.
    pub(super) fn begin(
        &mut self,
        now: Duration,
        usable: &BTreeMap<PeerId, Standing>,
        count: usize,
        search: &HeightSearch,
    ) -> Vec<(PeerId, Vec<Height>)> {
        let free = usable.iter().filter(|(peer, _)| !self.open.contains_key(peer));
        let load = Load { requests_max: 1, ..Load::default() };
        let candidates: Vec<_> =
            free.map(|(&peer, &standing)| Candidate { peer, standing, load }).collect();
        let mut rounds = Vec::new();
        for peer in self.selector.several(now, Operation::Headers, &candidates, count) {
            let mut heights = search.clone();
            if let Ok(round) = heights.round() {
                self.selector.asked(now, peer);
                let asked_at = Some(now);
                self.open.insert(peer, Search { heights, asked_at, latency: None });
                rounds.push((peer, round));
            }
        }
        rounds
    }

    /// `peer` was asked for the block at `height`, and has it or not. `proven` is the highest block
    /// that anybody has shown.
    pub(super) fn answered(
        &mut self,
        now: Duration,
        peer: PeerId,
        (height, served): (Height, bool),
        proven: Height,
    ) -> SearchStep {
        let Some(search) = self.open.get_mut(&peer) else { return SearchStep::Waits };
        if let Some(asked_at) = search.asked_at.take() {
            let took = now.saturating_sub(asked_at);
            search.latency = Some(search.latency.map_or(took, |latency| latency.min(took)));
        }
        if !search.heights.answered(height, served) {
            return SearchStep::Waits;
        }
        match search.heights.round() {
            Ok(round) => {
                search.asked_at = Some(now);
                SearchStep::Round(round)
            }
            Err(reach) => {
                let latency = search.latency;
                self.open.remove(&peer);
                let head = match reach {
                    Reach::Exactly(head) => head,
                    Reach::Nothing => Height::GENESIS,
                };
                // A stale peer is quick to no use: it does not tell where the network is.
                let kept = head.saturating_add(BEHIND_MAX) >= proven;
                let experience = Experience { kept, latency, bytes_per_second: None };
                self.selector.learned(Operation::Headers, peer, &experience);
                SearchStep::Over(reach)
            }
        }
    }

    /// Nothing was learned of the chain of `peer`; `failed` if that is its own failure.
    pub(super) fn abandon(&mut self, peer: PeerId, failed: bool) {
        self.open.remove(&peer);
        if failed {
            let experience = Experience { kept: false, latency: None, bytes_per_second: None };
            self.selector.learned(Operation::Headers, peer, &experience);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{doubles::peer, selection::SelectionSettings};

    const SECOND: Duration = Duration::from_secs(1);
    const MS: Duration = Duration::from_millis(1);

    /// Peers 1 to 8, each with its head and how long it takes to answer.
    fn heads(heads: [(u64, u32); 8]) -> BTreeMap<PeerId, (u64, Duration)> {
        (1..).map(peer).zip(heads.map(|(head, millis)| (head, MS * millis))).collect()
    }

    /// Searches once a second for so many rounds; the highest block shown in each.
    fn shown(
        searches: &mut Searches,
        heads: &BTreeMap<PeerId, (u64, Duration)>,
        rounds: u32,
    ) -> Vec<u64> {
        let usable: BTreeMap<_, _> =
            heads.keys().map(|peer| (*peer, Standing::default())).collect();
        searches.peers_changed(SECOND, &BTreeMap::new(), &usable);
        let mut proven = 100;
        let mut shown = Vec::new();
        for round in 1..=rounds {
            let now = SECOND * round;
            let mut best = 0;
            let mut open = searches.begin(now, &usable, 4, &HeightSearch::near(Height::new(100)));
            while let Some((peer, heights)) = open.pop() {
                let (head, takes) = heads[&peer];
                for height in heights {
                    let served = height.get() <= head;
                    best = if served { best.max(height.get()) } else { best };
                    proven = proven.max(best);
                    let answer = (height, served);
                    if let SearchStep::Round(more) =
                        searches.answered(now + takes, peer, answer, Height::new(proven))
                    {
                        open.push((peer, more));
                    }
                }
            }
            assert!(searches.is_empty());
            shown.push(best);
        }
        shown
    }

    #[test]
    fn quick_peers_that_are_stale_hide_the_head_for_a_few_rounds_only() {
        let peers = heads([
            (100, 5),
            (100, 5),
            (100, 5),
            (100, 5),
            (100, 5),
            (100, 5),
            (100, 5),
            (150, 900),
        ]);
        for strategy in crate::selection::SelectionStrategy::ALL {
            let settings = SelectionSettings { strategy, ..SelectionSettings::default() };
            let shown = shown(&mut Searches::new(Selector::new(settings, 1)), &peers, 24);
            for eight in shown.chunks(8) {
                assert!(eight.contains(&150), "{strategy}: {shown:?}");
            }
        }
    }

    #[test]
    fn peer_that_showed_the_head_is_preferred_to_quick_ones_that_are_behind() {
        let peers = heads([
            (100, 5),
            (100, 5),
            (100, 5),
            (100, 5),
            (100, 5),
            (100, 5),
            (100, 5),
            (150, 300),
        ]);
        let mut searches = Searches::new(Selector::new(SelectionSettings::default(), 1));
        let shown = shown(&mut searches, &peers, 24);
        assert_eq!(shown[8..], [150; 16], "{shown:?}");
    }

    #[test]
    fn peer_that_is_searched_is_not_searched_again_before_it_answered() {
        let usable = BTreeMap::from([(peer(1), Standing::default())]);
        let mut searches = Searches::new(Selector::new(SelectionSettings::default(), 1));
        searches.peers_changed(SECOND, &BTreeMap::new(), &usable);
        let search = HeightSearch::near(Height::new(5));
        assert_eq!(searches.begin(SECOND, &usable, 4, &search).len(), 1);
        assert!(searches.begin(2 * SECOND, &usable, 4, &search).is_empty());
        searches.abandon(peer(1), true);
        assert_eq!(searches.begin(3 * SECOND, &usable, 4, &search).len(), 1);
    }
}
