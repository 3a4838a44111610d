//! The level that a noisy series is at now: the mean of its newest slices, back to the last change.
//! Pure.

use super::course::SLICE;

/// Least noise that is assumed. Unit: relative. Too low: in an even series the least change makes a
/// new level. Too high: small changes are not seen.
const NOISE_MIN: f64 = 0.05;
/// Noise that is assumed while too few slices are known to measure it. Unit: relative. Source:
/// slices of simulated links with even noise. Too low and too high: as above.
const NOISE_UNKNOWN: f64 = 0.15;
/// Least number of differences between slices that measures noise. Fewer: chance. More: the range
/// is guessed for longer.
const DIFFERENCES_MIN: usize = 4;
/// A difference between slices of more than this is taken for a change, and counts as this. Unit:
/// median differences. Too low: noise is told too low. Too high: changes are taken for noise.
const CHANGE: f64 = 3.0;
/// The mean of the differences between neighbours in a series of noise 1: 2 divided by the square
/// root of pi.
const MEAN_DIFFERENCE: f64 = 1.128;
/// Newer slices whose mean differs from that of older ones by less than `SAME` are of the same
/// level, by more than `OTHER` of another; in between the older ones count in part. Unit: standard
/// errors. Source: the greatest of 48 differences is below 3.5 in nearly every series that is only
/// noise. Too low: noise makes levels. Too high: a change counts late.
const SAME: f64 = 3.5;
const OTHER: f64 = 5.5;
/// As many slices are taken together to see how the level wanders. Too low: what takes minutes is
/// not seen. Too high: too few of them are known.
const COARSE: usize = 4;
/// How much more than by noise alone the level wanders, while that cannot be measured. Unit:
/// factor. Too low: the range of a young sync misses. Too high: it says little.
const WANDER_UNKNOWN: f64 = 2.0;
/// The most that is assumed of wandering slower than is seen. Unit: factor. Too low: the range of a
/// link that drifts misses. Too high: after one change the range says nothing for minutes.
const WANDER_GROWTH: f64 = 2.0;

/// One slice of a series: so much for so much.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Part {
    /// How long the slice is. Unit: seconds.
    pub(super) seconds: f64,
    /// Such as blocks.
    pub(super) amount: f64,
    /// Such as seconds.
    pub(super) per: f64,
}

impl Part {
    fn log(&self) -> f64 {
        (self.amount / self.per).ln()
    }

    fn plus(&self, other: &Self, weight: f64) -> Self {
        Self {
            seconds: self.seconds + weight * other.seconds,
            amount: self.amount + weight * other.amount,
            per: self.per + weight * other.per,
        }
    }

    fn sum(parts: &[Self]) -> Self {
        parts.iter().fold(Self::default(), |sum, part| sum.plus(part, 1.0))
    }
}

/// Where a series is now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Level {
    /// The mean. Unit: that of the series.
    pub(super) mean: f64,
    /// How far a slice is from it by chance. Unit: relative.
    pub(super) noise: f64,
    /// How far the mean of a second is from it, if slow changes count as well. Unit: relative.
    pub(super) wander: f64,
    /// How far the mean may be from the true one. Unit: relative.
    pub(super) error: f64,
}

impl Level {
    /// The level of a series, newest part first. None where anything in it is 0, or nothing.
    pub(super) fn of(parts: &[Part]) -> Option<Self> {
        if parts.is_empty() || !parts.iter().all(|part| part.log().is_finite()) {
            return None;
        }
        let noise = noise(parts, SLICE).unwrap_or(NOISE_UNKNOWN);
        let wander = wander(parts, noise);
        let level = newest_level(parts, noise);
        let error = wander / level.seconds.sqrt();
        Some(Self { mean: level.amount / level.per, noise, wander, error })
    }
}

/// How much parts of this length differ by chance. Neighbours are compared, so that a change counts
/// once or twice, and then as no more than great noise. None while there are too few.
fn noise(parts: &[Part], length: f64) -> Option<f64> {
    // The oldest one may be shorter.
    let whole = parts.iter().take_while(|part| part.seconds > 0.99 * length);
    let logs: Vec<f64> = whole.map(Part::log).collect();
    let neighbours = logs.iter().zip(logs.iter().skip(1));
    let mut differences: Vec<f64> = neighbours.map(|(new, old)| (new - old).abs()).collect();
    differences.sort_by(f64::total_cmp);
    let median = *differences.get(differences.len() / 2)?;
    let sum: f64 = differences.iter().map(|difference| difference.min(CHANGE * median)).sum();
    let mean = sum / differences.len() as f64;
    let least = NOISE_MIN * (SLICE / length).sqrt();
    (differences.len() >= DIFFERENCES_MIN).then(|| (mean / MEAN_DIFFERENCE).max(least))
}

