use std::num::NonZeroU64;

use super::*;
use crate::{
    doubles::peer,
    scheduler::{HeightSet, ReplyEnd},
    selection::SelectionSettings,
};

const MS: Duration = Duration::from_millis(1);

/// A policy with what the core would know, at a time that only passes when told.
struct Desk {
    policy: Adaptive,
    peers: BTreeMap<PeerId, PeerWork>,
    wanted: HeightSet,
    last: u64,
    held: Option<Height>,
    now: Duration,
    next_request: u64,
}

impl Desk {
    /// All heights up to `last` are wanted; nobody is there.
    fn new(settings: Settings, last: u64) -> Self {
        Self::by(SelectionSettings::default(), settings, last)
    }

    /// The same, where peers are chosen by `selection`.
    fn by(selection: SelectionSettings, settings: Settings, last: u64) -> Self {
        let selector = Selector::new(selection, 1);
        let mut wanted = HeightSet::default();
        wanted.insert(range(1, last));
        let (peers, now) = (BTreeMap::new(), Duration::from_secs(1));
        Self {
            policy: Adaptive::new(settings, selector),
            peers,
            wanted,
            last,
            held: None,
            now,
            next_request: 0,
        }
    }

    fn join(&mut self, seed: u8) {
        self.policy.joined(self.now, peer(seed));
        self.peers.insert(peer(seed), PeerWork::default());
    }

    /// A peer that was measured to deliver so many blocks a second after so long.
    fn join_measured(&mut self, seed: u8, blocks_per_second: u64, latency: Duration) {
        self.join(seed);
        let (begun, request) = (self.now, RequestId(1_000 + u64::from(seed)));
        let assignment = Assignment {
            peer: peer(seed),
            range: range(1, 1_024),
            block_deadline: Duration::from_secs(8),
        };
        self.policy.sent(begun, request, &assignment, false);
        let every =
            (100 * MS).max(Duration::from_secs(1) / u32::try_from(blocks_per_second).unwrap());
        let blocks = (blocks_per_second / 10).max(1);
        for piece in 0..10u32 {
            let (got, bytes) = (blocks * u64::from(piece + 1), blocks * 1_000);
            let piece_at = begun + latency + every * piece;
            let (peer, waited) = (peer(seed), every);
            let piece = ArrivedPiece { request, peer, blocks, bytes, got, waited };
            self.policy.arrived(piece_at, &piece);
            self.now = self.now.max(piece_at);
        }
        // It has shown that it answers the largest requests in full.
        for request in 0..20 {
            let (asked, got, end) = (128, 128, ReplyEnd::Closed);
            let (request, next) = (RequestId(5_000 + request), Height::new(1));
            let over = EndedReply { request, peer: peer(seed), asked, got, next, end };
            self.policy.ended(self.now, &over);
        }
    }

    fn ask(&mut self) -> Option<Assignment> {
        let view = DownloadView {
            wanted: &self.wanted,
            peers: &self.peers,
            next_import: Height::new(1),
            front: Height::new(1),
            last: Height::new(self.last),
            held: self.held,
            bytes_per_block: 1_000,
            available: 64 << 20,
        };
        self.policy.assign(self.now, &view)
    }

    /// Sends whatever the policy wants sent now.
    fn settle(&mut self) -> Vec<Assignment> {
        let mut sent = Vec::new();
        while let Some(assignment) = self.ask() {
            assert!(self.wanted.remove(assignment.range));
            let work = self.peers.get_mut(&assignment.peer).unwrap();
            work.requests += 1;
            work.blocks += assignment.range.count();
            self.policy.sent(self.now, RequestId(self.next_request), &assignment, false);
            self.next_request += 1;
            sent.push(assignment);
        }
        sent
    }
}

fn range(first: u64, last: u64) -> HeightRange {
    HeightRange::inclusive(Height::new(first), Height::new(last)).unwrap()
}

fn blocks_of(sent: &[Assignment], seed: u8) -> u64 {
    sent.iter().filter(|of| of.peer == peer(seed)).map(|of| of.range.count()).sum()
}

#[test]
fn each_peer_has_outstanding_what_it_delivers_in_the_same_time() {
    let mut desk = Desk::new(Settings::default(), 100_000);
    desk.join_measured(1, 2_000, 50 * MS);
    desk.join_measured(2, 200, 50 * MS);
    let sent = desk.settle();
    let (quick, slow) = (blocks_of(&sent, 1), blocks_of(&sent, 2));
    assert!((8..=12).contains(&(quick / slow)), "{quick} and {slow}");
}

