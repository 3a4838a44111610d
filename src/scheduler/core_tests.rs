use proptest::{
    prelude::*,
    strategy::ValueTree as _,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

use super::*;
use crate::{
    scheduler::{Adaptive, Settings},
    selection::{SelectionSettings, SelectionStrategy, Selector, Standing},
};

#[path = "core/race_tests.rs"]
mod race;
#[path = "core/thousand_tests.rs"]
mod thousand;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Blocks {
    range: HeightRange,
    peer: PeerId,
}

impl Held for Blocks {
    fn range(&self) -> HeightRange {
        self.range
    }

    fn peer(&self) -> PeerId {
        self.peer
    }
}

fn h(number: u64) -> Height {
    Height::new(number)
}

fn peer(seed: u8) -> PeerId {
    let mut bytes = [0; 32];
    bytes[0] = seed;
    let keys = libp2p::identity::Keypair::ed25519_from_bytes(bytes).unwrap();
    keys.public().to_peer_id()
}

fn core(settings: Settings, strategy: SelectionStrategy) -> DownloadCore<Blocks> {
    let selection = SelectionSettings { strategy, ..SelectionSettings::default() };
    let selector = Selector::new(selection, 1);
    let most = settings.requests_per_peer_max;
    DownloadCore::new(Box::new(Adaptive::new(settings, selector)), most)
}

/// A core with everything that is outside of it played by the test: requests answered on demand,
/// releases checked for order.
struct World {
    core: DownloadCore<Blocks>,
    now: Duration,
    open: BTreeMap<RequestId, (PeerId, HeightRange)>,
    verifying: Vec<(RequestId, PeerId, HeightRange)>,
    released: Vec<Blocks>,
    imported: Height,
}

impl World {
    fn new(settings: Settings, peers: u8, last: u64) -> Self {
        Self::by(SelectionStrategy::default(), settings, peers, last)
    }

    /// The same, where peers are chosen by `strategy`.
    fn by(strategy: SelectionStrategy, settings: Settings, peers: u8, last: u64) -> Self {
        let mut world = Self {
            core: core(settings, strategy),
            now: Duration::from_secs(1),
            open: BTreeMap::new(),
            verifying: Vec::new(),
            released: Vec::new(),
            imported: h(0),
        };
        for seed in 1..=peers {
            world.event(DownloadEvent::PeerUsable {
                peer: peer(seed),
                standing: Standing::default(),
            });
        }
        world.event(DownloadEvent::WindowSet { next: h(1), last: h(last) });
        world
    }

    fn event(&mut self, event: DownloadEvent<Blocks>) {
        let mut effects = self.core.apply(self.now, event);
        self.core.check();
        effects.extend(self.core.plan(self.now, u64::MAX));
        self.core.check();
        for effect in effects {
            match effect {
                DownloadEffect::Fetch { request, peer, range, .. } => {
                    assert_eq!(self.open.insert(request, (peer, range)), None);
                }
                DownloadEffect::Cancel { request } => {
                    self.open.remove(&request);
                    self.verifying.retain(|(by, ..)| *by != request);
                }
                DownloadEffect::Stop { request } => {
                    self.open.remove(&request);
                }
                DownloadEffect::Release(blocks) => {
                    let next = self.released.last().map_or(self.imported, |b| b.range.last());
                    assert_eq!(blocks.range.start(), next.saturating_add(1), "out of order");
                    self.released.push(blocks);
                }
            }
        }
    }

    /// `blocks` more of a request arrive; the request ends when all did.
    fn arrive(&mut self, request: RequestId, blocks: u64) {
        let Some((peer, range)) = self.open.get(&request).copied() else { return };
        let (Some(part), rest) = range.split_at(blocks.max(1)) else { return };
        self.verifying.push((request, peer, part));
        match rest {
            Some(rest) => {
                self.open.insert(request, (peer, rest));
            }
            None => {
                self.open.remove(&request);
            }
        }
        self.event(DownloadEvent::Arrived { request, range: part, bytes: part.count() * 1_000 });
        if rest.is_none() {
            self.event(DownloadEvent::Ended { request, end: ReplyEnd::Closed });
        }
    }

    fn end(&mut self, request: RequestId, end: ReplyEnd) {
        self.open.remove(&request);
        self.event(DownloadEvent::Ended { request, end });
    }

    /// The verdict on one arrived part: the blocks at `bad` positions fail.
    fn verify(&mut self, index: usize, bad: impl Fn(u64) -> bool) {
        if self.verifying.is_empty() {
            return;
        }
        let (request, peer, range) = self.verifying.remove(index % self.verifying.len());
        let segments = range
            .heights()
            .filter(|height| !bad(height.get()))
            .map(|height| Blocks { range: HeightRange::single(height), peer })
            .collect();
        self.event(DownloadEvent::Verified { request, range, segments });
    }

    fn import(&mut self, segments: usize) {
        let count = segments.min(self.released.len());
        let imported: Vec<_> = self.released.drain(..count).collect();
        if let Some(last) = imported.last() {
            self.imported = last.range.last();
            self.event(DownloadEvent::Imported { head: self.imported });
        }
    }

    /// The chain is set back to `head`: the importer has dropped what was released.
    fn set_back(&mut self, head: u64) {
        self.released.clear();
        self.imported = h(head);
        self.event(DownloadEvent::SetBack { head: h(head) });
    }

    /// Everything answers in full until nothing is left to do.
    fn finish(&mut self) {
        for _ in 0..100_000 {
            self.now += Duration::from_millis(50);
            if let Some(request) = self.open.keys().next().copied() {
                self.arrive(request, u64::MAX);
            }
            self.verify(0, |_| false);
            self.import(usize::MAX);
            self.event(DownloadEvent::Imported { head: self.imported });
            if self.core.gauge().is_empty() {
                return;
            }
        }
        panic!("stuck: {:?}", self.core.gauge());
    }
}

fn small() -> Settings {
    Settings { window_blocks: 200, ..Settings::default() }
}

#[test]
fn several_peers_share_one_window_and_releases_stay_in_order() {
    let mut world = World::new(small(), 3, 500);
    let peers: BTreeSet<_> = world.open.values().map(|(peer, _)| *peer).collect();
    assert_eq!(peers.len(), 3);
    // The last request of the window arrives first: nothing is released.
    let last = *world.open.keys().next_back().unwrap();
    world.arrive(last, u64::MAX);
    world.verify(0, |_| false);
    assert!(world.released.is_empty());
    world.finish();
    assert_eq!(world.imported, h(500));
}

#[test]
fn front_is_followed_from_wanted_to_imported() {
    let mut world = World::new(small(), 0, 16);
    let height = h(1);
    assert_eq!(world.core.front_state(), Front::Wanted { height });
    world.event(DownloadEvent::PeerUsable { peer: peer(1), standing: Standing::default() });
    assert_eq!(world.core.front_state(), Front::InFlight { height, peer: peer(1) });
    let first = *world.open.keys().next().unwrap();
    world.arrive(first, u64::MAX);
    assert_eq!(world.core.front_state(), Front::Verifying { height });
    world.verify(0, |_| false);
    assert_eq!(world.core.front_state(), Front::Importing { height });
    world.import(usize::MAX);
    assert_eq!(world.core.front_state(), Front::Closed);
}

#[test]
fn newcomer_gets_one_small_request_first() {
    let world = World::new(small(), 1, 500);
    assert_eq!(world.open.values().map(|(_, range)| range.count()).collect::<Vec<_>>(), [16]);
}

#[test]
fn one_block_server_gets_many_requests_of_one_and_never_more_than_the_limit() {
    let mut world = World::new(small(), 1, 400);
    let first = *world.open.keys().next().unwrap();
    world.arrive(first, 1);
    world.end(first, ReplyEnd::Closed);
    assert_eq!(world.open.len(), 24);
    assert!(world.open.values().all(|(_, range)| range.count() == 1));
}

#[test]
fn short_reply_keeps_what_came_and_asks_the_rest_again() {
    let mut world = World::new(small(), 1, 16);
    let first = *world.open.keys().next().unwrap();
    world.arrive(first, 5);
    world.end(first, ReplyEnd::Closed);
    let asked: Vec<_> = world.open.values().map(|(_, range)| range.start().get()).collect();
    assert_eq!(asked.first(), Some(&6));
    world.finish();
    assert_eq!(world.imported, h(16));
}

#[test]
fn empty_reply_sends_the_range_elsewhere_and_does_not_end_the_sync() {
    let mut world = World::new(small(), 2, 10);
    let (request, (from, range)) = world.open.iter().next().map(|(r, v)| (*r, *v)).unwrap();
    world.end(request, ReplyEnd::Closed);
    let again = world.open.values().find(|(_, r)| r.start() == range.start()).unwrap();
    assert_ne!(again.0, from);
    world.finish();
}

#[test]
fn failed_peer_is_paused_and_others_take_over() {
    let mut world = World::new(small(), 2, 10);
    let (request, (from, _)) = world.open.iter().next().map(|(r, v)| (*r, *v)).unwrap();
    world.end(request, ReplyEnd::Failed);
    assert!(world.open.values().all(|(peer, _)| *peer != from));
    world.finish();
}

#[test]
fn peer_that_limits_its_requesters_is_asked_again_exactly_when_it_allows() {
    let mut world = World::new(small(), 1, 10);
    let first = *world.open.keys().next().unwrap();
    let (refused_at, wait) = (world.now, Duration::from_millis(1_234));
    world.end(first, ReplyEnd::Limited { wait: Some(wait) });
    let mut look = |at: Duration| {
        world.now = at;
        world.event(DownloadEvent::Imported { head: h(0) });
        world.open.len()
    };
    assert_eq!(look(refused_at + wait - Duration::from_nanos(1)), 0);
    assert_eq!(look(refused_at + wait), 1);
    world.finish();
}

#[test]
fn request_that_is_larger_than_a_peer_ever_serves_is_made_smaller() {
    let mut world = World::new(small(), 1, 100);
    let (first, (_, asked)) = world.open.iter().next().map(|(r, v)| (*r, *v)).unwrap();
    world.end(first, ReplyEnd::Limited { wait: None });
    world.now += Duration::from_secs(1);
    world.event(DownloadEvent::Imported { head: h(0) });
    let (_, again) = *world.open.values().next().unwrap();
    assert_eq!(again.count(), asked.count() / 2);
    world.finish();
}

#[test]
fn only_bad_heights_are_asked_again() {
    let mut world = World::new(small(), 1, 16);
    let first = *world.open.keys().next().unwrap();
    world.arrive(first, 16);
    world.verify(0, |height| height == 3 || height == 9);
    assert_eq!(world.released.last().map(|b| b.range.last()), Some(h(2)));
    let asked: Vec<_> = world.open.values().map(|(_, range)| *range).collect();
    assert_eq!(asked, [HeightRange::single(h(3)), HeightRange::single(h(9))]);
    world.finish();
}

#[test]
fn refused_block_is_asked_of_another_peer_and_later_blocks_are_kept() {
    let mut world = World::new(small(), 2, 32);
    let open: Vec<_> = world.open.keys().copied().collect();
    for request in open {
        world.arrive(request, u64::MAX);
    }
    world.verify(0, |_| false);
    world.verify(0, |_| false);
    assert_eq!(world.released.len(), 32);
    let from = world.released[4].peer;
    world.import(4);
    world.released.clear();
    world.event(DownloadEvent::ImportRefused { at: h(5) });
    let (asked, range) = *world.open.values().next().unwrap();
    assert_eq!(range, HeightRange::single(h(5)));
    assert_ne!(asked, from);
    assert_eq!(world.core.gauge().held_blocks, 27);
    world.finish();
}

#[test]
fn importer_restart_gets_what_was_released_again() {
    let mut world = World::new(small(), 1, 16);
    let first = *world.open.keys().next().unwrap();
    world.arrive(first, 16);
    world.verify(0, |_| false);
    world.import(3);
    world.released.clear();
    world.event(DownloadEvent::ImporterStarted { head: h(3) });
    assert_eq!(world.released.len(), 13);
    world.finish();
}

#[test]
fn chain_that_became_shorter_is_downloaded_again_from_its_head() {
    let mut world = World::new(small(), 1, 32);
    let first = *world.open.keys().next().unwrap();
    world.arrive(first, 16);
    world.verify(0, |_| false);
    world.import(16);
    assert_eq!(world.imported, h(16));
    world.released.clear();
    world.imported = h(7);
    world.event(DownloadEvent::ImporterStarted { head: h(7) });
    assert_eq!(world.core.front(), h(8));
    world.finish();
}

/// Sixteen blocks imported, and of the next requests one held, one being verified, one under way.
fn in_the_middle() -> World {
    let mut world = World::new(small(), 3, 400);
    let first = *world.open.keys().next().unwrap();
    world.arrive(first, u64::MAX);
    world.verify(0, |_| false);
    world.import(usize::MAX);
    assert_eq!(world.imported, h(16));
    let open: Vec<_> = world.open.keys().copied().collect();
    world.arrive(open[1], u64::MAX);
    world.verify(0, |_| false);
    world.arrive(open[0], 3);
    let gauge = world.core.gauge();
    assert!(gauge.held_blocks > 0 && gauge.verifying_blocks == 3 && gauge.requests > 0);
    world
}

#[test]
fn chain_that_was_set_back_is_downloaded_again_up_to_the_end_of_the_window() {
    let mut world = in_the_middle();
    world.set_back(7);
    assert_eq!(world.core.front(), h(8));
    let gauge = world.core.gauge();
    assert_eq!((gauge.held_blocks, gauge.verifying_blocks, gauge.released_blocks), (0, 0, 0));
    world.finish();
    assert_eq!(world.imported, h(400));
}

#[test]
fn what_is_late_from_before_the_chain_was_set_back_changes_nothing() {
    let mut world = in_the_middle();
    let before: Vec<_> = world.open.iter().map(|(request, at)| (*request, *at)).collect();
    let (verified, of, range) = world.verifying[0];
    world.set_back(7);
    let gauge = world.core.gauge();
    let segments = vec![Blocks { range, peer: of }];
    world.event(DownloadEvent::Verified { request: verified, range, segments });
    for (request, (_, range)) in before {
        world.event(DownloadEvent::Arrived { request, range, bytes: 9 });
        world.event(DownloadEvent::Ended { request, end: ReplyEnd::Closed });
        world.event(DownloadEvent::Settled { request });
    }
    assert_eq!(world.core.gauge(), gauge);
    world.finish();
}

#[test]
fn window_that_is_complete_is_open_again_when_the_chain_is_set_back() {
    let mut world = World::new(small(), 2, 60);
    world.finish();
    world.set_back(20);
    // Who restarted meanwhile asks for the same.
    world.event(DownloadEvent::WindowSet { next: h(21), last: h(60) });
    world.finish();
    assert_eq!(world.imported, h(60));
}

#[test]
fn window_of_before_the_chain_was_set_back_is_replaced_by_the_next() {
    let mut world = World::new(small(), 2, 60);
    world.finish();
    world.set_back(20);
    world.event(DownloadEvent::WindowSet { next: h(61), last: h(90) });
    world.event(DownloadEvent::WindowClosed);
    world.event(DownloadEvent::WindowSet { next: h(21), last: h(90) });
    world.finish();
    assert_eq!(world.imported, h(90));
}

#[test]
fn peer_whose_block_did_not_fit_is_asked_at_once_when_the_chain_is_set_back() {
    let mut world = World::new(small(), 1, 60);
    let first = *world.open.keys().next().unwrap();
    world.arrive(first, u64::MAX);
    world.verify(0, |_| false);
    world.import(4);
    world.released.clear();
    world.event(DownloadEvent::ImportRefused { at: h(5) });
    let open: Vec<_> = world.open.keys().copied().collect();
    open.into_iter().for_each(|request| world.end(request, ReplyEnd::NotSent));
    assert!(world.open.is_empty(), "it is left alone for a while");
    world.set_back(2);
    assert!(world.open.values().any(|(_, range)| range.start() == h(3)));
    world.finish();
}

#[test]
fn closed_window_stays_closed_when_the_chain_is_set_back() {
    let mut world = in_the_middle();
    world.event(DownloadEvent::WindowClosed);
    world.set_back(7);
    assert_eq!(world.core.front_state(), Front::Closed);
    assert!(world.open.is_empty());
}

#[test]
fn blocks_that_wait_for_import_do_not_let_others_past_the_budget() {
    let mut world = World::new(small(), 1, 200);
    let first = *world.open.keys().next().unwrap();
    world.arrive(first, 16);
    world.verify(0, |_| false);
    let open: Vec<_> = world.open.keys().copied().collect();
    open.into_iter().for_each(|request| world.end(request, ReplyEnd::NotSent));
    world.now += Duration::from_secs(1);
    assert_eq!(world.core.plan(world.now, 0), [], "block 1 to 16 are not imported yet");
    world.core.apply(world.now, DownloadEvent::Imported { head: h(16) });
    let effects = world.core.plan(world.now, 0);
    assert!(
        matches!(&effects[..], [DownloadEffect::Fetch { range, .. }] if range.start() == h(17))
    );
}

#[test]
fn budget_stops_everything_but_the_front() {
    let mut core = core(small(), SelectionStrategy::default());
    core.apply(
        Duration::ZERO,
        DownloadEvent::PeerUsable { peer: peer(1), standing: Standing::default() },
    );
    core.apply(
        Duration::ZERO,
        DownloadEvent::PeerUsable { peer: peer(2), standing: Standing::default() },
    );
    core.apply(Duration::ZERO, DownloadEvent::WindowSet { next: h(1), last: h(100) });
    let effects = core.plan(Duration::ZERO, 0);
    assert!(matches!(&effects[..], [DownloadEffect::Fetch { range, .. }] if range.start() == h(1)));
}

#[test]
fn lost_verification_makes_its_heights_wanted_again() {
    let mut world = World::new(small(), 1, 16);
    let first = *world.open.keys().next().unwrap();
    world.arrive(first, 16);
    world.verifying.clear();
    world.event(DownloadEvent::Settled { request: first });
    assert_eq!(world.core.gauge().verifying_blocks, 0);
    world.finish();
}

/// A peer whose only reply is in and being verified, beside one that has sent nothing.
fn one_reply_being_verified() -> (World, PeerId) {
    let mut world = World::new(small(), 2, 400);
    let (first, (of, _)) = world.open.iter().next().map(|(r, v)| (*r, *v)).unwrap();
    world.arrive(first, u64::MAX);
    assert_eq!(world.core.gauge().verifying_blocks, 16);
    (world, of)
}

#[test]
fn nothing_that_a_banned_peer_sent_is_verified() {
    let (mut world, liar) = one_reply_being_verified();
    world.event(DownloadEvent::PeerBanned { peer: liar });
    assert!(world.verifying.is_empty(), "the request is cancelled");
    assert_eq!(world.core.gauge().verifying_blocks, 0);
    assert!(world.open.values().all(|(peer, _)| *peer != liar));
    world.finish();
    assert_eq!(world.imported, h(400));
}

#[test]
fn what_a_peer_sent_before_it_left_is_still_verified() {
    let (mut world, gone) = one_reply_being_verified();
    // Of the reply that is under way, a part has arrived.
    let under_way = world.open.iter().find(|(_, (peer, _))| *peer == gone).map(|(r, _)| *r);
    world.arrive(under_way.unwrap(), 3);
    world.event(DownloadEvent::PeerUnusable { peer: gone });
    assert!(world.open.values().all(|(peer, _)| *peer != gone));
    assert_eq!(world.core.gauge().verifying_blocks, 19);
    world.verify(0, |_| false);
    assert_eq!(world.released.last().map(|blocks| blocks.range.last()), Some(h(16)));
    world.finish();
}

#[test]
fn window_that_is_closed_gives_up_what_is_being_verified() {
    let (mut world, _) = one_reply_being_verified();
    world.event(DownloadEvent::WindowClosed);
    assert!(world.verifying.is_empty() && world.open.is_empty());
}

#[derive(Debug, Clone)]
enum Step {
    Arrive(u8, u64),
    End(u8, u8),
    Settle(u8),
    Verify(u8, u8),
    Import(u8),
    Refuse,
    ImporterRestart,
    SetBack(u64),
    PeerGone(u8),
    PeerBack(u8),
    PeerBanned(u8),
    Window(u64),
    Later(u16),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (any::<u8>(), 1u64..40).prop_map(|(i, n)| Step::Arrive(i, n)),
        2 => (any::<u8>(), 0u8..5).prop_map(|(i, e)| Step::End(i, e)),
        1 => any::<u8>().prop_map(Step::Settle),
        4 => (any::<u8>(), any::<u8>()).prop_map(|(i, b)| Step::Verify(i, b)),
        3 => (1u8..5).prop_map(Step::Import),
        1 => Just(Step::Refuse),
        1 => Just(Step::ImporterRestart),
        1 => (0u64..300).prop_map(Step::SetBack),
        1 => (1u8..5).prop_map(Step::PeerGone),
        1 => (1u8..5).prop_map(Step::PeerBack),
        1 => (1u8..5).prop_map(Step::PeerBanned),
        1 => (0u64..600).prop_map(Step::Window),
        2 => (0u16..5_000).prop_map(Step::Later),
    ]
}

