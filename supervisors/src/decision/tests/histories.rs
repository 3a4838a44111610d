//! Properties over random histories of faults.

use proptest::prelude::{
    BoxedStrategy, Just, ProptestConfig, any, prop, prop_assert, prop_assert_eq, prop_oneof,
    proptest,
};
use proptest::strategy::Strategy as Gen;

use super::*;

#[derive(Debug, Clone, Copy)]
enum Step {
    FinishStart,
    FailStart,
    FinishCancel,
    FinishStop,
    FailStop,
    Crash,
    Quit,
    Answer,
    Silence,
    FinishKill,
    Wake,
    Wait(u64),
    Stale,
    ShutDown,
}

fn steps() -> impl Gen<Value = Step> {
    prop_oneof![
        4 => Just(Step::FinishStart),
        2 => Just(Step::FailStart),
        2 => Just(Step::FinishCancel),
        4 => Just(Step::FinishStop),
        1 => Just(Step::FailStop),
        3 => Just(Step::Crash),
        1 => Just(Step::Quit),
        3 => Just(Step::Answer),
        2 => Just(Step::Silence),
        3 => Just(Step::FinishKill),
        4 => Just(Step::Wake),
        2 => (1_u64..2_000).prop_map(Step::Wait),
        1 => Just(Step::Stale),
    ]
}

fn directives(with_stop: bool) -> BoxedStrategy<Directive> {
    let common = prop_oneof![
        8 => Just(Directive::ByRestartKind),
        2 => Just(Directive::Restart),
        1 => (0_u64..300).prop_map(|delay| Directive::RestartAfter(ms(delay))),
    ];
    if with_stop {
        prop_oneof![8 => common, 1 => Just(Directive::Stop), 1 => Just(Directive::Escalate)].boxed()
    } else {
        common.boxed()
    }
}

fn run(world: &mut World, script: &[(Step, u8, Directive)]) {
    for (step, pick, directive) in script {
        if world.finished.is_some() {
            return;
        }
        let nth = |of: &[Option<u64>]| {
            let present: Vec<_> = (0..of.len()).filter(|at| of[*at].is_some()).collect();
            (!present.is_empty()).then(|| present[usize::from(*pick) % present.len()])
        };
        let (up, starting) = (nth(&world.running), nth(&world.starting));
        match (step, up, starting) {
            (Step::FinishStart, _, Some(child)) => world.finish_start(child),
            (Step::FailStart, _, Some(child)) => {
                world.exit(child, ChildExit::StartTimedOut(ms(1)), *directive);
            }
            (Step::FinishCancel, _, _) => {
                if let Some(child) = world.cancelled.first().copied() {
                    world.cancel_start(child);
                }
            }
            (Step::FinishStop, _, _) => {
                if let Some(child) = world.stopping {
                    world.exit(child, ChildExit::Stopped, *directive);
                }
            }
            (Step::FailStop, _, _) => {
                if let Some(child) = world.stopping {
                    world.exit(child, failed(), *directive);
                }
            }
            (Step::Crash, Some(child), _) => world.exit(child, failed(), *directive),
            (Step::Quit, Some(child), _) => world.exit(child, ChildExit::Stopped, *directive),
            (Step::Answer | Step::Silence, _, _) => {
                let child = usize::from(*pick) % world.kinds.len();
                world.settle_question(child, matches!(step, Step::Answer));
            }
            (Step::FinishKill, _, _) => {
                if let Some(child) = world.killed.first().copied() {
                    world.exit(child, ChildExit::Killed, *directive);
                }
            }
            (Step::Wake, _, _) => {
                world.fire_next_wake();
            }
            (Step::Wait(time), _, _) => world.now += ms(*time),
            (Step::Stale, _, _) => {
                let child = usize::from(*pick) % world.kinds.len();
                let incarnation = world.last[child] - 1;
                let stale = Event::Exited {
                    child,
                    incarnation,
                    exit: failed(),
                    directive: Directive::Escalate,
                };
                world.tell(stale);
            }
            (Step::ShutDown, _, _) => {
                world.tell(Event::ShutdownAsked);
                world.halting = true;
            }
            (Step::FinishStart | Step::FailStart | Step::Crash | Step::Quit, _, _) => {}
        }
    }
}

fn strategies() -> impl Gen<Value = Strategy> {
    prop_oneof![Just(Strategy::OneForOne), Just(Strategy::RestForOne), Just(Strategy::OneForAll),]
}

fn kinds() -> impl Gen<Value = Vec<Restart>> {
    let kind = prop_oneof![
        3 => Just(Restart::Permanent),
        1 => Just(Restart::Transient),
        1 => Just(Restart::Temporary),
    ];
    prop::collection::vec(kind, 1..=IDS.len())
}

fn script(with_stop: bool) -> impl Gen<Value = Vec<(Step, u8, Directive)>> {
    prop::collection::vec((steps(), any::<u8>(), directives(with_stop)), 0..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn every_history_ends_with_permanent_children_up_or_an_escalation(
        strategy in strategies(),
        max_restarts in 0_u32..12,
        kinds in kinds(),
        script in script(true),
    ) {
        let intensity = Intensity { max_restarts, within: ms(3_000) };
        let mut world = World::boot(strategy, intensity, &kinds);
        run(&mut world, &script);
        world.calm_down();
        match &world.finished {
            Some(Ending::Escalated(_)) => {}
            Some(Ending::Shutdown) => prop_assert!(false, "nobody asked for shutdown"),
            None => {
                for (child, kind) in kinds.iter().enumerate() {
                    let down = world.left_down.contains(&child);
                    prop_assert_eq!(world.running[child].is_none(), down);
                    if *kind == Restart::Permanent && down {
                        prop_assert!(world.stopped_by_hook.contains(&child));
                    }
                }
            }
        }
    }

    #[test]
    fn an_ample_budget_never_escalates_by_itself(
        strategy in strategies(),
        kinds in kinds(),
        script in script(false),
    ) {
        let mut world = World::boot(strategy, Intensity { max_restarts: 1_000, ..AMPLE }, &kinds);
        run(&mut world, &script);
        world.calm_down();
        prop_assert!(world.finished.is_none());
        for (child, kind) in kinds.iter().enumerate() {
            prop_assert!(*kind != Restart::Permanent || world.running[child].is_some());
        }
    }

    #[test]
    fn shutdown_at_any_moment_ends_with_everything_down(
        strategy in strategies(),
        kinds in kinds(),
        before in script(false),
        after in script(true),
    ) {
        let mut world = World::boot(strategy, Intensity { max_restarts: 1_000, ..AMPLE }, &kinds);
        run(&mut world, &before);
        run(&mut world, &[(Step::ShutDown, 0, Directive::ByRestartKind)]);
        run(&mut world, &after);
        world.calm_down();
        prop_assert!(matches!(world.finished, Some(Ending::Shutdown)));
    }
}
