//! How high the chain of one peer reaches, found by asking for single blocks: exponential steps
//! up, then bisection. Pure. A block that a majority signed proves its height; a claim proves
//! nothing.

use crate::types::Height;

/// Each step up is this many times the one before. Higher finds a far head in fewer requests and
/// bisects longer: 4 needs about 20 requests for a million blocks.
const STEP_GROWTH: u64 = 4;

/// A search in progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HeightSearch {
    /// Served, or where the search began.
    proven: Height,
    /// Not served.
    missing: Option<Height>,
    step: u64,
    served_any: bool,
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
    /// A search that first asks for `from`.
    pub(super) fn from(from: Height) -> Self {
        let proven = from.checked_sub(1).unwrap_or(Height::GENESIS);
        Self { proven, missing: None, step: 1, served_any: false }
    }

    /// The height to ask for next, or what was found.
    pub(super) fn next(&self) -> Result<Height, Reach> {
        let found = if self.served_any { Reach::Exactly(self.proven) } else { Reach::Nothing };
        match self.missing {
            None => {
                let next = self.proven.saturating_add(self.step);
                if next == self.proven { Err(found) } else { Ok(next) }
            }
            Some(missing) => match missing.blocks_above(self.proven) {
                0 | 1 => Err(found),
                gap => Ok(self.proven.saturating_add(gap / 2)),
            },
        }
    }

    /// The height asked for was served.
    pub(super) fn served(&mut self, height: Height) {
        self.proven = self.proven.max(height);
        if self.served_any {
            self.step = self.step.saturating_mul(STEP_GROWTH);
        }
        self.served_any = true;
    }

    /// The height asked for was not served.
    pub(super) fn absent(&mut self, height: Height) {
        self.missing = Some(height);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run(from: u64, head: u64) -> (Reach, u32) {
        let mut search = HeightSearch::from(Height::new(from));
        let mut asked = 0;
        loop {
            match search.next() {
                Err(reach) => return (reach, asked),
                Ok(height) if height.get() <= head => search.served(height),
                Ok(height) => search.absent(height),
            }
            asked += 1;
        }
    }

    proptest! {
        #[test]
        fn finds_the_head_of_an_honest_peer(from in 1u64..2_000_000, ahead in 0u64..2_000_000) {
            let (reach, asked) = run(from, from + ahead);
            prop_assert_eq!(reach, Reach::Exactly(Height::new(from + ahead)));
            prop_assert!(asked <= 40, "{} requests", asked);
        }
    }

    #[test]
    fn peer_at_our_head_is_confirmed_by_two_requests() {
        assert_eq!(run(500, 500), (Reach::Exactly(Height::new(500)), 2));
    }

    #[test]
    fn peer_that_serves_nothing_confirms_nothing() {
        assert_eq!(run(500, 499), (Reach::Nothing, 1));
        assert_eq!(run(500, 0), (Reach::Nothing, 1));
    }

    #[test]
    fn search_ends_at_the_end_of_the_number_space() {
        assert_eq!(run(5, u64::MAX).0, Reach::Exactly(Height::new(u64::MAX)));
    }
}
