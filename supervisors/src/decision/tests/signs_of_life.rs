//! Children that answer, and children that do not; and their own budgets.

use super::*;

#[test]
fn a_child_that_answers_is_asked_again_and_left_alone() {
    let mut world = permanent(Strategy::OneForOne, AMPLE);
    for _ in 0..3 {
        world.settle_question(1, true);
        assert_eq!(world.asked[1], Some(1));
    }
    assert!(world.take_trace().is_empty());
}

#[test]
fn a_child_that_is_silent_is_killed_and_restarted_once_it_has_ended() {
    let mut world = permanent(Strategy::RestForOne, AMPLE);
    world.settle_question(2, false);
    assert_eq!(world.take_trace(), ["kill c"]);
    assert_eq!(world.core.status(2), (ChildStatus::Hung, 0));
    world.calm_down();
    assert_eq!(world.take_trace(), ["schedule c 10", "stop d", "start c", "start d"]);
    assert_eq!(world.asked[2], Some(2), "the next incarnation is asked too");
}

#[test]
fn a_child_that_hangs_again_and_again_spends_the_budget() {
    let mut world = permanent(Strategy::OneForOne, Intensity { max_restarts: 2, within: ms(999) });
    for _ in 0..3 {
        world.settle_question(0, false);
        world.calm_down();
    }
    assert!(matches!(&world.finished, Some(Ending::Escalated(why)) if why.child == "a"));
}

#[test]
fn a_child_that_was_healthy_long_before_it_hung_comes_back_after_the_first_delay() {
    let mut world = permanent(Strategy::OneForOne, AMPLE);
    world.exit(0, failed(), Directive::ByRestartKind);
    world.calm_down();
    world.now += ms(1_000);
    world.settle_question(0, false);
    world.calm_down();
    let expected = ["schedule a 10", "start a", "kill a", "schedule a 10", "start a"];
    assert_eq!(world.take_trace(), expected);
}

#[test]
fn a_silent_child_is_waited_for_when_the_supervisor_ends() {
    let mut world = permanent(Strategy::OneForOne, AMPLE);
    world.settle_question(3, false);
    world.tell(Event::ShutdownAsked);
    world.halting = true;
    assert_eq!(world.take_trace(), ["kill d"], "nobody before it is stopped");
    world.calm_down();
    assert_eq!(world.take_trace(), ["stop c", "stop b", "stop a", "finish"]);
}

#[test]
fn a_child_that_is_to_stop_has_its_grace_and_is_not_asked() {
    let mut world = permanent(Strategy::OneForOne, AMPLE);
    world.tell(Event::ShutdownAsked);
    world.halting = true;
    world.take_trace();
    world.settle_question(0, false);
    world.settle_question(1, true);
    world.settle_question(3, false);
    assert_eq!((world.asked[1], world.take_trace().len()), (None, 0));
}

#[test]
fn a_child_has_a_budget_of_its_own_beside_that_of_its_supervisor() {
    let mut world = permanent(Strategy::OneForOne, AMPLE);
    let own = Intensity { max_restarts: 2, within: ms(1_000) };
    world.core.children[1].budget = Some(RestartBudget::new(own));
    for _ in 0..2 {
        world.exit(1, failed(), Directive::ByRestartKind);
        world.exit(0, failed(), Directive::ByRestartKind);
        world.calm_down();
    }
    assert!(world.finished.is_none());
    world.exit(1, failed(), Directive::ByRestartKind);
    world.calm_down();
    let Some(Ending::Escalated(why)) = &world.finished else { panic!("did not escalate") };
    assert_eq!((why.child, why.restarts), ("b", 3));
    assert_eq!(why.cause, EscalationCause::ChildIntensityExceeded);
}
