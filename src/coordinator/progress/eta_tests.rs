//! Syncs simulated in virtual time: how wrong the ETA is, how sure it says it is, how it moves.
//! The bounds: median error 15 %, nine of ten 35 %, over the last four fifths of a sync; the true
//! time within the stated range four times of five; never twice or half of the tick before.

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

use super::{super::Progress, *};
use crate::{coordinator::stall::StallWatch, types::Height};

/// Time between two looks. Unit: seconds.
const TICK: f64 = 0.1;
/// Time after a change of the speed from which on the error counts. Unit: seconds.
const SETTLED_AFTER: f64 = 10.0;
/// When the speed changes. Unit: seconds.
const CHANGE_AT: f64 = 50.0;
/// Unit: bytes per second.
const SPEED: f64 = 200_000.0;
const SLOT: Duration = Duration::from_secs(2);

#[allow(clippy::cast_possible_truncation, reason = "what is left of a block is no block")]
fn whole(number: f64) -> u64 {
    number as u64
}

/// A sync over one link. What has arrived is imported at once.
struct Sync {
    blocks: u64,
    /// Bytes per second, by the time.
    speed: Box<dyn FnMut(f64) -> f64>,
    /// Bytes of the next block.
    size: Box<dyn FnMut() -> f64>,
    /// Time between two imports. Unit: seconds.
    every: f64,
    /// Blocks by which the network grows, and the seconds that takes.
    growth: (u64, f64),
}

impl Sync {
    /// Of `seconds`, in blocks of a kilobyte.
    fn of(seconds: f64) -> Self {
        Self {
            blocks: whole(seconds * SPEED / 1_000.0),
            speed: Box::new(|_| SPEED),
            size: Box::new(|| 1_000.0),
            every: 0.0,
            growth: (0, 1.0),
        }
    }
}

/// What is known at one moment.
struct Tick {
    at: f64,
    /// The time that it will have taken from now.
    left: f64,
    eta: Option<Eta>,
    stalled: bool,
}

fn run(mut sync: Sync) -> Vec<Tick> {
    let mut progress = Progress::default();
    let mut stalls = StallWatch::default();
    let (mut bytes, mut ready, mut ready_bytes, mut head) = (0.0, 0, 0.0, 0);
    let (mut size, mut imported_at) = ((sync.size)(), 0.0);
    let mut ticks = Vec::new();
    for number in 1.. {
        let at = f64::from(number) * TICK;
        let now = Duration::from_secs_f64(at);
        let target = sync.blocks + sync.growth.0 * whole(at / sync.growth.1);
        bytes += (sync.speed)(at) * TICK;
        while bytes >= size && head + ready < target {
            (bytes, ready, ready_bytes) = (bytes - size, ready + 1, ready_bytes + size);
            size = (sync.size)();
        }
        let last = head + ready == target;
        if ready > 0 && (last || at - imported_at >= sync.every) {
            progress.imported(now, ready, whole(ready_bytes), Height::new(target));
            (head, ready, ready_bytes, imported_at) = (head + ready, 0, 0.0, at);
        }
        progress.tick(now);
        stalls.look(now, Height::new(head), head < target);
        let stalled = stalls.stall(now, 1).is_some();
        let eta = progress.eta(now, Height::new(head), Height::new(target), SLOT);
        ticks.push(Tick { at, left: 0.0, eta, stalled });
        if head == target {
            ticks.iter_mut().for_each(|tick| tick.left = at - tick.at);
            return ticks;
        }
    }
    ticks
}

/// A sync whose speed changes by `factor`. Before that, what is left is what would be left
/// without the change, which nobody can know.
fn changed(factor: f64, seconds: f64, sync: impl Fn() -> Sync) -> Vec<Tick> {
    let speed = move |at: f64| if at < CHANGE_AT { SPEED } else { factor * SPEED };
    let blocks = (CHANGE_AT + factor * (seconds - CHANGE_AT)) / seconds;
    let blocks = whole(sync().blocks as f64 * blocks);
    let even = run(Sync { blocks, ..sync() }).into_iter().filter(|tick| tick.at < CHANGE_AT);
    let after = run(Sync { blocks, speed: Box::new(speed), ..sync() });
    even.chain(after.into_iter().filter(|tick| tick.at >= CHANGE_AT)).collect()
}

fn settled(tick: &Tick) -> bool {
    !(CHANGE_AT..CHANGE_AT + SETTLED_AFTER).contains(&tick.at)
}

