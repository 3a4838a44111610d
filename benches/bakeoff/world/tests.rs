use super::{
    super::{
        mixes::{Mix, Serving},
        run::peer_ids,
    },
    *,
};

/// A short run over so many links alike, after `change`.
fn world(contender: Contender, links: usize, change: impl Fn(&mut Scenario)) -> World {
    let mut scenario = Mix::Uniform.scenario(1);
    scenario.block_bytes.truncate(1_000);
    scenario.peers.truncate(links);
    change(&mut scenario);
    World::new(contender, scenario, &peer_ids(links), 1)
}

#[test]
fn run_without_losses_carries_every_byte_once_and_is_no_faster_than_its_links() {
    for contender in [Contender::Ours, Contender::Fixed, Contender::Geth, Contender::Zebra] {
        let outcome = world(contender, 3, |_| {}).play();
        assert!(outcome.complete && outcome.duplicates == 0.0, "{contender:?}: {outcome:?}");
        assert!((0.3..1.0).contains(&outcome.utilisation), "{contender:?}: {outcome:?}");
    }
}

#[test]
fn run_that_cannot_end_is_given_up() {
    let outcome = world(Contender::Ours, 1, |s| s.peers[0].serving = Serving::Hanging).play();
    assert_eq!((outcome.complete, outcome.time, outcome.gap), (false, GIVEN_UP, GIVEN_UP));
}

#[test]
fn liar_is_banned_for_its_third_bad_reply_and_asked_for_nothing_more() {
    let mut world = world(Contender::Fixed, 2, |s| s.peers[1].lie = 1.0);
    let liar = world.peer(1).unwrap();
    while !world.is_banned(1) {
        let Reverse((time, _, happening)) = world.ahead.pop().unwrap();
        world.now = time;
        world.happen(happening);
        world.tell();
    }
    world.tell();
    assert_eq!(world.bad_replies[&1].len(), 3);
    assert!(world.fetches.values().all(|fetch| fetch.peer != liar));
    assert!(world.play().complete, "the other one has all blocks");
}

#[test]
fn memory_is_given_back_and_never_overdrawn_but_for_the_front() {
    let whole = |s: &mut Scenario| s.block_bytes = Mix::Uniform.scenario(1).block_bytes;
    let mut world = world(Contender::Fixed, 8, whole);
    let last = Height::new(world.sizes.len() as u64);
    while world.head < last {
        let Reverse((time, _, happening)) = world.ahead.pop().unwrap();
        world.now = time;
        world.happen(happening);
        world.tell();
    }
    let gauge = world.budget.gauge();
    assert_eq!(gauge.used, 0);
    let request = 256 * 50_000;
    assert!((BUDGET_BYTES / 2..BUDGET_BYTES + request).contains(&gauge.peak), "{gauge:?}");
}

#[test]
fn peer_that_leaves_takes_its_replies_with_it_and_is_asked_again_when_it_is_back() {
    let away = (Duration::from_secs(1), Duration::from_secs(3));
    let stays = world(Contender::Ours, 1, |_| {}).play();
    let leaves = world(Contender::Ours, 1, |s| s.peers[0].absences = vec![away]).play();
    assert!(leaves.complete && leaves.duplicates > 0.0, "{leaves:?}");
    let later = leaves.time.saturating_sub(stays.time);
    assert!((Duration::from_secs(2)..Duration::from_secs(3)).contains(&later), "{later:?}");
}

#[test]
fn reset_fails_what_is_open_and_nothing_is_lost_for_good() {
    let reset = |s: &mut Scenario| s.peers[0].resets = vec![Duration::from_secs(2)];
    let outcome = world(Contender::Fixed, 1, reset).play();
    assert!(outcome.complete && outcome.duplicates < 0.05, "{outcome:?}");
}