fn take(world: &mut World, step: Step) {
    let pick = |world: &World, index: u8| {
        let open: Vec<_> = world.open.keys().copied().collect();
        (!open.is_empty()).then(|| open[usize::from(index) % open.len()])
    };
    match step {
        Step::Arrive(index, blocks) => {
            if let Some(request) = pick(world, index) {
                world.arrive(request, blocks);
            }
        }
        Step::End(index, end) => {
            if let Some(request) = pick(world, index) {
                let wait = Some(Duration::from_millis(700));
                let ends = [
                    ReplyEnd::Closed,
                    ReplyEnd::Failed,
                    ReplyEnd::NotSent,
                    ReplyEnd::Limited { wait },
                    ReplyEnd::Limited { wait: None },
                ];
                world.end(request, ends[usize::from(end) % ends.len()]);
            }
        }
        Step::Settle(index) => {
            if let Some((request, ..)) = world.verifying.get(usize::from(index)).copied() {
                world.open.remove(&request);
                world.verifying.retain(|(by, ..)| *by != request);
                world.event(DownloadEvent::Settled { request });
            }
        }
        Step::Verify(index, bad) => {
            world.verify(usize::from(index), |height| bad > 200 && height % 7 == 0);
        }
        Step::Import(segments) => world.import(usize::from(segments)),
        Step::Refuse => {
            if let Some(first) = world.released.first().cloned() {
                world.released.clear();
                world.event(DownloadEvent::ImportRefused { at: first.range.start() });
            }
        }
        Step::ImporterRestart => {
            world.released.clear();
            let head = world.imported;
            world.event(DownloadEvent::ImporterStarted { head });
        }
        Step::SetBack(to) => world.set_back(to.min(world.imported.get())),
        Step::PeerGone(seed) => world.event(DownloadEvent::PeerUnusable { peer: peer(seed) }),
        Step::PeerBanned(seed) => world.event(DownloadEvent::PeerBanned { peer: peer(seed) }),
        Step::PeerBack(seed) => {
            let standing = Standing {
                score: u16::from(seed) * 200,
                reliability: 1_000 - u16::from(seed) * 200,
                ip: Some([10, seed % 2, 0, seed].into()),
                ..Standing::default()
            };
            world.event(DownloadEvent::PeerUsable { peer: peer(seed), standing });
        }
        Step::Window(last) => {
            let next = world.imported.saturating_add(1);
            if last >= next.get() {
                world.event(DownloadEvent::WindowSet { next, last: h(last) });
            }
        }
        Step::Later(millis) => {
            world.now += Duration::from_millis(u64::from(millis));
            let head = world.imported;
            world.event(DownloadEvent::Imported { head });
        }
    }
}