#[test]
fn slow_peer_gets_nothing_that_others_would_wait_for() {
    let mut desk = Desk::new(Settings::default(), 400);
    desk.join_measured(1, 2_000, 20 * MS);
    desk.join_measured(2, 2, 20 * MS);
    let sent = desk.settle();
    assert_eq!(blocks_of(&sent, 2), 0, "400 blocks are there in 200 ms, one of the slow takes 500");
    // Far from the end it is of use.
    let mut desk = Desk::new(Settings::default(), 100_000);
    desk.join_measured(1, 2_000, 20 * MS);
    desk.join_measured(2, 2, 20 * MS);
    assert!(blocks_of(&desk.settle(), 2) > 0);
}

#[test]
fn nobody_waits_for_a_peer_that_has_nothing_to_do() {
    let mut desk = Desk::new(Settings::default(), 40);
    // The second one would be earlier, but its score makes the first the better choice.
    desk.join_measured(1, 100, 50 * MS);
    desk.join_measured(2, 110, 50 * MS);
    desk.peers.get_mut(&peer(2)).unwrap().standing.score = 100;
    assert!(desk.ask().is_some_and(|first| first.peer == peer(1)));
}

#[test]
fn connection_that_breaks_is_one_failure_however_many_requests_were_open() {
    let mut desk = Desk::new(Settings::default(), 100_000);
    desk.join_measured(1, 2_000, 50 * MS);
    let open = desk.settle().len() as u64;
    assert!(open > 3, "{open}");
    for request in 0..open {
        let (asked, got, end) = (16, 0, ReplyEnd::Failed);
        let (request, next) = (RequestId(request), Height::new(1));
        let over = EndedReply { request, peer: peer(1), asked, got, next, end };
        desk.policy.ended(desk.now, &over);
    }
    *desk.peers.get_mut(&peer(1)).unwrap() = PeerWork::default();
    assert_eq!(desk.ask(), None, "it is paused");
    desk.now += 250 * MS;
    assert!(desk.ask().is_some());
}

#[test]
fn peer_that_fails_again_is_asked_for_little_until_it_delivers() {
    let mut desk = Desk::new(Settings::default(), 100_000);
    desk.join_measured(1, 2_000, 50 * MS);
    let fail = |desk: &mut Desk, request: u64| {
        let (asked, got, end) = (16, 0, ReplyEnd::Failed);
        let (request, next) = (RequestId(request), Height::new(1));
        let over = EndedReply { request, peer: peer(1), asked, got, next, end };
        desk.policy.ended(desk.now, &over);
        *desk.peers.get_mut(&peer(1)).unwrap() = PeerWork::default();
        desk.now += Duration::from_secs(2);
        desk.settle()
    };
    let first = desk.settle();
    assert!(fail(&mut desk, 0).len() > 3, "one failure may be chance");
    let [small] = fail(&mut desk, first.len() as u64)[..] else { panic!("more than one") };
    assert!(small.range.count() < 128, "{small:?}");
}

#[test]
fn slow_peer_that_is_alone_gets_everything() {
    let mut desk = Desk::new(Settings::default(), 10);
    desk.join_measured(1, 1, 500 * MS);
    assert!(blocks_of(&desk.settle(), 1) > 0);
}

#[test]
fn newcomer_is_asked_at_once_and_first() {
    let mut desk = Desk::new(Settings::default(), 100_000);
    desk.join_measured(1, 2_000, 20 * MS);
    desk.join(2);
    let sent = desk.settle();
    assert_eq!(sent[0].peer, peer(2));
    assert_eq!(blocks_of(&sent, 2), 16);
}

#[test]
fn peer_that_was_not_asked_gets_a_turn_within_a_minute() {
    let mut desk = Desk::new(Settings::default(), 400);
    desk.join_measured(1, 2_000, 20 * MS);
    desk.join_measured(2, 2, 20 * MS);
    let idle_since = desk.now;
    desk.settle();
    let turn = (1..=60).find(|second| {
        desk.now = idle_since + Duration::from_secs(*second);
        desk.wanted.insert(range(500 + second, 500 + second));
        desk.peers.get_mut(&peer(1)).unwrap().requests = 0;
        desk.peers.get_mut(&peer(1)).unwrap().blocks = 0;
        blocks_of(&desk.settle(), 2) > 0
    });
    assert!(turn.is_some_and(|second| second > 30), "{turn:?}");
}