/// Speeds that differ by about 30 % from one span to the next, by chance.
fn noisy(seed: u64, span: f64) -> Box<dyn FnMut(f64) -> f64> {
    let mut rng = StdRng::seed_from_u64(seed);
    let (mut until, mut speed) = (0.0, SPEED);
    Box::new(move |at| {
        if at >= until {
            (until, speed) = (until + span, SPEED * rng.random_range(0.5..1.5));
        }
        speed
    })
}

/// Speeds that drift about 20 % away and back, each time for about `span` seconds.
fn drifting(seed: u64, span: f64) -> Box<dyn FnMut(f64) -> f64> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut drift = 0.0_f64;
    let kept = (-TICK / span).exp();
    Box::new(move |_| {
        let push: f64 = rng.random_range(-0.35..0.35);
        drift = kept * drift + (1.0 - kept * kept).sqrt() * push;
        SPEED * drift.exp()
    })
}

/// Sizes of blocks from one to twenty.
fn sizes(seed: u64) -> Box<dyn FnMut() -> f64> {
    let mut rng = StdRng::seed_from_u64(seed);
    Box::new(move || 5_000.0 / rng.random_range(0.05..1.0))
}

/// How good the ETA was over the last four fifths of some syncs.
#[derive(Debug)]
struct Score {
    median: f64,
    p90: f64,
    /// The part of the ticks whose range has the true time in it.
    in_range: f64,
    /// Greatest factor between an ETA and that of the tick before. Below a second nobody sees it.
    leap: f64,
    /// The median of the range: its high end divided by its low end.
    range: f64,
}

impl Score {
    fn of(syncs: &[Vec<Tick>], counts: impl Fn(&Tick) -> bool) -> Self {
        let (mut errors, mut ranges, mut in_range, mut leap) = (vec![], vec![], 0.0, 1.0_f64);
        for ticks in syncs {
            let end = ticks.last().unwrap().at;
            for (before, tick) in ticks.iter().zip(&ticks[1..]) {
                let Some(eta) = tick.eta.filter(|_| !tick.stalled) else { continue };
                if let Some(before) = before.eta.filter(|_| !before.stalled) {
                    let factor = eta.seconds.max(1.0) / before.seconds.max(1.0);
                    leap = leap.max(factor).max(factor.recip());
                }
                assert!(eta.low <= eta.seconds && eta.seconds <= eta.high, "{eta:?}");
                if tick.at < 0.2 * end || tick.left < TICK {
                    continue;
                }
                // Nobody sees a tenth of a second.
                let range = eta.low - TICK..=eta.high + TICK;
                in_range += f64::from(u8::from(range.contains(&tick.left)));
                ranges.push(eta.high / eta.low);
                if counts(tick) {
                    errors.push((eta.seconds - tick.left).abs() / tick.left);
                }
            }
            let silent = |tick: &&Tick| tick.at > 0.2 * end && !tick.stalled && tick.eta.is_none();
            assert_eq!(ticks.iter().filter(silent).count(), 0, "unknown for no reason");
        }
        errors.sort_by(f64::total_cmp);
        ranges.sort_by(f64::total_cmp);
        Self {
            median: errors[errors.len() / 2],
            p90: errors[errors.len() * 9 / 10],
            in_range: in_range / ranges.len() as f64,
            leap,
            range: ranges[ranges.len() / 2],
        }
    }

    fn within_bounds(self) -> Self {
        let error = self.median <= 0.15 && self.p90 <= 0.35;
        assert!(error && self.in_range >= 0.8 && self.leap <= 2.0, "{self:?}");
        self
    }
}

#[test]
fn eta_of_an_even_sync_is_right_and_sure() {
    let score = Score::of(&[run(Sync::of(100.0))], |_| true).within_bounds();
    assert!(score.p90 < 0.01 && score.range < 1.4, "{score:?}");
}

#[test]
fn eta_follows_a_link_that_becomes_four_times_as_fast_or_as_slow() {
    for factor in [4.0, 0.25] {
        for every in [0.0, 2.0] {
            let ticks = changed(factor, 150.0, || Sync { every, ..Sync::of(150.0) });
            let score = Score::of(&[ticks], settled).within_bounds();
            assert!(score.range < 2.0, "{factor} {every}: {score:?}");
        }
    }
}

#[test]
fn eta_follows_a_link_whose_blocks_differ_twentyfold_in_size() {
    for factor in [4.0, 0.25] {
        let sync = |seed| Sync { blocks: 2_000, size: sizes(seed), ..Sync::of(0.0) };
        let syncs = [1, 2, 3].map(|seed| changed(factor, 150.0, || sync(seed)));
        let score = Score::of(&syncs, settled).within_bounds();
        // By blocks alone the slower link would be seen at twice the error.
        assert!(score.median < 0.08 && score.p90 < 0.22, "{factor}: {score:?}");
    }
}

