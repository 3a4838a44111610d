//! How high the chain of one peer reaches, found by asking for single blocks: a ladder up, then
//! ever narrower steps, a few heights at a time. Pure. A block that a majority signed proves its
//! height; a claim proves nothing.

use std::collections::BTreeSet;

use crate::types::Height;

/// How far above the highest block served the next ones are asked for, round by round; the last
/// round repeats. Unit: blocks. Source: at the head nothing is new, so the first round is our head
/// and the next; then the one block that was made since; then over a million blocks in one round
/// trip, each step a factor of 16. Fewer: more round trips until the download knows how far to go.
/// More: needless requests, of every peer, with every new block.
const NEAR: [&[u64]; 3] = [&[1, 2], &[1, 16], &[256, 4_096, 65_536, 1 << 20]];
/// The same for a node that has just started and is likely to be far behind: all at once, because
/// nothing can be downloaded before the first round is over.
const FAR: [&[u64]; 2] = [&[1, 2, 16, 256, 4_096, 65_536, 1 << 20], &[256, 4_096, 65_536, 1 << 20]];
/// Heights asked for at once between a served and a missing one. Fewer: more round trips. More:
/// needless requests.
const BETWEEN: u64 = 3;

/// A search in progress: rounds of heights that are asked for at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HeightSearch {
    /// The highest served, or just below where the search began.
    proven: Height,
    served_any: bool,
    /// Not served.
    absent: BTreeSet<Height>,
    /// Asked for and not answered.
    open: BTreeSet<Height>,
    rounds: &'static [&'static [u64]],
}

/// What a search found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// The peer served this height and not the next.
    Exactly(Height),
    /// The peer served nothing.
    Nothing,
}

impl HeightSearch {
    /// A search that first asks for `from` and for the height above it.
    pub(super) fn near(from: Height) -> Self {
        Self::new(from, &NEAR)
    }

    /// A search that first asks for heights from `from` to far above it.
    pub(super) fn far(from: Height) -> Self {
        Self::new(from, &FAR)
    }