#[test]
fn of_peers_that_are_as_fast_the_one_with_the_better_score_is_asked_first() {
    let mut desk = Desk::new(Settings::default(), 100_000);
    desk.join_measured(1, 500, 50 * MS);
    desk.join_measured(2, 500, 50 * MS);
    for (better, worse) in [(1, 2), (2, 1)] {
        desk.peers.get_mut(&peer(better)).unwrap().standing.score = 900;
        desk.peers.get_mut(&peer(worse)).unwrap().standing.score = 400;
        assert_eq!(desk.ask().unwrap().peer, peer(better));
    }
}

#[test]
fn requests_at_the_front_are_small_and_larger_ones_follow() {
    let mut desk = Desk::new(Settings::default(), 100_000);
    for seed in 1..=4 {
        desk.join_measured(seed, 2_000, 50 * MS);
    }
    let sizes: Vec<_> = desk.settle().iter().map(|of| of.range.count()).collect();
    assert_eq!(sizes[..4], [32, 32, 64, 128], "{sizes:?}");
}

#[test]
fn last_blocks_are_shared_so_that_all_are_done_together() {
    let mut desk = Desk::new(Settings::default(), 160);
    for seed in 1..=4 {
        desk.join_measured(seed, 100, 20 * MS);
    }
    let sent = desk.settle();
    let shares: Vec<_> = (1..=4).map(|seed| blocks_of(&sent, seed)).collect();
    let (least, most) = (shares.iter().min().unwrap(), shares.iter().max().unwrap());
    assert!(most - least <= 20, "{shares:?}");
}

#[test]
fn what_is_asked_for_a_second_is_within_the_overall_limit_and_divided_as_wanted() {
    let asked = |allocation| {
        let bytes_per_second_max = NonZeroU64::new(1_000_000);
        let settings = Settings { bytes_per_second_max, allocation, ..Settings::default() };
        let mut desk = Desk::new(settings, 1_000_000);
        desk.join_measured(1, 4_000, 50 * MS);
        desk.join_measured(2, 1_000, 50 * MS);
        let mut sent = Vec::new();
        for tick in 0..320 {
            // Until then each pays back what it was measured by.
            if tick == 120 {
                sent.clear();
            }
            desk.now += 50 * MS;
            // Everything comes at once: only the limit holds anybody back.
            desk.peers.values_mut().for_each(|work| (work.requests, work.blocks) = (0, 0));
            sent.extend(desk.settle());
        }
        (blocks_of(&sent, 1), blocks_of(&sent, 2))
    };
    let (quick, slow) = asked(Allocation::Performance);
    assert!((9_000..=13_000).contains(&(quick + slow)), "1,000 a second: {quick} and {slow}");
    assert!((3..=5).contains(&(quick / slow)), "{quick} and {slow}");
    let (quick, slow) = asked(Allocation::EqualShare);
    assert!((9_000..=13_000).contains(&(quick + slow)), "1,000 a second: {quick} and {slow}");
    assert!(quick.abs_diff(slow) <= quick / 20, "{quick} and {slow}");
}

#[test]
fn chosen_strategy_says_who_is_first_and_the_others_get_what_it_has_no_room_for() {
    let desk = |strategy| {
        let selection = SelectionSettings { strategy, ..SelectionSettings::default() };
        let mut desk = Desk::by(selection, Settings::default(), 100_000);
        desk.join_measured(1, 200, 200 * MS);
        desk.join_measured(2, 2_000, 50 * MS);
        desk.peers.get_mut(&peer(1)).unwrap().standing.score = 900;
        desk.peers.get_mut(&peer(2)).unwrap().standing.score = 400;
        desk
    };
    assert_eq!(desk(SelectionStrategy::default()).ask().unwrap().peer, peer(2));
    assert_eq!(desk(SelectionStrategy::LowestLatency).ask().unwrap().peer, peer(2));
    let mut by_reputation = desk(SelectionStrategy::HighestReputation);
    assert_eq!(by_reputation.ask().unwrap().peer, peer(1));
    let sent = by_reputation.settle();
    assert!(blocks_of(&sent, 1) > 0 && blocks_of(&sent, 2) > 0, "{sent:?}");
    let sent = desk(SelectionStrategy::RoundRobin).settle();
    let firsts: Vec<_> = sent[..6].iter().map(|of| of.peer).collect();
    assert!(firsts.windows(2).all(|pair| pair[0] != pair[1]), "in turns: {firsts:?}");
}