/// How far the mean of a second is from the level. Pure noise is as great over coarse slices as
/// over fine ones, but for the square root of their length. What is greater grew with the length,
/// and will have grown again over the time that is to come.
fn wander(parts: &[Part], noise: f64) -> f64 {
    let fine = noise * SLICE.sqrt();
    let length = COARSE as f64 * SLICE;
    let coarse: Vec<Part> = parts.chunks(COARSE).map(Part::sum).collect();
    let Some(noise) = self::noise(&coarse, length) else { return fine * WANDER_UNKNOWN };
    let growth = (noise * length.sqrt() / fine).max(1.0);
    fine * growth * growth.min(WANDER_GROWTH)
}

/// The sum of the parts since the last change, and of what was before it as far as it is in doubt.
fn newest_level(parts: &[Part], noise: f64) -> Part {
    let Some(change) = greatest_change(parts, noise) else { return Part::sum(parts) };
    let trust = ((OTHER - change.errors) / (OTHER - SAME)).clamp(0.0, 1.0);
    if trust >= 1.0 {
        return Part::sum(parts);
    }
    let newer = newest_level(parts.get(..change.newer).unwrap_or(parts), noise);
    newer.plus(&change.older, trust)
}

/// A place in a series.
struct Change {
    /// How many parts are newer, fewer than all.
    newer: usize,
    /// What was before.
    older: Part,
    /// How far the means of both sides are apart. Unit: standard errors.
    errors: f64,
}

/// Where the means of both sides differ most. None in a series of one.
fn greatest_change(parts: &[Part], noise: f64) -> Option<Change> {
    let mut older = Part::default();
    let mut changes = Vec::new();
    for (newer, part) in parts.iter().enumerate().skip(1).rev() {
        older = older.plus(part, 1.0);
        changes.push((newer, older));
    }
    let mut newest = Part::default();
    let changes = changes.into_iter().rev().zip(parts).map(|((newer, older), part)| {
        newest = newest.plus(part, 1.0);
        let expected = noise * (SLICE / newest.seconds + SLICE / older.seconds).sqrt();
        Change { newer, older, errors: (newest.log() - older.log()).abs() / expected }
    });
    changes.max_by(|a, b| a.errors.total_cmp(&b.errors))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Slices with these means, newest first.
    fn series(means: &[f64]) -> Vec<Part> {
        let part = |mean: &f64| Part { seconds: SLICE, amount: mean * SLICE, per: SLICE };
        means.iter().map(part).collect()
    }

    #[test]
    fn level_of_a_series_that_is_only_noise_is_its_mean() {
        let level = Level::of(&series(&[90.0, 110.0, 80.0, 120.0, 105.0, 95.0])).unwrap();
        assert!((level.mean - 100.0).abs() < 1e-9, "{level:?}");
        assert!((0.15..0.35).contains(&level.noise), "{level:?}");
    }

    #[test]
    fn level_is_that_since_the_last_change_and_a_change_is_no_noise() {
        let means = [99.0, 101.0, 400.0, 404.0, 396.0, 402.0, 25.0, 26.0, 25.0, 25.0];
        let level = Level::of(&series(&means)).unwrap();
        assert!((level.mean - 100.0).abs() < 1e-9, "{level:?}");
        assert_eq!(level.noise, NOISE_MIN);
    }

    #[test]
    fn series_that_wanders_is_less_sure_than_one_that_is_noise() {
        let waves = |period: f64| {
            let mean = |slice: u32| 100.0 + 20.0 * (f64::from(slice) / period).sin();
            Level::of(&series(&(0..48).map(mean).collect::<Vec<_>>())).unwrap()
        };
        let (quick, slow) = (waves(0.3), waves(3.0));
        assert!(slow.wander / slow.noise > 1.8 * quick.wander / quick.noise, "{slow:?} {quick:?}");
    }

    #[test]
    fn nothing_has_no_level() {
        assert!(Level::of(&[]).is_none());
        assert!(Level::of(&series(&[1.0, 0.0])).is_none());
    }
}