    fn new(from: Height, rounds: &'static [&'static [u64]]) -> Self {
        let proven = from.checked_sub(1).unwrap_or(Height::GENESIS);
        let (absent, open) = (BTreeSet::new(), BTreeSet::new());
        Self { proven, served_any: false, absent, open, rounds }
    }

    /// The heights to ask for next, or what was found. To be asked when none is open.
    pub(super) fn round(&mut self) -> Result<Vec<Height>, Reach> {
        let above = |steps: &[u64]| -> BTreeSet<Height> {
            let heights = steps.iter().map(|step| self.proven.saturating_add(*step));
            heights.filter(|height| *height > self.proven).collect()
        };
        let missing = self.absent.range(self.proven..).find(|height| **height > self.proven);
        let round = match missing {
            None => above(self.rounds.first().copied().unwrap_or_default()),
            Some(missing) => match missing.blocks_above(self.proven) {
                0 | 1 => BTreeSet::new(),
                gap if gap <= BETWEEN + 1 => above(&(1..gap).collect::<Vec<_>>()),
                gap => {
                    let part =
                        |of| gap / (BETWEEN + 1) * of + gap % (BETWEEN + 1) * of / (BETWEEN + 1);
                    above(&(1..=BETWEEN).map(part).collect::<Vec<_>>())
                }
            },
        };
        if round.is_empty() {
            return Err(if self.served_any { Reach::Exactly(self.proven) } else { Reach::Nothing });
        }
        if let [_, later @ ..] = self.rounds
            && !later.is_empty()
        {
            self.rounds = later;
        }
        self.open.clone_from(&round);
        Ok(round.into_iter().collect())
    }

    /// The answer for a height that was asked for. Whether the round is over.
    pub(super) fn answered(&mut self, height: Height, served: bool) -> bool {
        if !self.open.remove(&height) {
            // An answer to a search before this one.
            return false;
        }
        if served {
            self.served_any = true;
            self.proven = self.proven.max(height);
        } else {
            self.absent.insert(height);
        }
        self.open.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What is found from `from` on at a peer with blocks up to `head`, in how many rounds and
    /// requests.
    fn run(from: u64, head: u64) -> (Reach, usize, usize) {
        complete(HeightSearch::near(Height::new(from)), head)
    }

    fn complete(mut search: HeightSearch, head: u64) -> (Reach, usize, usize) {
        let (mut rounds, mut asked) = (0, 0);
        loop {
            let round = match search.round() {
                Err(reach) => return (reach, rounds, asked),
                Ok(round) => round,
            };
            rounds += 1;
            asked += round.len();
            let last = round.len() - 1;
            for (at, height) in round.into_iter().enumerate() {
                assert_eq!(search.answered(height, height.get() <= head), at == last);
            }
        }
    }

    proptest! {
        #[test]
        fn finds_the_head_of_an_honest_peer_in_few_rounds(
            from in 1u64..2_000_000,
            ahead in 0u64..2_000_000,
        ) {
            let (reach, rounds, asked) = run(from, from + ahead);
            prop_assert_eq!(reach, Reach::Exactly(Height::new(from + ahead)));
            prop_assert!(rounds <= 15 && asked <= 50, "{} rounds, {} requests", rounds, asked);
            let far = HeightSearch::far(Height::new(from));
            let (reach, far_rounds, asked) = complete(far, from + ahead);
            prop_assert_eq!(reach, Reach::Exactly(Height::new(from + ahead)));
            prop_assert!(far_rounds <= rounds && asked <= 50);
        }

        #[test]
        fn whatever_a_peer_answers_the_search_ends_at_something_it_served(
            from in 1u64..1_000,
            answers in prop::collection::vec(any::<bool>(), 200),
        ) {
            let mut search = HeightSearch::near(Height::new(from));
            let mut answers = answers.into_iter();
            let mut served = BTreeSet::new();
            let reach = loop {
                let round = match search.round() {
                    Err(reach) => break reach,
                    Ok(round) => round,
                };
                for height in round {
                    // Nobody serves without an end.
                    let answer = answers.next().unwrap_or(false);
                    if answer {
                        served.insert(height);
                    }
                    search.answered(height, answer);
                }
            };
            let expected = served.last().map_or(Reach::Nothing, |height| Reach::Exactly(*height));
            prop_assert_eq!(reach, expected);
        }
    }

    #[test]
    fn peer_at_our_head_is_confirmed_by_two_requests_at_once() {
        assert_eq!(run(500, 500), (Reach::Exactly(Height::new(500)), 1, 2));
    }

    #[test]
    fn first_search_of_a_node_that_starts_tells_at_once_that_much_is_missing() {
        let mut search = HeightSearch::far(Height::new(1));
        let round = search.round().unwrap();
        for height in &round {
            search.answered(*height, height.get() <= 6_000);
        }
        assert_eq!(search.proven, Height::new(4_096));
    }

    #[test]
    fn one_new_block_is_found_by_four_requests() {
        assert_eq!(run(500, 501), (Reach::Exactly(Height::new(501)), 2, 4));
    }

    #[test]
    fn peer_that_serves_nothing_confirms_nothing() {
        assert_eq!(run(500, 499), (Reach::Nothing, 1, 2));
        assert_eq!(run(500, 0), (Reach::Nothing, 1, 2));
    }

    #[test]
    fn search_ends_at_the_end_of_the_number_space() {
        let (reach, rounds, _) = run(u64::MAX - 5, u64::MAX);
        assert_eq!((reach, rounds), (Reach::Exactly(Height::new(u64::MAX)), 2));
    }

    #[test]
    fn answer_to_an_older_search_changes_nothing() {
        let mut search = HeightSearch::near(Height::new(7));
        search.round().unwrap();
        let before = search.clone();
        assert!(!search.answered(Height::new(99), true));
        assert_eq!(search, before);
    }
}
