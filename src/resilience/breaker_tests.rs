use proptest::prelude::*;

use super::{
    BreakerState::{Closed, HalfOpen, Open},
    CallEnd::{Failed, NoNews, Succeeded},
    *,
};

const SECOND: Duration = Duration::from_secs(1);
const FIRST: Duration = Duration::from_secs(300);
const MAX: Duration = Duration::from_secs(3_600);

const SETTINGS: BreakerSettings = BreakerSettings {
    failures_in_row: 5,
    window: 20,
    window_least: 10,
    window_within: Duration::from_secs(60),
    failed_share: 750,
    early_every: Duration::from_secs(2),
};

/// A breaker with its pauses and the time.
struct World {
    breaker: Breaker,
    pauses: Pauses,
    now: Duration,
}

impl World {
    fn new() -> Self {
        let pauses = Pauses::new(FIRST, MAX, 1);
        Self { breaker: Breaker::new(SETTINGS), pauses, now: SECOND }
    }

    fn admit(&mut self) -> Result<Pass, Duration> {
        self.breaker.admit(self.now, false)
    }

    fn end(&mut self, pass: Pass, end: CallEnd) {
        self.breaker.ended(self.now, pass, end, &mut self.pauses);
    }

    /// One call that ends before the next.
    fn call(&mut self, end: CallEnd) {
        let pass = self.admit().unwrap();
        self.end(pass, end);
    }

    /// A world whose breaker has just opened.
    fn open() -> Self {
        let mut world = Self::new();
        (0..5).for_each(|_| world.call(Failed));
        assert_eq!(world.breaker.state(), Open);
        world
    }
}

#[test]
fn five_failures_in_a_row_open_it_for_300_seconds_and_a_probe_closes_it() {
    let mut world = World::new();
    for failures in 0..5 {
        assert_eq!(world.breaker.failures_in_row(), failures);
        assert_eq!(world.breaker.state(), Closed);
        world.call(Failed);
    }
    assert_eq!(world.admit(), Err(FIRST));
    world.now += FIRST - Duration::from_nanos(1);
    assert_eq!(world.admit(), Err(Duration::from_nanos(1)));
    world.now += Duration::from_nanos(1);
    let probe = world.admit().unwrap();
    assert!(probe.is_probe && world.breaker.state() == HalfOpen);
    assert_eq!(world.admit(), Err(Duration::ZERO), "exactly one probe");
    world.end(probe, Succeeded);
    assert_eq!(world.breaker.state(), Closed);
    assert!(!world.admit().unwrap().is_probe);
}

#[test]
fn success_between_failures_ends_the_row() {
    let mut world = World::new();
    for _ in 0..3 {
        (0..4).for_each(|_| world.call(Failed));
        (0..4).for_each(|_| world.call(Succeeded));
    }
    assert_eq!((world.breaker.state(), world.breaker.failures_in_row()), (Closed, 0));
}

#[test]
fn it_opens_when_more_than_the_share_of_the_window_failed() {
    let mut world = World::new();
    for _ in 0..3 {
        world.call(Succeeded);
        (0..3).for_each(|_| world.call(Failed));
    }
    world.call(Failed);
    assert_eq!(world.breaker.failures_in_row(), 4);
    assert_eq!(world.breaker.state(), Open, "10 of 13 failed");

    let mut slow = World::new();
    for _ in 0..10 {
        slow.call(Succeeded);
        (0..4).for_each(|_| slow.call(Failed));
        slow.now += Duration::from_secs(61);
    }
    assert_eq!(slow.breaker.state(), Closed, "five outcomes in a minute say too little");
}

#[test]
fn calls_that_were_open_together_fail_as_one() {
    let mut world = World::new();
    for _ in 0..4 {
        let open: Vec<_> = (0..24).map(|_| world.admit().unwrap()).collect();
        open.into_iter().for_each(|pass| world.end(pass, Failed));
    }
    assert_eq!((world.breaker.failures_in_row(), world.breaker.state()), (4, Closed));
    world.call(Failed);
    assert_eq!(world.breaker.state(), Open);
}

#[test]
fn each_failed_probe_makes_the_next_pause_longer() {
    let mut world = World::open();
    let mut longest = FIRST;
    for whole in [600, 1_200, 2_400, 3_600, 3_600] {
        world.now = world.breaker.open_until().unwrap();
        world.call(Failed);
        let pause = world.admit().unwrap_err();
        let whole = Duration::from_secs(whole);
        assert!((whole / 2..=whole).contains(&pause), "{pause:?}");
        longest = longest.max(pause);
    }
    assert!(longest > 2 * FIRST);
    world.now = world.breaker.open_until().unwrap();
    world.call(Succeeded);
    (0..5).for_each(|_| world.call(Failed));
    assert_eq!(world.admit(), Err(FIRST), "a success makes up for all of them");
}

#[test]
fn probe_without_an_outcome_gives_its_place_free() {
    let mut world = World::open();
    world.now += FIRST;
    for _ in 0..3 {
        world.call(NoNews);
        assert_eq!(world.breaker.state(), HalfOpen);
    }
    world.call(Succeeded);
    assert_eq!(world.breaker.state(), Closed);
}

#[test]
fn success_of_a_call_that_began_before_lets_the_next_call_see() {
    let mut world = World::new();
    let before = world.admit().unwrap();
    (0..5).for_each(|_| world.call(Failed));
    assert_eq!(world.breaker.state(), Open);
    world.end(before, Succeeded);
    assert_eq!(world.breaker.state(), HalfOpen);
    assert!(world.admit().unwrap().is_probe);
}

