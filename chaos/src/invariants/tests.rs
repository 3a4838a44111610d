//! Each invariant can fail: planted bugs in whole runs, and spoiled traces of good ones.

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use alys_sync::{
    tree::Child,
    types::{Height, HeightRange},
};

use super::{
    Facts, LEFT_ALONE_MAX, LiarsSeen, check_all, dropped, falls, imported_twice, left_alone,
    liars_out, liars_seen, ranges_kept, thrown_out_without_a_lie, window_true,
};
use crate::{
    adversaries::Role,
    fixture::{Fixture, Lie, Second},
    plan::{Blow, Course, HEALED_LINK, PeerPlan, Plan, Pressure, Scarce, Way},
    run::{Outcome, Plant, run},
    trace::{Event, PeerIndex, Stamped},
    world::StoreFault,
};

const BLOCKS: u64 = 60;

static FIXTURE: LazyLock<Arc<Fixture>> = LazyLock::new(|| Arc::new(Fixture::new(BLOCKS).unwrap()));

fn peer(role: Role) -> PeerPlan {
    PeerPlan { role, seed: 5, speed: HEALED_LINK }
}

/// A run with two honest peers and nothing wrong.
fn quiet() -> Plan {
    let mut plan = Plan::children(1, BLOCKS);
    plan.peers = vec![peer(Role::Honest), peer(Role::Honest)];
    plan.killed_before_start = None;
    plan.victim = None;
    plan.blows.clear();
    plan.write_takes = Duration::ZERO;
    plan.pressures.clear();
    plan
}

/// The same, and nothing that goes wrong ever heals.
fn unhealed(others: &[Role]) -> Plan {
    let mut plan = quiet();
    plan.course = Course::Unhealed;
    plan.start = FIXTURE.fork_parts_above(2).next().unwrap();
    plan.peers.extend(others.iter().map(|role| peer(*role)));
    plan
}

fn blows(child: Child, way: Way, count: usize) -> Vec<Blow> {
    let pause = Duration::from_millis(300);
    let blow = Blow { child, way, height: Height::GENESIS, pause, at_work: false };
    vec![blow; count]
}

fn names(outcome: &Outcome) -> Vec<&'static str> {
    outcome.broken.iter().map(|broken| broken.invariant).collect()
}

fn broken(plan: &Plan, plant: Plant) -> Vec<&'static str> {
    names(&run(plan, &FIXTURE, Some(plant)).unwrap())
}

/// The names of what breaks in a good run's trace once `spoil` has changed it.
fn spoiled(plan: &Plan, spoil: impl FnOnce(&mut Vec<Stamped>)) -> Vec<&'static str> {
    let outcome = run(plan, &FIXTURE, None).unwrap();
    assert_eq!(outcome.broken, []);
    let mut events = outcome.events;
    spoil(&mut events);
    let facts = Facts::of(plan, FIXTURE.head, None);
    check_all(&facts, &events).into_iter().map(|broken| broken.invariant).collect()
}

fn find(events: &[Stamped], wanted: impl Fn(&Event) -> bool) -> usize {
    events.iter().position(|stamped| wanted(&stamped.event)).unwrap()
}

#[test]
fn quiet_run_breaks_nothing() {
    let outcome = run(&quiet(), &FIXTURE, None).unwrap();
    assert_eq!(outcome.broken, []);
    assert_eq!(imported_twice(&outcome.events), 0);
}

#[test]
fn blocks_imported_twice_are_found() {
    let outcome = run(&quiet(), &FIXTURE, Some(Plant::Store(StoreFault::WritesTwice))).unwrap();
    assert_eq!(names(&outcome), ["imported_once"]);
    assert_eq!(imported_twice(&outcome.events), BLOCKS);
}

#[test]
fn store_that_forgets_a_write_is_found() {
    let found = broken(&quiet(), Plant::Store(StoreFault::Forgets(Height::new(30))));
    assert!(found.contains(&"imported_once"), "{found:?}");
    assert!(found.contains(&"restarts_explained"), "{found:?}");
}

#[test]
fn height_that_goes_back_is_found() {
    let found = spoiled(&quiet(), |events| {
        let at = find(
            events,
            |event| matches!(event, Event::Status { height, .. } if *height > Height::GENESIS),
        );
        if let Event::Status { phase, usable_peers, .. } = events[at].event {
            let lower = Event::Status { phase, height: Height::GENESIS, usable_peers };
            events.insert(at + 1, Stamped { at: events[at].at, event: lower });
        }
    });
    assert_eq!(found, ["height_rises"]);
}

