//! A measurement that says much in one number, with the bound that it is to keep.

use std::fmt;

/// The number, and what it is to be.
pub(super) struct Headline {
    pub(super) text: String,
    /// `None` where it was not measured.
    pub(super) value: Option<f64>,
    pub(super) bound: Option<Bound>,
}

/// The figure to reach. Shown, never asserted: a machine may be busy.
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
        let Self { text, value, bound } = self;
        match value {
            Some(value) => write!(f, "{text:<56} {value:>7.3}")?,
            None => write!(f, "{text:<56} {:>7}", "-")?,
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

    #[test]
    fn headline_says_whether_its_bound_is_met_and_nothing_where_nothing_was_measured() {
        let headline = |value, bound| Headline { text: "x".to_owned(), value, bound }.to_string();
        let bound = Some(Bound::AtLeast(2.0));
        assert!(headline(Some(2.5), bound).ends_with("2.500  at least 2.00: met"));
        assert!(headline(Some(1.5), bound).ends_with("1.500  at least 2.00: missed"));
        assert!(headline(Some(1.5), None).ends_with("1.500"));
        assert!(headline(None, bound).ends_with(" -"));
    }
}