#[test]
fn eta_of_a_noisy_link_knows_how_sure_it_is() {
    // Noise that cancels out within a slice, and noise that is longer than one.
    for span in [0.1, 1.0, 7.0] {
        let syncs = [1, 2, 3].map(|seed| run(Sync { speed: noisy(seed, span), ..Sync::of(200.0) }));
        let _ = Score::of(&syncs, |_| true).within_bounds();
    }
}

#[test]
fn eta_of_a_link_that_drifts_knows_that_it_does() {
    let syncs = [1, 2, 3].map(|seed| run(Sync { speed: drifting(seed, 20.0), ..Sync::of(300.0) }));
    let _ = Score::of(&syncs, |_| true).within_bounds();
}

#[test]
fn eta_counts_down_between_batches() {
    for every in [0.5, 2.5] {
        let score = Score::of(&[run(Sync { every, ..Sync::of(100.0) })], |_| true);
        assert!(score.within_bounds().p90 < 0.05);
        let noisy =
            [4, 5, 6].map(|seed| run(Sync { every, speed: noisy(seed, 1.0), ..Sync::of(200.0) }));
        let _ = Score::of(&noisy, |_| true).within_bounds();
    }
}

#[test]
fn eta_after_a_stall_is_that_of_a_sync_that_moves() {
    let stalled = |at: f64| (30.0..50.0).contains(&at);
    let speed = Box::new(move |at| if stalled(at) { 0.0 } else { SPEED });
    let ticks = run(Sync { speed, ..Sync::of(100.0) });
    assert!(ticks.iter().any(|tick| tick.stalled));
    // What is left before the stall has it in it, which nobody can know.
    let after: Vec<Tick> = ticks.into_iter().filter(|tick| tick.at > 49.0).collect();
    let score = Score::of(&[after], |_| true).within_bounds();
    assert!(score.p90 < 0.05, "{score:?}");
}

#[test]
fn eta_of_a_sync_that_stalls_again_and_again_counts_on_stalls() {
    let speed = Box::new(|at| if at % 30.0 < 15.0 { SPEED } else { 0.0 });
    let _ = Score::of(&[run(Sync { speed, ..Sync::of(300.0) })], |_| true).within_bounds();
}

#[test]
fn eta_is_when_a_target_that_moves_is_reached() {
    // Three blocks a second towards a target that grows by half a block a second, told one by one
    // or ten at a time.
    for growth in [(1, 2.0), (10, 20.0)] {
        let size = Box::new(|| SPEED / 3.0);
        let ticks = run(Sync { blocks: 600, size, growth, ..Sync::of(0.0) });
        let _ = Score::of(&[ticks], |_| true).within_bounds();
    }
}

/// A sync of 20 blocks in each of three seconds, to `target`.
fn begun(target: Height) -> (Duration, Progress) {
    let mut progress = Progress::default();
    let mut now = Duration::ZERO;
    for _ in 0..30 {
        now += Duration::from_secs_f64(TICK);
        progress.imported(now, 2, 2_000, target);
        progress.tick(now);
    }
    (now, progress)
}

#[test]
fn nothing_is_told_before_anything_is_known_and_after_the_way_was_left() {
    let (head, target) = (Height::new(60), Height::new(260));
    assert_eq!(Progress::default().eta(Duration::ZERO, head, target, SLOT), None);
    let (now, mut progress) = begun(target);
    let eta = progress.eta(now, head, target, SLOT).unwrap();
    assert!((eta.seconds - 10.0).abs() < 1e-6, "{eta:?}");
    assert_eq!(progress.eta(now, target, target, SLOT), Some(Eta::ARRIVED));
    progress.begin_anew();
    assert_eq!(progress.eta(now, head, target, SLOT), None);
}

#[test]
fn target_that_leaps_makes_no_speed_and_one_that_runs_away_is_not_reached() {
    let (head, target) = (Height::new(60), Height::new(10_000));
    let (now, mut progress) = begun(Height::new(260));
    let soon = now + Duration::from_secs_f64(TICK);
    progress.imported(soon, 2, 2_000, target);
    progress.tick(soon);
    let eta = progress.eta(soon, head, target, SLOT).unwrap();
    assert!((9_940.0 / 20.0..9_940.0 / 19.0).contains(&eta.seconds), "{eta:?}");
    let quick = Duration::from_millis(50);
    assert_eq!(progress.eta(soon, head, target, quick), None);
}