#[test]
fn strategy_that_prefers_a_slow_peer_does_not_keep_a_quick_one_from_the_end() {
    let strategy = SelectionStrategy::HighestReputation;
    let selection = SelectionSettings { strategy, ..SelectionSettings::default() };
    let mut desk = Desk::by(selection, Settings::default(), 400);
    desk.join_measured(1, 2_000, 20 * MS);
    desk.join_measured(2, 2, 20 * MS);
    desk.peers.get_mut(&peer(2)).unwrap().standing.score = 900;
    // Until it has something to do, nobody waits for the quick one.
    desk.peers.get_mut(&peer(1)).unwrap().requests = 24;
    desk.peers.get_mut(&peer(1)).unwrap().blocks = 100;
    assert_eq!(desk.ask(), None, "what the quick one has is there sooner");
    *desk.peers.get_mut(&peer(1)).unwrap() = PeerWork::default();
    assert!(blocks_of(&desk.settle(), 1) > 0);
}

#[test]
fn in_a_hole_below_what_is_there_reliability_counts_more() {
    let mut desk = Desk::new(Settings::default(), 100_000);
    desk.join_measured(1, 220, MS);
    desk.join_measured(2, 100, MS);
    desk.peers.get_mut(&peer(1)).unwrap().standing.reliability = 300;
    desk.peers.get_mut(&peer(2)).unwrap().standing.reliability = 1_000;
    assert_eq!(desk.ask().unwrap().peer, peer(1));
    desk.held = Some(Height::new(500));
    assert_eq!(desk.ask().unwrap().peer, peer(2));
}

#[test]
fn front_that_is_dripped_is_asked_of_a_peer_that_has_nothing_to_do() {
    let mut desk = Desk::new(Settings::default(), 100_000);
    desk.join_measured(1, 100, 100 * MS);
    desk.join_measured(2, 100, 100 * MS);
    let request = RequestId(1);
    let dripped = |pace: Option<Duration>| Unanswered {
        request,
        peer: peer(1),
        missing: range(1, 16),
        waited: 10 * MS,
        pace,
        beyond_front: 0,
    };
    let hedge = |desk: &mut Desk, pace| {
        let view = DownloadView {
            wanted: &desk.wanted,
            peers: &desk.peers,
            next_import: Height::new(1),
            front: Height::new(1),
            last: Height::new(desk.last),
            held: None,
            bytes_per_block: 1_000,
            available: u64::MAX,
        };
        desk.policy.hedge(desk.now, &dripped(pace), &view)
    };
    let again = hedge(&mut desk, Some(2_600 * MS)).unwrap();
    assert_eq!((again.peer, again.range), (peer(2), range(1, 16)));
    assert_eq!(hedge(&mut desk, Some(10 * MS)), None, "the other would be no earlier");
    assert_eq!(hedge(&mut desk, None), None, "its pace is not known");
    desk.peers.get_mut(&peer(2)).unwrap().requests = 1;
    assert_eq!(hedge(&mut desk, Some(2_600 * MS)), None, "nobody is idle");
}

#[test]
fn peer_that_fell_silent_is_asked_ever_less_until_it_delivers() {
    let mut desk = Desk::new(Settings::default(), 100_000);
    desk.join_measured(1, 100, 100 * MS);
    let pause = |desk: &mut Desk| {
        desk.policy.was_late(desk.now, peer(1));
        let since = desk.now;
        while desk.ask().is_none() {
            desk.now += 100 * MS;
        }
        (desk.now - since).as_secs()
    };
    let pauses: Vec<_> = (0..6).map(|_| pause(&mut desk)).collect();
    assert_eq!(pauses, [1, 2, 4, 8, 15, 15]);
    let (request, blocks, bytes, waited) = (RequestId(1), 2, 2_000, 100 * MS);
    let piece = ArrivedPiece { request, peer: peer(1), blocks, bytes, got: blocks, waited };
    desk.policy.arrived(desk.now, &piece);
    assert_eq!(pause(&mut desk), 1);
}