#[test]
fn segment_that_verification_keeps_is_found_as_a_leak() {
    let found = broken(&quiet(), Plant::LostVerification { jobs_before: 8 });
    assert!(found.contains(&"permits_conserved"), "{found:?}");
    assert!(found.contains(&"window_true"), "{found:?}");
}

#[test]
fn request_that_is_gone_and_still_counts_as_under_way_is_found() {
    let facts = Facts::of(&quiet(), FIXTURE.head, None);
    let (peer, request) = (PeerIndex(0), 1);
    let range = HeightRange::single(Height::new(2));
    let window = |requests| Event::Window { requests, verifying: 0, importing: 0 };
    let counts_until = |until: u64| {
        let counted = (1..=9).map(|at| (200 * at, window(usize::from(200 * at < until))));
        let asked = [
            (0, Event::Asked { peer, request, range }),
            (150, Event::ReplyOver { peer, request, whole: false }),
        ];
        let at = |(millis, event)| Stamped { at: Duration::from_millis(millis), event };
        let events: Vec<_> = asked.into_iter().chain(counted).map(at).collect();
        window_true::check(&facts, &events)
    };
    assert_eq!(counts_until(1_300), Ok(()));
    assert_eq!(counts_until(1_500).unwrap_err().invariant, "window_true");
}

#[test]
fn import_onto_a_full_disk_is_found() {
    let mut plan = quiet();
    for peer in &mut plan.peers {
        peer.speed.bytes_per_second = 10_000;
    }
    let outcome = run(&plan, &FIXTURE, None).unwrap();
    assert_eq!(outcome.broken, []);
    let (from, lasts) = (Duration::ZERO, Duration::from_secs(9));
    plan.pressures = vec![Pressure { of: Scarce::Disk, from, lasts }];
    let facts = Facts::of(&plan, FIXTURE.head, None);
    let found: Vec<_> =
        check_all(&facts, &outcome.events).into_iter().map(|broken| broken.invariant).collect();
    assert_eq!(found, ["disk_respected"]);
}

#[test]
fn full_disk_and_spent_memory_hold_the_sync_up_and_break_nothing() {
    let mut plan = quiet();
    let (from, lasts) = (Duration::ZERO, Duration::from_secs(9));
    let short_of = |of| Pressure { of, from, lasts };
    plan.pressures = vec![short_of(Scarce::Disk), short_of(Scarce::Memory)];
    let outcome = run(&plan, &FIXTURE, None).unwrap();
    assert_eq!(outcome.broken, []);
    let first = find(&outcome.events, |event| matches!(event, Event::Appended { .. }));
    assert!(outcome.events[first].at >= lasts, "{:?}", outcome.events[first]);
}

#[test]
fn honest_peer_that_is_thrown_out_is_found() {
    let mut plan = quiet();
    plan.peers.push(peer(Role::Liar { lie: Lie::WrongSignature, one_in: 1 }));
    assert_eq!(broken(&plan, Plant::TakenForHonest(PeerIndex(2))), ["honest_kept"]);
}

/// A liar's three bad replies, 10 ms each, then `after`.
fn three_lies_and(after: Vec<(u64, Event)>) -> Vec<Stamped> {
    let (peer, lie) = (PeerIndex(0), true);
    let range = HeightRange::single(Height::new(2));
    let lies = (0..3).flat_map(|request| {
        [
            (10 * request, Event::Asked { peer, request, range }),
            (10 * request + 9, Event::Delivered { peer, request, lie }),
            (10 * request + 9, Event::ReplyOver { peer, request, whole: true }),
        ]
    });
    let at = |(millis, event)| Stamped { at: Duration::from_millis(millis), event };
    lies.chain(after).map(at).collect()
}

