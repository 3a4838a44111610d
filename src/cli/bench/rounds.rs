//! Measuring works against each other: in turn, round after round, so that a machine that is
//! slower for a while is so for all of them.

use std::time::Duration;

use alys_sync::validation::process_cpu;

use crate::cli::{Ending, progress::Progress, stop::Stop};

/// Something to measure. Says whether it found what it has to find.
pub(super) type Work<'a> = &'a dyn Fn() -> bool;

/// Why there is nothing to tell.
#[derive(Debug, thiserror::Error)]
pub(super) enum MeasureError {
    #[error("this system does not tell what CPU time was used")]
    NoClock,
    #[error("{what}: wrong verdicts, so their speed means nothing")]
    WrongVerdict { what: &'static str },
}

/// How to measure.
pub(super) struct Rounds<'a> {
    pub(super) count: u32,
    pub(super) stop: &'a Stop,
    pub(super) shown: &'a mut Progress,
}

impl Rounds<'_> {
    /// The CPU time of each of `works`, measured in turn, and once before that counts for nothing.
    /// Nothing else may work in this process meanwhile.
    pub(super) fn cpu_of<const N: usize>(
        &mut self,
        what: &'static str,
        works: [Work<'_>; N],
    ) -> Result<[Samples; N], Ending> {
        let mut samples = [const { Samples(Vec::new()) }; N];
        for round in 0..=self.count {
            self.shown.work(what, round.into(), self.count.into());
            for (work, samples) in works.iter().zip(&mut samples) {
                self.stop.check()?;
                let (right, spent) = cpu_of(work).map_err(Ending::failed)?;
                if !right {
                    return Err(Ending::failed(MeasureError::WrongVerdict { what }));
                }
                if round > 0 {
                    samples.push(spent);
                }
            }
        }
        Ok(samples)
    }
}

fn cpu_of(work: Work<'_>) -> Result<(bool, Duration), MeasureError> {
    let before = process_cpu().ok_or(MeasureError::NoClock)?;
    let right = work();
    let after = process_cpu().ok_or(MeasureError::NoClock)?;
    Ok((right, after.saturating_sub(before)))
}

/// One figure for each round. Unit: seconds.
#[derive(Debug, Clone, Default)]
pub(super) struct Samples(Vec<f64>);

impl Samples {
    /// These figures, one for each round.
    pub(super) fn of(figures: impl IntoIterator<Item = f64>) -> Self {
        Self(figures.into_iter().collect())
    }

    /// Adds the figure of the next round.
    pub(super) fn push(&mut self, time: Duration) {
        self.0.push(time.as_secs_f64());
    }

    /// The same, all figures times `factor`.
    pub(super) fn times(&self, factor: f64) -> Self {
        Self(self.0.iter().map(|seconds| seconds * factor).collect())
    }

    /// The median; of no rounds not a number.
    pub(super) fn median(&self) -> f64 {
        median(self.0.clone())
    }

    /// The median of the ratios within each round: these over `others`.
    pub(super) fn over(&self, others: &Self) -> f64 {
        median(self.0.iter().zip(&others.0).map(|(this, other)| this / other).collect())
    }
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    let at = |index: usize| figures.get(index).copied();
    let lower = if figures.len().is_multiple_of(2) { middle.checked_sub(1) } else { Some(middle) };
    match (lower.and_then(at), at(middle)) {
        (Some(lower), Some(upper)) => f64::midpoint(lower, upper),
        (None, _) | (_, None) => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(millis: &[u64]) -> Samples {
        let mut samples = Samples::default();
        millis.iter().for_each(|millis| samples.push(Duration::from_millis(*millis)));
        samples
    }

    #[test]
    fn median_is_the_middle_and_one_slow_round_changes_nothing() {
        assert!((samples(&[3, 1, 900]).median() - 0.003).abs() < 1e-9);
        assert!((samples(&[4, 2]).median() - 0.003).abs() < 1e-9);
        assert!(samples(&[]).median().is_nan());
    }

    #[test]
    fn ratios_are_taken_within_rounds() {
        // The machine was ten times slower in the second round, for both.
        let (this, other) = (samples(&[1, 10, 1]), samples(&[2, 20, 2]));
        assert!((this.over(&other) - 0.5).abs() < 1e-9);
        assert!((this.times(4.0).over(&other) - 2.0).abs() < 1e-9);
    }
}
