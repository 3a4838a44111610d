//! Block heights and contiguous ranges of them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The number of a block in the chain; genesis is 0. Unit: blocks.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Height(u64);

impl Height {
    /// The height of the genesis block.
    pub const GENESIS: Self = Self(0);

    /// The height with this number. Every `u64` is a height.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number of the block.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The height that follows, or `None` at the end of the number space.
    pub const fn next(self) -> Option<Self> {
        self.checked_add(1)
    }

    /// This height moved up by `blocks`, or `None` past the end of the number space.
    pub const fn checked_add(self, blocks: u64) -> Option<Self> {
        match self.0.checked_add(blocks) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// This height moved up by `blocks`, at most to the end of the number space.
    pub const fn saturating_add(self, blocks: u64) -> Self {
        Self(self.0.saturating_add(blocks))
    }

    /// This height moved down by `blocks`, or `None` below genesis.
    pub const fn checked_sub(self, blocks: u64) -> Option<Self> {
        match self.0.checked_sub(blocks) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// How many blocks this height is above `other`; 0 when it is not above.
    pub const fn blocks_above(self, other: Self) -> u64 {
        self.0.saturating_sub(other.0)
    }
}

impl fmt::Display for Height {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A contiguous, non-empty range of heights whose last height exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HeightRange {
    start: Height,
    count: u64,
}

impl HeightRange {
    /// `count` heights from `start` on. `None` if the range is empty or leaves the number space.
    pub const fn new(start: Height, count: u64) -> Option<Self> {
        if count == 0 || start.checked_add(count - 1).is_none() {
            return None;
        }
        Some(Self { start, count })
    }

    /// The one height `height`.
    pub const fn single(height: Height) -> Self {
        Self { start: height, count: 1 }
    }

    /// All heights from `first` to `last`, both included. `None` if `last` is below `first` or
    /// the range would hold 2^64 heights.
    pub const fn inclusive(first: Height, last: Height) -> Option<Self> {
        match last.0.checked_sub(first.0) {
            Some(more) if more < u64::MAX => Some(Self { start: first, count: more + 1 }),
            _ => None,
        }
    }

    /// The lowest height.
    pub const fn start(self) -> Height {
        self.start
    }

    /// The highest height.
    pub const fn last(self) -> Height {
        Height(self.start.0 + (self.count - 1))
    }

    /// How many heights. At least 1. Unit: blocks.
    pub const fn count(self) -> u64 {
        self.count
    }

    /// Whether `height` is one of them.
    pub const fn contains(self, height: Height) -> bool {
        self.start.0 <= height.0 && height.0 <= self.last().0
    }

    /// The first `blocks` heights and the rest. A side without heights is `None`.
    pub const fn split_at(self, blocks: u64) -> (Option<Self>, Option<Self>) {
        if blocks == 0 {
            return (None, Some(self));
        }
        if blocks >= self.count {
            return (Some(self), None);
        }
        let low = Self { start: self.start, count: blocks };
        let high = Self { start: Height(self.start.0 + blocks), count: self.count - blocks };
        (Some(low), Some(high))
    }

    /// The heights in order.
    pub fn heights(self) -> impl Iterator<Item = Height> {
        (self.start.0..=self.last().0).map(Height)
    }
}

impl fmt::Display for HeightRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..={}", self.start, self.last())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: u64, count: u64) -> Option<HeightRange> {
        HeightRange::new(Height::new(start), count)
    }

    #[test]
    fn range_is_never_empty_and_never_leaves_the_number_space() {
        assert_eq!(range(5, 0), None);
        assert_eq!(range(u64::MAX, 2), None);
        assert_eq!(range(2, u64::MAX), None);
        let last = range(u64::MAX, 1).unwrap();
        assert_eq!((last.last(), last.count()), (Height::new(u64::MAX), 1));
    }

    #[test]
    fn inclusive_counts_both_ends() {
        let r = HeightRange::inclusive(Height::new(3), Height::new(7)).unwrap();
        assert_eq!((r.count(), r.last()), (5, Height::new(7)));
        assert_eq!(HeightRange::inclusive(Height::new(7), Height::new(3)), None);
        assert_eq!(HeightRange::inclusive(Height::GENESIS, Height::new(u64::MAX)), None);
    }

    #[test]
    fn split_keeps_every_height_once() {
        let r = range(10, 4).unwrap();
        assert_eq!(r.split_at(0), (None, Some(r)));
        assert_eq!(r.split_at(4), (Some(r), None));
        assert_eq!(r.split_at(1), (range(10, 1), range(11, 3)));
    }
}