#[test]
fn liar_that_is_asked_after_three_bad_replies_is_found() {
    let mut plan = quiet();
    plan.peers[0].role = Role::Liar { lie: Lie::NotCanonical, one_in: 1 };
    let facts = Facts::of(&plan, FIXTURE.head, None);
    let range = HeightRange::single(Height::new(2));
    let asked = (100, Event::Asked { peer: PeerIndex(0), request: 3, range });
    let stays = three_lies_and(vec![asked.clone()]);
    assert_eq!(liars_out::check(&facts, &stays).unwrap_err().invariant, "liars_out");
    let thrown_out = (30, Event::DroppedByNode { peer: PeerIndex(0) });
    let comes_back = three_lies_and(vec![thrown_out, asked.clone()]);
    assert_eq!(liars_out::check(&facts, &comes_back), Ok(()));
    let forgotten = (30, Event::Exited { child: Child::PeerReputation.id(), incarnation: 1 });
    assert_eq!(liars_out::check(&facts, &three_lies_and(vec![forgotten, asked])), Ok(()));
}

#[test]
fn liar_that_stays_and_one_that_is_thrown_out_late_are_told_apart() {
    let mut plan = quiet();
    plan.peers[0].role = Role::Liar { lie: Lie::NotCanonical, one_in: 1 };
    let facts = Facts::of(&plan, FIXTURE.head, None);
    let (peer, lie) = (PeerIndex(0), true);
    let synced = (200, Event::Synced { head: FIXTURE.head });
    let thrown_out = |at| (at, Event::DroppedByNode { peer });
    let seen = |after| liars_seen(&facts, &three_lies_and(after));
    let stays = seen(vec![synced.clone()]);
    assert_eq!(stays, LiarsSeen { most_bad_replies: 3, left: 1 });
    let fourth = |at| {
        [
            (at, Event::Delivered { peer, request: 3, lie }),
            (at, Event::ReplyOver { peer, request: 3, whole: true }),
        ]
    };
    // The third is over at 29 ms.
    let under_way = [&fourth(40)[..], &[thrown_out(45), synced.clone()]].concat();
    assert_eq!(seen(under_way), LiarsSeen { most_bad_replies: 3, left: 0 });
    let late = [&fourth(100)[..], &[thrown_out(110), synced]].concat();
    assert_eq!(seen(late), LiarsSeen { most_bad_replies: 4, left: 0 });
}

#[test]
fn liar_that_is_thrown_out_before_it_lied_is_taken_for_honest() {
    let mut plan = quiet();
    plan.peers[0].role = Role::Liar { lie: Lie::NotCanonical, one_in: 1 };
    let facts = Facts::of(&plan, FIXTURE.head, None);
    let mut events = three_lies_and(vec![(30, Event::DroppedByNode { peer: PeerIndex(0) })]);
    assert_eq!(thrown_out_without_a_lie(&facts, &events), []);
    let early = Event::DroppedByNode { peer: PeerIndex(0) };
    events.insert(0, Stamped { at: Duration::ZERO, event: early });
    assert_eq!(thrown_out_without_a_lie(&facts, &events), [(Duration::ZERO, PeerIndex(0))]);
}

#[test]
fn equivocating_peers_are_thrown_out_and_forked_ones_are_not() {
    let fork = |fork| Role::Forked { fork, head: FIXTURE.head.height };
    let lies = |second| Role::Equivocating { second, one_in: 1 };
    let others = [lies(Second::TooFew), lies(Second::ApprovalOfTheFirst), fork(0), fork(2)];
    let mut plan = unhealed(&others);
    // The honest ones alone would be done before anybody was judged.
    plan.peers[0].speed.bytes_per_second = 10_000;
    plan.peers[1].speed.bytes_per_second = 10_000;
    let outcome = run(&plan, &FIXTURE, None).unwrap();
    assert_eq!(outcome.broken, []);
    let mut out = dropped(&outcome.events);
    out.sort_unstable();
    out.dedup();
    assert_eq!(out, [PeerIndex(2), PeerIndex(3)]);
}

#[test]
fn sync_that_forks_keep_from_its_head_is_found() {
    // Nobody has the true chain.
    let mut plan = unhealed(&[]);
    let fork = Role::Forked { fork: 1, head: FIXTURE.head.height };
    plan.peers = vec![peer(fork), peer(fork)];
    assert_eq!(names(&run(&plan, &FIXTURE, None).unwrap()), ["sync_completes"]);
}

#[test]
fn liar_is_thrown_out_and_the_sync_completes_without_it() {
    let mut plan = quiet();
    plan.peers.push(peer(Role::Liar { lie: Lie::NotCanonical, one_in: 1 }));
    let outcome = run(&plan, &FIXTURE, None).unwrap();
    assert_eq!(outcome.broken, []);
    assert!(dropped(&outcome.events).contains(&PeerIndex(2)));
}

