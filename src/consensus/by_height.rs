//! Values that change at known heights: authority sets and slot durations of a chain's history.

use std::collections::BTreeMap;

use crate::types::Height;

/// Why a change cannot be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a change at height {height} must come after height {previous}")]
pub struct ByHeightError {
    /// Where the change was to take effect.
    pub height: Height,
    /// Where the change before it takes effect; genesis for the first value.
    pub previous: Height,
}

/// A value for every height: the first from genesis on, later ones from their own height on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ByHeight<T> {
    first: T,
    later: BTreeMap<Height, T>,
}

impl<T> ByHeight<T> {
    /// `value` at every height.
    pub const fn always(value: T) -> Self {
        Self { first: value, later: BTreeMap::new() }
    }

    /// From `height` on, `value`.
    ///
    /// # Errors
    /// [`ByHeightError`] unless `height` is above genesis and above every change before.
    pub fn then_from(&mut self, height: Height, value: T) -> Result<(), ByHeightError> {
        let previous = self.later.last_key_value().map_or(Height::GENESIS, |(height, _)| *height);
        if height <= previous {
            return Err(ByHeightError { height, previous });
        }
        self.later.insert(height, value);
        Ok(())
    }

    /// The value in force at `height`.
    pub fn at(&self, height: Height) -> &T {
        self.later.range(..=height).next_back().map_or(&self.first, |(_, value)| value)
    }

    /// The value from genesis on.
    pub const fn first(&self) -> &T {
        &self.first
    }

    /// The later values with the height that each is in force from, rising.
    pub fn later(&self) -> impl Iterator<Item = (Height, &T)> {
        self.later.iter().map(|(height, value)| (*height, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_in_force_from_its_height_on() {
        let mut value = ByHeight::always('a');
        value.then_from(Height::new(10), 'b').unwrap();
        value.then_from(Height::new(11), 'c').unwrap();
        let at = |height| *value.at(Height::new(height));
        assert_eq!([at(0), at(9), at(10), at(11), at(u64::MAX)], ['a', 'a', 'b', 'c', 'c']);
    }

    #[test]
    fn refuses_changes_at_genesis_and_out_of_order() {
        let mut value = ByHeight::always('a');
        let error = value.then_from(Height::GENESIS, 'b').unwrap_err();
        assert_eq!(error.previous, Height::GENESIS);
        value.then_from(Height::new(10), 'b').unwrap();
        assert!(value.then_from(Height::new(10), 'c').is_err());
        assert!(value.then_from(Height::new(9), 'c').is_err());
        assert_eq!(value.later().count(), 1);
    }
}
