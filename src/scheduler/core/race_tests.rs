//! Two requests for the front at once.

use super::*;
use crate::scheduler::policy::HEDGE_BLOCKS;

/// Two peers with a piece each delivered, so that both are known, and the front in flight.
fn two_peers_at_work() -> World {
    let mut world = World::new(small(), 2, 400);
    let open: Vec<_> = world.open.keys().copied().collect();
    for request in open {
        world.arrive(request, u64::MAX);
        world.verify(0, |_| false);
    }
    world.import(usize::MAX);
    world
}

/// The requests for the front, the first one first.
fn for_front(world: &World) -> Vec<(RequestId, PeerId, HeightRange)> {
    let front = world.released.last().map_or(world.imported, |blocks| blocks.range.last());
    let open = world.open.iter().filter(|(_, (_, range))| range.start().get() == front.get() + 1);
    open.map(|(request, (peer, range))| (*request, *peer, *range)).collect()
}

/// Nothing arrives for a second but what is not at the front.
fn stall(world: &mut World) {
    for _ in 0..25 {
        world.now += Duration::from_millis(50);
        world.event(DownloadEvent::Imported { head: world.imported });
    }
}

#[test]
fn front_that_stalls_is_asked_of_another_peer_and_its_first_piece_wins() {
    let mut world = two_peers_at_work();
    let [(first, slow, asked)] = for_front(&world)[..] else { panic!("one request") };
    stall(&mut world);
    let [_, (second, quick, again)] = for_front(&world)[..] else { panic!("two requests") };
    assert_ne!(slow, quick);
    assert_eq!(world.core.front_state(), Front::InFlight { height: asked.start(), peer: quick },);
    assert_eq!((again.start(), again.count()), (asked.start(), asked.count().min(HEDGE_BLOCKS)));
    stall(&mut world);
    assert_eq!(for_front(&world).len(), 2, "no third");
    world.arrive(second, 3);
    assert!(!world.open.contains_key(&first), "the loser is stopped");
    let gauge = world.core.gauge();
    assert_eq!((gauge.hedges_sent, gauge.hedges_won), (1, 1));
    // What comes of the loser all the same is nobody's.
    world.event(DownloadEvent::Arrived { request: first, range: asked, bytes: 1 });
    world.finish();
    assert_eq!(world.imported, h(400));
}

#[test]
fn front_that_is_dripped_is_had_from_a_peer_that_has_all_else_delivered() {
    let mut world = two_peers_at_work();
    let [(drip, slow, _)] = for_front(&world)[..] else { panic!("one request") };
    // The other peer delivers whatever it is asked for; the front comes block by block.
    let mut drips = 0;
    while for_front(&world).first().is_some_and(|(request, ..)| *request == drip) {
        drips += 1;
        assert!(drips < 5, "everybody waits for the drip");
        // Less than a stall: waits of before were as long.
        world.now += Duration::from_millis(900);
        world.arrive(drip, 1);
        let others = world.open.iter().filter(|(_, (peer, _))| *peer != slow);
        let others: Vec<_> = others.map(|(request, _)| *request).collect();
        others.into_iter().for_each(|request| world.arrive(request, u64::MAX));
        while !world.verifying.is_empty() {
            world.verify(0, |_| false);
        }
        if let [_, (second, ..)] = for_front(&world)[..] {
            world.arrive(second, u64::MAX);
        }
    }
    assert_eq!(world.core.gauge().hedges_won, 1);
    world.finish();
    assert_eq!(world.imported, h(400));
}

#[test]
fn late_reply_that_comes_first_after_all_keeps_its_range() {
    let mut world = two_peers_at_work();
    let [(first, slow, asked)] = for_front(&world)[..] else { panic!("one request") };
    stall(&mut world);
    let [_, (second, quick, _)] = for_front(&world)[..] else { panic!("two requests") };
    world.arrive(first, 1);
    assert!(!world.open.contains_key(&second));
    assert_eq!(world.open[&first], (slow, asked.split_at(1).1.unwrap()));
    assert_eq!(world.core.gauge().hedges_won, 0);
    let asked_on = world.open.values().any(|(peer, _)| *peer == quick);
    assert!(asked_on, "who was asked second is not paused");
    world.finish();
}

#[test]
fn race_ends_without_loss_when_either_request_fails() {
    for fails in [0, 1] {
        for end in [ReplyEnd::Closed, ReplyEnd::Failed, ReplyEnd::NotSent] {
            let mut world = two_peers_at_work();
            stall(&mut world);
            let race = for_front(&world);
            assert_eq!(race.len(), 2);
            world.end(race[fails].0, end);
            assert!(world.open.contains_key(&race[1 - fails].0), "the other goes on");
            world.finish();
            assert_eq!(world.imported, h(400));
        }
    }
}

#[test]
fn peer_that_goes_in_a_race_takes_nothing_with_it() {
    for goes in [0, 1] {
        let mut world = two_peers_at_work();
        stall(&mut world);
        let (_, peer, _) = for_front(&world)[goes];
        world.event(DownloadEvent::PeerUnusable { peer });
        world.finish();
        assert_eq!(world.imported, h(400));
    }
}

#[test]
fn lone_peer_is_not_raced_and_neither_is_what_is_not_the_front() {
    let mut world = World::new(small(), 1, 400);
    let first = *world.open.keys().next().unwrap();
    world.arrive(first, u64::MAX);
    stall(&mut world);
    assert_eq!(world.core.gauge().hedges_sent, 0);
    let mut world = two_peers_at_work();
    // The front arrives, and is being verified for long: nobody can help there.
    let (front, ..) = for_front(&world)[0];
    world.arrive(front, u64::MAX);
    stall(&mut world);
    assert_eq!(world.core.gauge().hedges_sent, 0);
}