/// What one run does, how large its window is, and how peers are chosen.
fn plan_of_a_run() -> impl Strategy<Value = (Vec<Step>, u64, SelectionStrategy)> {
    let strategy = proptest::sample::select(SelectionStrategy::ALL.to_vec());
    (proptest::collection::vec(step(), 1..200), 1u64..300, strategy)
}

/// Takes all steps, and lets everything end well. Every event checks all invariants.
fn run(steps: Vec<Step>, window: u64, strategy: SelectionStrategy) {
    let settings = Settings { window_blocks: window, ..Settings::default() };
    let mut world = World::by(strategy, settings, 4, 300);
    for step in steps {
        take(&mut world, step);
    }
    for seed in 1..=4 {
        take(&mut world, Step::PeerBack(seed));
    }
    take(&mut world, Step::Window(300));
    world.finish();
    assert!(world.imported >= h(300));
}

proptest! {
    #[test]
    fn every_height_has_one_state_whatever_happens_and_the_sync_completes(
        (steps, window, strategy) in plan_of_a_run(),
    ) {
        run(steps, window, strategy);
    }
}

/// The same for fixed seeds: 200 of them, or as many as `CORE_RUNS` says.
#[test]
fn every_height_has_one_state_in_seeded_runs() {
    let runs = std::env::var("CORE_RUNS").map_or(200, |runs| runs.parse().unwrap());
    let next = std::sync::atomic::AtomicU64::new(0);
    let work = || {
        loop {
            let seed = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            if seed >= runs {
                return;
            }
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&seed.to_le_bytes());
            let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
            let mut runner = TestRunner::new_with_rng(Config::default(), rng);
            let (steps, window, strategy) =
                plan_of_a_run().new_tree(&mut runner).unwrap().current();
            let held = std::panic::catch_unwind(|| run(steps, window, strategy));
            assert!(held.is_ok(), "seed {seed}");
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
}