#[test]
fn sync_that_ends_below_the_head_is_found() {
    let mut plan = quiet();
    let taller = Fixture::new(BLOCKS + 1).unwrap();
    plan.config.discovery.attempts_max = 3;
    let outcome = run(&plan, &FIXTURE, None).unwrap();
    let facts = Facts::of(&plan, taller.head, None);
    let found: Vec<_> = check_all(&facts, &outcome.events);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].invariant, "sync_completes");
}

#[test]
fn child_that_stays_away_too_long_is_found() {
    let mut plan = quiet();
    // The fifth restart in a row waits for 160 ms.
    plan.blows = blows(Child::BlockImporter, Way::Kill, 5);
    assert_eq!(names(&run(&plan, &FIXTURE, None).unwrap()), ["children_back"]);
}

#[test]
fn child_that_hangs_is_back_and_one_that_is_noticed_late_is_found() {
    let mut plan = quiet();
    plan.blows = blows(Child::BlockImporter, Way::Hang, 1);
    let found = spoiled(&plan, |events| {
        let at = find(events, |event| matches!(event, Event::Hung { .. }));
        events.iter_mut().skip(at).for_each(|stamped| stamped.at += Duration::from_secs(1));
    });
    assert_eq!(found, ["children_back"]);
}

#[test]
fn range_that_nobody_works_on_is_found() {
    let facts = Facts::of(&quiet(), FIXTURE.head, None);
    let (peer, lie, request) = (PeerIndex(0), false, 1);
    let range = HeightRange::new(Height::new(1), 4).unwrap();
    let (child, way, incarnation) = (Child::DownloadScheduler, Way::Kill, 1);
    let alone = |again: u64, lost_after_it_arrived: bool| {
        let (phase, height) = ("downloading_blocks", Height::GENESIS);
        let mut events = vec![
            (0, Event::Status { phase, height, usable_peers: 1 }),
            (0, Event::Asked { peer, request, range }),
        ];
        if lost_after_it_arrived {
            events.push((50, Event::Delivered { peer, request, lie }));
        }
        events.extend([
            (100, Event::Struck { child, way, incarnation, segments: 4 }),
            (101, Event::ReplyOver { peer, request, whole: false }),
            (110, Event::Started { child: child.id(), incarnation: 2 }),
            (again, Event::Asked { peer, request: 2, range }),
        ]);
        let at = |(millis, event)| Stamped { at: Duration::from_millis(millis), event };
        let events: Vec<_> = events.into_iter().map(at).collect();
        let alone = left_alone(&facts, &falls(&events)[0], &events);
        assert_eq!(ranges_kept::check(&facts, &events).is_err(), alone > LEFT_ALONE_MAX);
        alone.as_millis()
    };
    assert_eq!((alone(1_200, true), alone(1_200, false)), (1_100, 1_099));
    assert_eq!((alone(900, true), alone(900, false)), (800, 799));
}

#[test]
fn tree_that_gives_up_is_found() {
    let mut plan = quiet();
    let all = || Child::ALL.map(|child| blows(child, Way::Kill, 1));
    plan.blows = (0..8).flat_map(|_| all()).flatten().collect();
    let found = names(&run(&plan, &FIXTURE, None).unwrap());
    assert!(found.contains(&"sync_completes"), "{found:?}");
}

#[test]
fn child_that_ends_by_itself_is_found() {
    let mut plan = quiet();
    plan.blows = blows(Child::ValidatorPool, Way::Kill, 1);
    let found = spoiled(&plan, |events| {
        events.retain(|stamped| !matches!(stamped.event, Event::Struck { .. }));
    });
    assert_eq!(found, ["restarts_explained"]);
}

#[test]
fn too_many_open_requests_are_found() {
    let found = spoiled(&quiet(), |events| {
        let at = find(events, |event| matches!(event, Event::Asked { .. }));
        let asked = events[at].clone();
        events.splice(at..at, vec![asked; 31]);
    });
    assert_eq!(found, ["requests_bounded"]);
}

#[test]
fn task_or_reply_that_outlives_the_node_is_found() {
    let found = spoiled(&quiet(), |events| {
        if let Some(Stamped { event: Event::Ended { tasks, .. }, .. }) = events.last_mut() {
            *tasks = 1;
        }
    });
    assert_eq!(found, ["nothing_left"]);
}
