//! Figures that say much in one number, and what they should reach.

use std::fmt;

/// A figure that says much in one number. Shown as one line.
pub(super) struct Headline {
    /// Its key in the JSON.
    pub(super) key: &'static str,
    pub(super) text: String,
    /// None where it was not measured.
    pub(super) value: Option<f64>,
    pub(super) bound: Option<Bound>,
}

/// What to reach. Shown, never asserted: a machine may be busy.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

impl Bound {
    fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtMost(bound) => value <= bound,
            Self::AtLeast(bound) => value >= bound,
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(bound) => write!(f, "at most {bound:.2}"),
            Self::AtLeast(bound) => write!(f, "at least {bound:.2}"),
        }
    }
}

impl fmt::Display for Headline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { text, value, bound, .. } = self;
        match value {
            Some(value) => write!(f, "{text:<56} {value:>6.3}")?,
            None => write!(f, "{text:<56} {:>6}", "-")?,
        }
        match (bound, value.zip(*bound).map(|(value, bound)| bound.is_met(value))) {
            (Some(bound), Some(true)) => write!(f, "  {bound}: met"),
            (Some(bound), Some(false)) => write!(f, "  {bound}: missed"),
            (_, None) | (None, _) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_met_on_the_right_side_and_at_the_bound_itself() {
        let (most, least) = (Bound::AtMost(0.4), Bound::AtLeast(1.8));
        assert!(most.is_met(0.4) && most.is_met(0.1) && !most.is_met(0.41));
        assert!(least.is_met(1.8) && least.is_met(2.0) && !least.is_met(1.79));
        assert!(!most.is_met(f64::NAN) && !least.is_met(f64::NAN));
    }
}
