use proptest::prelude::*;

use super::*;

const HOUR: Duration = Duration::from_secs(3_600);
const WEIGHTS: ScoreWeights =
    ScoreWeights { trust: 250, reliability: 350, performance: 250, behaviour: 150 };

fn good(mass: f64) -> Mass {
    Mass { good: mass, bad: 0.0 }
}

fn bad(mass: f64) -> Mass {
    Mass { good: 0.0, bad: mass }
}

fn after(seen: &[(Part, Mass)]) -> Score {
    let mut score = Score::stranger(HOUR);
    seen.iter().for_each(|(part, mass)| score.add(HOUR, HOUR, *part, *mass));
    score
}

#[test]
fn strangers_score_is_what_the_product_says() {
    let score = Score::stranger(HOUR);
    assert_eq!(Part::ALL.map(|part| score.permille(part)), [500, 500, 500, 1_000]);
    assert_eq!(score.overall(ScoreWeights::default()), 575);
    assert_eq!(ScoreWeights::default(), WEIGHTS);
}

#[test]
fn each_part_counts_by_its_weight_exactly() {
    // A part at its limit as far as mass goes: 25/26 or 1/26 of the whole, behaviour 1/25.
    let cases = [
        (Part::Trust, good(24.0), 575 + 115),
        (Part::Trust, bad(24.0), 575 - 115),
        (Part::Reliability, good(24.0), 575 + 162),
        (Part::Reliability, bad(24.0), 575 - 162),
        (Part::Performance, good(24.0), 575 + 115),
        (Part::Performance, bad(24.0), 575 - 115),
        (Part::Behaviour, good(24.0), 575),
        (Part::Behaviour, bad(24.0), 575 - 144),
    ];
    for (part, mass, overall) in cases {
        assert_eq!(after(&[(part, mass)]).overall(WEIGHTS), overall, "{part:?} {mass:?}");
    }
    let only = ScoreWeights { trust: 1_000, reliability: 0, performance: 0, behaviour: 0 };
    assert_eq!(after(&[(Part::Trust, good(2.0))]).overall(only), 750);
    assert!(only.are_whole() && WEIGHTS.are_whole());
    assert!(!ScoreWeights { trust: 999, ..only }.are_whole());
}

#[test]
fn mass_halves_with_each_half_life_and_parts_go_back_to_a_strangers() {
    let mut score = after(&[(Part::Reliability, bad(6.0)), (Part::Behaviour, bad(3.0))]);
    assert_eq!(score.permille(Part::Reliability), 125);
    assert_eq!(score.permille(Part::Behaviour), 250);
    score.decay(2 * HOUR, HOUR);
    assert_eq!(score.permille(Part::Reliability), 200);
    assert_eq!(score.permille(Part::Behaviour), 400);
    score.decay(3 * HOUR, HOUR);
    assert_eq!(score.permille(Part::Reliability), 286);
    score.decay(100 * HOUR, HOUR);
    assert_eq!(score.overall(WEIGHTS), 575);
}

#[test]
fn clock_that_goes_back_changes_nothing() {
    let mut score = after(&[(Part::Trust, good(4.0))]);
    let before = score;
    score.decay(Duration::ZERO, HOUR);
    assert_eq!(score, before);
}

#[test]
fn peer_that_turns_bad_is_not_carried_by_what_it_was() {
    let mut score = Score::stranger(HOUR);
    for _ in 0..100_000 {
        score.add(HOUR, HOUR, Part::Reliability, good(1.0));
    }
    for _ in 0..24 {
        score.add(HOUR, HOUR, Part::Reliability, bad(1.0));
    }
    assert!(score.part(Part::Reliability) < 0.4, "{score:?}");
}

#[test]
fn stored_scores_that_cannot_be_are_told() {
    assert!(after(&[(Part::Trust, good(40.0))]).is_sound());
    for mass in [good(f64::NAN), good(-1.0), bad(f64::INFINITY), bad(25.0)] {
        let mut score = Score::stranger(HOUR);
        score.masses[0] = mass;
        assert!(!score.is_sound(), "{mass:?}");
    }
}

fn part() -> impl Strategy<Value = Part> {
    prop::sample::select(Part::ALL.to_vec())
}

fn seen() -> impl Strategy<Value = (Part, Mass)> {
    let mass = prop_oneof![(0.0..8.0).prop_map(good), (0.0..8.0).prop_map(bad)];
    (part(), mass)
}

/// Observations with pauses between them.
fn history() -> impl Strategy<Value = Vec<(u64, (Part, Mass))>> {
    prop::collection::vec((0_u64..4_000, seen()), 0..60)
}

fn replay(history: &[(u64, (Part, Mass))]) -> Score {
    let (mut now, mut score) = (HOUR, Score::stranger(HOUR));
    for (pause, (part, mass)) in history {
        now += Duration::from_secs(*pause);
        score.add(now, HOUR, *part, *mass);
    }
    score
}

proptest! {
    #[test]
    fn parts_and_score_are_always_fractions(history in history()) {
        let score = replay(&history);
        for part in Part::ALL {
            prop_assert!((0.0..=1.0).contains(&score.part(part)), "{score:?}");
        }
        prop_assert!(score.overall(WEIGHTS) <= 1_000);
        prop_assert!(score.is_sound());
    }

    /// Also far beyond the most mass, and whatever comes before and after.
    #[test]
    fn score_is_monotone_in_evidence(
        history in history(),
        at in any::<prop::sample::Index>(),
        part in part(),
        mass in 0.0..8.0_f64,
    ) {
        let at = at.index(history.len() + 1);
        let with = |mass| {
            let mut more = history.clone();
            more.insert(at, (0, (part, mass)));
            replay(&more)
        };
        let (worse, same, better) = (with(bad(mass)), replay(&history), with(good(mass)));
        for part in Part::ALL {
            prop_assert!(worse.part(part) <= same.part(part) + 1e-9);
            prop_assert!(same.part(part) <= better.part(part) + 1e-9);
        }
    }

    #[test]
    fn order_of_little_evidence_does_not_matter(
        mut seen in prop::collection::vec((part(), 0.0..0.6_f64, any::<bool>()), 0..40),
        swaps in prop::collection::vec(any::<(prop::sample::Index, prop::sample::Index)>(), 40),
    ) {
        let told = |seen: &[(Part, f64, bool)]| {
            let mass = |mass: f64, is_good: bool| if is_good { good(mass) } else { bad(mass) };
            let all: Vec<_> = seen.iter().map(|(part, of, is)| (*part, mass(*of, *is))).collect();
            after(&all)
        };
        let before = told(&seen);
        if !seen.is_empty() {
            for (one, other) in swaps {
                let (one, other) = (one.index(seen.len()), other.index(seen.len()));
                seen.swap(one, other);
            }
        }
        let after = told(&seen);
        for part in Part::ALL {
            prop_assert!((before.part(part) - after.part(part)).abs() < 1e-9);
        }
    }

    #[test]
    fn time_alone_only_brings_a_peer_nearer_to_a_stranger(
        history in history(),
        seconds in 1_u64..100_000,
    ) {
        let (mut score, stranger) = (replay(&history), Score::stranger(HOUR));
        let far = |score: &Score, part| (score.part(part) - stranger.part(part)).abs();
        let before = Part::ALL.map(|part| far(&score, part));
        score.decay(score.at + Duration::from_secs(seconds), HOUR);
        for (part, before) in Part::ALL.into_iter().zip(before) {
            prop_assert!(far(&score, part) <= before + 1e-9);
        }
    }
}
