use super::*;

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

use OtherTransport::{Connected, Known, Unknown};
use Transport::{Quic, Tcp};

/// Answers every probe of `steps`, and of what follows, after so many milliseconds; `None`: never.
/// Returns the steps that are no probes.
fn measure(
    choice: &mut TransportChoice,
    now: Duration,
    steps: Vec<Step>,
    takes: [(Transport, Option<u32>); 2],
) -> Vec<Step> {
    let takes = |transport| takes.iter().find(|(of, _)| *of == transport).unwrap().1;
    let mut open = steps;
    let mut done = Vec::new();
    while !open.is_empty() {
        let step = open.remove(0);
        let Step::Probe(transport, id) = step else {
            done.push(step);
            continue;
        };
        open.extend(match takes(transport) {
            Some(took) => choice.answered(now, id, took * MILLISECOND),
            None => choice.unanswered(now, id),
        });
    }
    done
}

/// A peer reached over `first`, then over the other, whose probes take so many milliseconds.
fn chosen(first: Transport, tcp: Option<u32>, quic: Option<u32>) -> (TransportChoice, Vec<Step>) {
    let mut choice = TransportChoice::new(Duration::ZERO, first);
    assert!(choice.connected(Duration::ZERO, first).is_empty());
    let steps = choice.connected(SECOND, first.other());
    let steps = measure(&mut choice, SECOND, steps, [(Tcp, tcp), (Quic, quic)]);
    (choice, steps)
}

#[test]
fn the_faster_one_is_used_whichever_connected_first() {
    for (tcp, quic, winner) in [
        (Some(180), Some(2), Quic),
        (Some(2), Some(180), Tcp),
        (None, Some(900), Quic),
        (Some(900), None, Tcp),
        // Too close to call: the one that costs less.
        (Some(10), Some(9), Tcp),
        (Some(5), Some(1), Tcp),
        (Some(100), Some(80), Tcp),
        (Some(100), Some(74), Quic),
    ] {
        for first in [Tcp, Quic] {
            let (choice, steps) = chosen(first, tcp, quic);
            assert_eq!(choice.used(), winner, "{tcp:?} {quic:?} {first}");
            let moved = (first != winner).then_some(Step::Use(winner));
            let wanted: Vec<_> = moved.into_iter().chain([Step::Close(winner.other())]).collect();
            assert_eq!(steps, wanted);
        }
    }
}

#[test]
fn without_any_answer_the_first_stays() {
    for first in [Tcp, Quic] {
        let (mut choice, steps) = chosen(first, None, None);
        assert_eq!(steps, [Step::Close(first.other())]);
        assert!(choice.tick(TRIAL_EVERY, Known).is_empty(), "so soon after the last");
    }
}

#[test]
fn the_shortest_wait_counts_and_each_transport_is_asked_three_times() {
    let mut choice = TransportChoice::new(Duration::ZERO, Tcp);
    let mut steps = choice.connected(Duration::ZERO, Quic);
    for (tcp, quic) in [(300, 400), (200, 50), (300, 400)] {
        let [Step::Probe(Tcp, a), Step::Probe(Quic, b)] = steps[..] else { panic!("{steps:?}") };
        assert!(choice.answered(SECOND, a, tcp * MILLISECOND).is_empty());
        assert!(choice.answered(SECOND, a, MILLISECOND).is_empty(), "told twice");
        steps = choice.answered(SECOND, b, quic * MILLISECOND);
    }
    assert_eq!(steps, [Step::Use(Quic), Step::Close(Tcp)]);
}

#[test]
fn what_has_no_answer_in_time_has_lost() {
    let mut choice = TransportChoice::new(Duration::ZERO, Tcp);
    let steps = choice.connected(SECOND, Quic);
    let [Step::Probe(Tcp, _), Step::Probe(Quic, quic)] = steps[..] else { panic!("{steps:?}") };
    assert!(choice.answered(2 * SECOND, quic, SECOND).is_empty());
    assert!(choice.tick(SECOND + TRIAL_MAX - MILLISECOND, Connected).is_empty());
    let steps = choice.tick(SECOND + TRIAL_MAX, Connected);
    assert_eq!(steps, [Step::Use(Quic), Step::Close(Tcp)]);
    assert!(choice.answered(12 * SECOND, quic, SECOND).is_empty(), "the trial is over");
}

