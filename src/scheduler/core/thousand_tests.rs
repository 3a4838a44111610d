//! More than a thousand requests open at once.

use rand::{SeedableRng, rngs::StdRng, seq::SliceRandom};

use super::*;

/// Unit: peers. Each of them takes 24 requests: 1,008 in all.
const PEERS: u8 = 42;

/// Heights of the window: one of each first reply, as many as can be asked for at once, and ten.
const BLOCKS: u64 = 1_060;

/// A core whose peers send one block a request, with as much open at each as one may have.
fn one_block_servers() -> World {
    let settings = Settings { window_blocks: BLOCKS, ..Settings::default() };
    let mut world = World::new(settings, PEERS, BLOCKS);
    let first: Vec<_> = world.open.keys().copied().collect();
    for request in first {
        world.arrive(request, 1);
        world.end(request, ReplyEnd::Closed);
    }
    world
}

#[test]
fn thousand_open_requests_are_answered_in_any_order_and_leave_nothing() {
    let mut world = one_block_servers();
    assert_eq!(world.core.gauge().requests, 24 * usize::from(PEERS), "open at once");

    let mut order = StdRng::seed_from_u64(1);
    let mut answered: Vec<_> = world.open.keys().copied().collect();
    answered.shuffle(&mut order);
    for request in &answered {
        assert!(world.open.contains_key(request), "nothing is taken back");
        world.arrive(*request, u64::MAX);
    }
    world.verifying.shuffle(&mut order);
    while !world.verifying.is_empty() {
        world.verify(0, |_| false);
    }
    // The world refuses a release that does not begin where the one before it ended.
    world.finish();
    assert_eq!(world.imported, h(BLOCKS));

    for request in 0..world.core.next_request {
        world.event(DownloadEvent::Settled { request: RequestId(request) });
    }
    let core = &world.core;
    assert!(core.gauge().is_empty(), "{:?}", core.gauge());
    assert!(core.requests.is_empty(), "{} requests are remembered", core.requests.len());
    assert!(core.peers.values().all(|work| work.requests == 0 && work.blocks == 0));
}