#[test]
fn probe_before_its_time_comes_every_two_seconds_and_costs_no_longer_pause() {
    let mut world = World::open();
    let until = world.breaker.open_until();
    for end in [Failed, NoNews, Failed] {
        assert!(world.breaker.admit(world.now, true).is_err(), "too soon");
        world.now += 2 * SECOND;
        assert!(world.breaker.admit(world.now, false).is_err(), "not without need");
        let probe = world.breaker.admit(world.now, true).unwrap();
        assert_eq!(world.breaker.admit(world.now, true), Err(Duration::ZERO), "one at a time");
        world.end(probe, end);
        assert_eq!(world.breaker.open_until(), until);
    }
    world.now += 2 * SECOND;
    let probe = world.breaker.admit(world.now, true).unwrap();
    world.end(probe, Succeeded);
    assert_eq!(world.breaker.state(), Closed);
}

#[test]
fn what_is_taken_back_is_as_if_it_had_not_been() {
    let mut world = World::new();
    (0..3).for_each(|_| world.call(Failed));
    world.now += SECOND;
    let since = world.now;
    (0..2).for_each(|_| world.call(Failed));
    assert_eq!(world.breaker.state(), Open);
    world.breaker.take_back(since);
    assert_eq!((world.breaker.state(), world.breaker.failures_in_row()), (Closed, 3));

    let mut world = World::open();
    let until = world.breaker.open_until();
    world.breaker.take_back(world.now + SECOND);
    assert_eq!(world.breaker.open_until(), until, "it opened before");
    world.now = until.unwrap();
    let since = world.now;
    world.call(Failed);
    world.breaker.take_back(since);
    assert_eq!(world.breaker.state(), HalfOpen, "its probe failed since");
    world.call(Failed);
    let pause = world.admit().unwrap_err();
    assert!((FIRST..=2 * FIRST).contains(&pause), "as after one failed probe: {pause:?}");
}

#[derive(Debug, Clone)]
enum Step {
    Wait(Duration),
    Admit { early: bool },
    End { which: prop::sample::Index, end: CallEnd },
    TakeBack { before: Duration },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let end = prop_oneof![3 => Just(Failed), 1 => Just(Succeeded), 1 => Just(NoNews)];
    let seconds = |most: u64| (0..most).prop_map(Duration::from_secs);
    let step = prop_oneof![
        2 => seconds(3).prop_map(Step::Wait),
        1 => seconds(2_000).prop_map(Step::Wait),
        8 => any::<bool>().prop_map(|early| Step::Admit { early }),
        8 => (any::<prop::sample::Index>(), end).prop_map(|(which, end)| Step::End { which, end }),
        1 => seconds(400).prop_map(|before| Step::TakeBack { before }),
    ];
    prop::collection::vec(step, 1..200)
}

/// What a step may make of a state, besides leaving it.
fn may_become(step: &Step, from: BreakerState, to: BreakerState) -> bool {
    match (step, from, to) {
        (_, from, to) if from == to => true,
        (Step::Admit { .. }, Open, HalfOpen) => true,
        (Step::End { end: Failed, .. }, Closed | HalfOpen, Open) => true,
        (Step::End { end: Succeeded, .. }, Open, HalfOpen) => true,
        (Step::End { end: Succeeded, .. }, HalfOpen, Closed) => true,
        // An early probe.
        (Step::End { end: NoNews, .. }, HalfOpen, Open) => true,
        (Step::TakeBack { .. }, Open, HalfOpen) => true,
        (Step::TakeBack { .. }, Open | HalfOpen, Closed) => true,
        _ => false,
    }
}

proptest! {
    #[test]
    fn any_history_keeps_the_rules(steps in steps()) {
        let mut world = World::new();
        let mut calls: Vec<Pass> = Vec::new();
        // Probes of the present half-open time that have not ended.
        let mut probes: Vec<Pass> = Vec::new();
        let mut failures = 0;
        for step in steps {
            let from = world.breaker.state();
            match &step {
                Step::Wait(time) => world.now += *time,
                Step::Admit { early } => {
                    if let Ok(pass) = world.breaker.admit(world.now, *early) {
                        prop_assert_eq!(pass.is_probe, from != Closed);
                        calls.push(pass);
                        probes.extend(pass.is_probe.then_some(pass));
                    }
                }
                Step::End { which, end } if !calls.is_empty() => {
                    let pass = calls.swap_remove(which.index(calls.len()));
                    probes.retain(|probe| *probe != pass);
                    failures += usize::from(*end == Failed);
                    world.end(pass, *end);
                }
                Step::End { .. } => {}
                Step::TakeBack { before } => {
                    world.breaker.take_back(world.now.saturating_sub(*before));
                }
            }
            let to = world.breaker.state();
            prop_assert!(may_become(&step, from, to), "{:?} made {:?} of {:?}", step, to, from);
            if to != HalfOpen {
                probes.clear();
            }
            prop_assert!(probes.len() <= 1, "{:?}", probes);
            prop_assert!(to == Closed || failures >= 5, "{} failures", failures);
            prop_assert!(world.breaker.failures_in_row() <= SETTINGS.failures_in_row);
            prop_assert!(world.breaker.outcomes.len() <= SETTINGS.window);
        }
        // Whatever was, a call passes after the longest pause, once no probe is under way.
        probes.into_iter().for_each(|probe| world.end(probe, NoNews));
        world.now += MAX;
        prop_assert!(world.admit().is_ok());
    }
}