#[test]
fn what_is_in_use_stays_unless_the_other_is_faster_by_the_margin() {
    for (tcp, winner) in [(80, Quic), (101, Quic), (74, Tcp)] {
        let (mut choice, _) = chosen(Tcp, Some(900), Some(100));
        let due = SECOND + TRIAL_EVERY;
        assert!(choice.tick(due - MILLISECOND, Known).is_empty());
        assert!(choice.tick(due, Unknown).is_empty());
        assert_eq!(choice.tick(due, Known), [Step::Dial(Tcp)]);
        assert!(choice.tick(due, Known).is_empty(), "dialled twice");
        let steps = choice.connected(due, Tcp);
        measure(&mut choice, due, steps, [(Tcp, Some(tcp)), (Quic, Some(100))]);
        assert_eq!(choice.used(), winner, "{tcp}");
    }
}

#[test]
fn load_on_the_one_in_use_does_not_make_the_other_faster() {
    let (mut choice, _) = chosen(Tcp, Some(100), Some(100));
    choice.heard(Tcp, 100 * MILLISECOND);
    choice.heard(Tcp, 700 * MILLISECOND);
    let due = SECOND + TRIAL_EVERY;
    let steps = choice.tick(due, Connected);
    let steps = measure(&mut choice, due, steps, [(Tcp, Some(700)), (Quic, Some(95))]);
    assert_eq!(steps, [Step::Close(Quic)]);
    // A path that got longer for good has no calm moment since.
    let due = due + TRIAL_EVERY;
    choice.heard(Tcp, 650 * MILLISECOND);
    let steps = choice.tick(due, Connected);
    let steps = measure(&mut choice, due, steps, [(Tcp, Some(700)), (Quic, Some(95))]);
    assert_eq!(steps, [Step::Use(Quic), Step::Close(Tcp)]);
}

#[test]
fn other_one_is_used_when_the_chosen_one_closes() {
    let mut choice = TransportChoice::new(Duration::ZERO, Tcp);
    choice.connected(SECOND, Quic);
    assert_eq!(choice.closed(SECOND, Tcp), [Step::Use(Quic)]);
    assert!(choice.tick(30 * SECOND, Known).is_empty());
    assert_eq!(choice.tick(31 * SECOND, Known), [Step::Dial(Tcp)]);
}

#[test]
fn trial_ends_when_the_other_one_closes() {
    let mut choice = TransportChoice::new(Duration::ZERO, Tcp);
    let steps = choice.connected(SECOND, Quic);
    assert!(choice.closed(SECOND, Quic).is_empty());
    assert!(measure(&mut choice, SECOND, steps, [(Tcp, None), (Quic, None)]).is_empty());
    assert_eq!(choice.used(), Tcp);
    assert!(choice.tick(TRIAL_EVERY, Known).is_empty());
    assert_eq!(choice.tick(SECOND + TRIAL_EVERY, Known), [Step::Dial(Quic)]);
}

#[test]
fn three_requests_in_a_row_without_an_answer_bring_a_trial_early() {
    let later = SECOND + TRIAL_AGAIN;
    let silent = |choice: &mut TransportChoice| choice.silent(Quic, SILENT_AFTER);
    let (mut choice, _) = chosen(Tcp, Some(180), Some(2));
    silent(&mut choice);
    silent(&mut choice);
    choice.silent(Quic, SILENT_AFTER - MILLISECOND);
    choice.silent(Tcp, SILENT_AFTER);
    choice.heard(Quic, MILLISECOND);
    silent(&mut choice);
    silent(&mut choice);
    assert!(choice.tick(later, Known).is_empty());
    silent(&mut choice);
    assert!(choice.tick(later - MILLISECOND, Known).is_empty(), "so soon after the last");
    assert_eq!(choice.tick(later, Known), [Step::Dial(Tcp)]);
    let steps = choice.connected(later, Tcp);
    let steps = measure(&mut choice, later, steps, [(Tcp, Some(180)), (Quic, None)]);
    assert_eq!(steps, [Step::Use(Tcp), Step::Close(Quic)]);
}
