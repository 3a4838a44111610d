//! What the runs say of each policy.

use std::collections::BTreeMap;

use super::{mixes::Mix, policies::Contender, run::Run};

/// One policy in one mix: medians over all seeds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    pub(crate) mix: Mix,
    pub(crate) contender: Contender,
    /// Unit: seconds of virtual time.
    pub(crate) seconds: f64,
    /// Time over that of the fastest policy with the same seed.
    pub(crate) over_fastest: f64,
    /// Bytes carried beyond the chain's, over the chain's.
    pub(crate) duplicates: f64,
    /// The longest time without an import. Unit: seconds.
    pub(crate) gap_seconds: f64,
    /// Bytes imported over what the links could have carried.
    pub(crate) utilisation: f64,
    /// Runs that were given up.
    pub(crate) given_up: usize,
}

/// What decides whether ours is good enough. Each is none where the runs do not tell.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Headlines {
    /// Part of all runs of a mix and a seed in which ours is as fast as the fastest.
    pub(crate) fastest_share: Option<f64>,
    /// With mixed speeds: median time of the best other policy over ours, less 1.
    pub(crate) margin_on_mixed_speeds: Option<f64>,
    /// The same for the fixed size.
    pub(crate) margin_over_fixed_on_mixed_speeds: Option<f64>,
    /// Most that ours took over the fastest in any run, less 1.
    pub(crate) worst_loss: Option<f64>,
}

/// The time of the fastest policy of each mix and seed. Unit: seconds.
fn fastest(runs: &[Run]) -> BTreeMap<(Mix, u64), f64> {
    let mut fastest = BTreeMap::new();
    for run in runs {
        let best = fastest.entry((run.key.mix, run.key.seed)).or_insert(f64::INFINITY);
        *best = run.time().as_secs_f64().min(*best);
    }
    fastest
}

fn over(run: &Run, fastest: &BTreeMap<(Mix, u64), f64>) -> f64 {
    let best = fastest.get(&(run.key.mix, run.key.seed)).copied().unwrap_or(f64::NAN);
    run.time().as_secs_f64() / best
}

/// A row for each policy in each mix, in their order.
pub(crate) fn rows(runs: &[Run]) -> Vec<Row> {
    let fastest = fastest(runs);
    let mut of: BTreeMap<(Mix, Contender), Vec<&Run>> = BTreeMap::new();
    for run in runs {
        of.entry((run.key.mix, run.key.contender)).or_default().push(run);
    }
    let row = |((mix, contender), runs): ((Mix, Contender), Vec<&Run>)| {
        let all = |figure: &dyn Fn(&Run) -> f64| median(runs.iter().map(|run| figure(run)));
        Row {
            mix,
            contender,
            seconds: all(&|run| run.time().as_secs_f64()),
            over_fastest: all(&|run| over(run, &fastest)),
            duplicates: all(&|run| run.outcome.duplicates),
            gap_seconds: all(&|run| run.outcome.gap.as_secs_f64()),
            utilisation: all(&|run| run.outcome.utilisation),
            given_up: runs.iter().filter(|run| !run.outcome.complete).count(),
        }
    };
    of.into_iter().map(row).collect()
}

/// The figures to reach.
pub(crate) fn headlines(runs: &[Run]) -> Headlines {
    let fastest = fastest(runs);
    let ours = runs.iter().filter(|run| run.key.contender == Contender::Ours);
    let ours: Vec<_> = ours.map(|run| over(run, &fastest) - 1.0).collect();
    let as_fast = ours.iter().filter(|loss| **loss <= 0.0).count();
    let mixed = |of: &dyn Fn(Contender) -> bool| {
        let rows = rows(runs);
        let rows = rows.iter().filter(|row| row.mix == Mix::MixedSpeeds && of(row.contender));
        rows.map(|row| row.seconds).min_by(f64::total_cmp)
    };
    let margin = |of: &dyn Fn(Contender) -> bool| {
        mixed(of).zip(mixed(&|c| c == Contender::Ours)).map(|(other, ours)| other / ours - 1.0)
    };
    Headlines {
        fastest_share: (!ours.is_empty()).then(|| as_fast as f64 / ours.len() as f64),
        margin_on_mixed_speeds: margin(&|c| c != Contender::Ours),
        margin_over_fixed_on_mixed_speeds: margin(&|c| c == Contender::Fixed),
        worst_loss: ours.into_iter().max_by(f64::total_cmp),
    }
}

/// The median; of nothing not a number.
fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<_> = figures.collect();
    figures.sort_by(f64::total_cmp);
    let at = |index: usize| figures.get(index).copied().unwrap_or(f64::NAN);
    f64::midpoint(at(figures.len().saturating_sub(1) / 2), at(figures.len() / 2))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{
        super::{run::RunKey, world::Outcome},
        *,
    };

    fn run(mix: Mix, seed: u64, contender: Contender, millis: u64) -> Run {
        let outcome = Outcome {
            time: Duration::from_millis(millis),
            complete: true,
            duplicates: 0.0,
            gap: Duration::ZERO,
            utilisation: 1.0,
        };
        Run { key: RunKey { mix, seed, contender }, outcome }
    }

    #[test]
    fn ratios_are_taken_within_a_mix_and_seed() {
        use Contender::{Fixed, Geth, Ours};
        let runs = [
            run(Mix::MixedSpeeds, 1, Ours, 10_000),
            run(Mix::MixedSpeeds, 1, Geth, 12_500),
            run(Mix::MixedSpeeds, 1, Fixed, 20_000),
            run(Mix::MixedSpeeds, 2, Ours, 1_004),
            run(Mix::MixedSpeeds, 2, Geth, 1_000),
            run(Mix::MixedSpeeds, 2, Fixed, 1_500),
            run(Mix::Uniform, 1, Ours, 1_010),
            run(Mix::Uniform, 1, Geth, 1_000),
        ];
        let near = |found: Option<f64>, wanted: f64| (found.unwrap() - wanted).abs() < 1e-9;
        let found = headlines(&runs);
        assert!(near(found.fastest_share, 1.0 / 3.0), "{found:?}");
        assert!(near(found.worst_loss, 0.01), "{found:?}");
        // Medians of ours 5.502 s, of geth 6.75 s, of the fixed size 10.75 s.
        assert!(near(found.margin_on_mixed_speeds, 6.75 / 5.502 - 1.0), "{found:?}");
        let fixed = found.margin_over_fixed_on_mixed_speeds;
        assert!(near(fixed, 10.75 / 5.502 - 1.0), "{found:?}");
        let rows = rows(&runs);
        assert_eq!(rows.len(), 5);
        let geth = rows.iter().find(|row| (row.mix, row.contender) == (Mix::MixedSpeeds, Geth));
        assert!(near(geth.map(|row| row.over_fastest), f64::midpoint(1.25, 1.0)));
    }

    #[test]
    fn nothing_is_told_of_policies_that_did_not_run() {
        let none = headlines(&[run(Mix::Uniform, 1, Contender::Geth, 1_000)]);
        assert_eq!((none.fastest_share, none.worst_loss), (None, None));
        assert_eq!(none.margin_on_mixed_speeds, None);
    }
}
