//! A set of heights kept as disjoint ranges in order.

use std::collections::BTreeMap;

use crate::types::{Height, HeightRange};

/// Heights as maximal disjoint ranges. All operations are O(log n) in ranges touched.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeightSet {
    /// Start of a range to its last height.
    ranges: BTreeMap<Height, Height>,
}

impl HeightSet {
    /// Adds all heights of `range`, those already in it included.
    pub fn insert(&mut self, range: HeightRange) {
        let (mut start, mut last) = (range.start(), range.last());
        // Neighbours merge, so that one request can later span both.
        let reach = last.saturating_add(1);
        while let Some((&s, &l)) = self.ranges.range(..=reach).next_back() {
            if l.saturating_add(1) < start {
                break;
            }
            start = start.min(s);
            last = last.max(l);
            self.ranges.remove(&s);
        }
        self.ranges.insert(start, last);
    }

    /// Takes all heights of `range` out and says whether all were in it.
    pub fn remove(&mut self, range: HeightRange) -> bool {
        let mut removed = 0;
        while let Some((&s, &l)) = self.ranges.range(..=range.last()).next_back() {
            if l < range.start() {
                break;
            }
            self.ranges.remove(&s);
            if l > range.last() {
                self.ranges.insert(range.last().saturating_add(1), l);
            }
            if let Some(below) = range.start().checked_sub(1)
                && s <= below
            {
                self.ranges.insert(s, below);
            }
            removed += l.min(range.last()).blocks_above(s.max(range.start())) + 1;
            if s <= range.start() {
                break;
            }
        }
        removed == range.count()
    }

    /// The maximal ranges in order.
    pub fn iter(&self) -> impl Iterator<Item = HeightRange> + '_ {
        self.ranges.iter().filter_map(|(&start, &last)| HeightRange::inclusive(start, last))
    }

    /// The first range at or after `from`, cut at `from`.
    pub fn first_from(&self, from: Height) -> Option<HeightRange> {
        if let Some((_, &last)) = self.ranges.range(..=from).next_back()
            && from <= last
        {
            return HeightRange::inclusive(from, last);
        }
        let (&start, &last) = self.ranges.range(from..).next()?;
        HeightRange::inclusive(start, last)
    }

    /// Whether all heights of `range` are in it.
    pub fn contains(&self, range: HeightRange) -> bool {
        let at = self.ranges.range(..=range.start()).next_back();
        at.is_some_and(|(_, &last)| range.last() <= last)
    }

    /// Whether no height is in it.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// How many heights. Unit: blocks.
    pub fn count(&self) -> u64 {
        self.iter().map(HeightRange::count).sum()
    }

    /// Empties it.
    pub fn clear(&mut self) {
        self.ranges.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn r(start: u64, count: u64) -> HeightRange {
        HeightRange::new(Height::new(start), count).unwrap()
    }

    proptest! {
        #[test]
        fn behaves_like_a_set_of_heights(
            steps in proptest::collection::vec((any::<bool>(), 0u64..40, 1u64..12), 1..60),
        ) {
            let mut set = HeightSet::default();
            let mut model = BTreeSet::new();
            for (add, start, count) in steps {
                let range = r(start, count);
                if add {
                    set.insert(range);
                    model.extend(range.heights());
                } else {
                    let all = range.heights().all(|height| model.contains(&height));
                    prop_assert_eq!(set.remove(range), all);
                    model.retain(|height| !range.contains(*height));
                }
                let heights: BTreeSet<_> = set.iter().flat_map(HeightRange::heights).collect();
                prop_assert_eq!(&heights, &model);
                prop_assert_eq!(set.count(), model.len() as u64);
                for pair in set.iter().collect::<Vec<_>>().windows(2) {
                    prop_assert!(pair[0].last().saturating_add(1) < pair[1].start());
                }
                for height in 0..55 {
                    let height = Height::new(height);
                    let first = set.first_from(height).map(HeightRange::start);
                    prop_assert_eq!(first, model.range(height..).next().copied());
                }
            }
        }
    }
}
