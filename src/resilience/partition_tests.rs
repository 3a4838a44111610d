use proptest::prelude::*;

use super::*;
use crate::doubles::peer;

const START: Duration = Duration::from_secs(100);
const STEP: Duration = Duration::from_millis(250);

/// A node whose link and peers a test plays.
struct Play {
    watch: LinkWatch,
    now: Duration,
    traffic: Traffic,
    news: Vec<(Duration, LinkNews)>,
}

impl Play {
    /// Connected to so many peers, which all delivered just now.
    fn with(peers: u8) -> Self {
        let mut watch = LinkWatch::default();
        watch.connected(START, (0..peers).map(peer).collect());
        let traffic = Traffic { last_arrival: Some(START), waiting: BTreeMap::new() };
        let mut play = Self { watch, now: START, traffic, news: Vec::new() };
        play.look();
        play
    }

    fn look(&mut self) {
        let usual = |_: &PeerId| Some(Duration::from_millis(50));
        let news = self.watch.look(self.now, &self.traffic, usual);
        self.news.extend(news.map(|news| (self.now - START, news)));
    }

    /// Lets time pass. `answers` says who answers; the others of `asked` are waited for.
    fn run(&mut self, seconds: u64, asked: &[u8], answers: &[u8]) {
        for _ in 0..seconds * 4 {
            self.now += STEP;
            for index in asked {
                let waits = self.traffic.waiting.entry(peer(*index)).or_insert(self.now - STEP);
                if answers.contains(index) {
                    *waits = self.now;
                    self.traffic.last_arrival = Some(self.now);
                }
            }
            self.look();
        }
    }

    fn connected(&mut self, peers: &[u8]) {
        self.watch.connected(self.now, peers.iter().copied().map(peer).collect());
    }

    /// All that was said of cuts and healings.
    fn said(&self) -> Vec<LinkNews> {
        let said = self.news.iter().map(|(_, news)| *news);
        said.filter(|news| *news != LinkNews::Dead).collect()
    }
}

fn is_cut_by(sign: CutSign) -> impl Fn(&LinkNews) -> bool {
    move |news| matches!(news, LinkNews::Cut { sign: said, .. } if *said == sign)
}

#[test]
fn silence_of_all_is_told_within_five_seconds_once_and_since_it_last_worked() {
    let mut play = Play::with(2);
    play.run(3, &[0, 1], &[0, 1]);
    let worked = play.now;
    play.run(30, &[0, 1], &[]);
    let [(at, LinkNews::Cut { sign: CutSign::Silence, since }), (dead, LinkNews::Dead)] =
        play.news[..]
    else {
        panic!("{:?}", play.news);
    };
    assert_eq!(since, worked);
    assert!(at + START - worked <= Duration::from_secs(5), "{at:?}");
    assert_eq!(dead + START - worked, DEAD, "connections are given up later");
    assert_eq!(play.watch.cut(play.now).unwrap().sign, CutSign::Silence);
}

#[test]
fn several_that_are_far_later_than_ever_are_told_sooner() {
    let mut play = Play::with(4);
    play.run(30, &[0, 1, 2, 3], &[]);
    assert!(is_cut_by(CutSign::Latency)(&play.said()[0]), "{:?}", play.news);
    assert!(play.news[0].0 <= Duration::from_millis(2_500), "{:?}", play.news);
}

#[test]
fn healing_is_told_at_the_first_arrival_and_the_next_cut_shows_itself_anew() {
    let mut play = Play::with(2);
    play.run(6, &[0, 1], &[]);
    play.traffic.last_arrival = Some(play.now);
    play.look();
    assert!(matches!(play.news[1].1, LinkNews::Healed { .. }), "{:?}", play.news);
    assert_eq!(play.watch.cut(play.now), None);
    let healed = play.news[1].0;
    play.run(6, &[0, 1], &[]);
    let again = play.news[2].0;
    assert!(is_cut_by(CutSign::Silence)(&play.news[2].1));
    assert!(again - healed >= SILENCE - STEP, "no flapping: {:?}", play.news);
}

#[test]
fn one_silent_peer_of_several_is_not_our_link() {
    let mut play = Play::with(4);
    play.run(60, &[0, 1], &[1]);
    play.traffic.waiting.clear();
    play.run(60, &[0], &[]);
    assert_eq!(play.said(), []);
}

#[test]
fn half_of_the_peers_silent_is_not_our_link() {
    let mut play = Play::with(6);
    play.run(60, &[0, 1, 2, 3, 4, 5], &[3, 4, 5]);
    assert_eq!(play.said(), []);
}

#[test]
fn when_only_some_are_asked_and_silent_others_are_asked_before_anything_is_said() {
    let mut play = Play::with(8);
    let all = || (0..8).map(peer);
    play.run(1, &[0, 1], &[]);
    assert!(play.watch.to_ask(play.now, all()).is_empty(), "not yet");
    play.run(1, &[0, 1], &[]);
    assert_eq!(play.watch.to_ask(play.now, all()), [peer(2), peer(3)]);
    assert!(play.watch.to_ask(play.now, all()).is_empty(), "once");
    play.run(2, &[0, 1, 2, 3], &[2]);
    assert_eq!(play.said(), [], "one of them answered");
    play.traffic.waiting.clear();
    play.run(4, &[0, 1], &[]);
    assert_eq!(play.said(), [], "two of eight are not enough");
    play.run(3, &[0, 1, 2, 3], &[]);
    assert!(is_cut_by(CutSign::Silence)(&play.said()[0]), "{:?}", play.news);
}

#[test]
fn silence_of_the_only_peer_is_taken_for_our_link() {
    let mut play = Play::with(1);
    play.run(10, &[0], &[]);
    assert!(is_cut_by(CutSign::Silence)(&play.said()[0]));
}

#[test]
fn node_that_asks_nobody_is_not_cut() {
    let mut play = Play::with(3);
    play.run(600, &[], &[]);
    assert_eq!(play.said(), []);
}

#[test]
fn node_that_never_had_a_peer_is_not_cut() {
    let mut watch = LinkWatch::default();
    watch.connected(START, BTreeSet::new());
    for seconds in 0..60 {
        let now = START + Duration::from_secs(seconds);
        assert_eq!(watch.look(now, &Traffic::default(), |_| None), None);
    }
}

#[test]
fn loss_of_all_connections_is_told_at_once_if_it_was_sudden_and_soon_if_not() {
    let mut sudden = Play::with(3);
    sudden.run(1, &[0, 1, 2], &[0, 1, 2]);
    sudden.traffic.waiting.clear();
    sudden.connected(&[]);
    sudden.run(1, &[], &[]);
    assert!(is_cut_by(CutSign::NoPeers)(&sudden.said()[0]));

    let mut one = Play::with(1);
    one.connected(&[]);
    one.run(3, &[], &[]);
    assert_eq!(one.said(), [], "it may only restart");
    one.run(2, &[], &[]);
    assert!(is_cut_by(CutSign::NoPeers)(&one.said()[0]));
    one.run(600, &[], &[]);
    assert_eq!(one.said().len(), 1, "said once");
}

#[test]
fn peers_that_we_closed_are_no_loss() {
    let mut play = Play::with(3);
    (0..3).for_each(|index| play.watch.dropped(peer(index)));
    play.connected(&[]);
    play.run(60, &[], &[]);
    assert_eq!(play.said(), []);
}

#[test]
fn connections_that_our_own_restart_closed_are_no_loss() {
    let mut play = Play::with(3);
    play.watch.restarted(BTreeSet::new());
    play.run(60, &[], &[]);
    play.watch.restarted([peer(1)].into());
    play.run(60, &[], &[]);
    assert_eq!(play.said(), []);
}

#[test]
fn failures_of_nearly_all_requests_to_several_peers_are_our_link() {
    let cut_after = |failed: &[(u8, bool)]| {
        let mut play = Play::with(3);
        play.run(3, &[], &[]);
        for (index, failed) in failed {
            play.watch.ended(play.now, peer(*index), *failed);
        }
        play.look();
        play.said().iter().any(is_cut_by(CutSign::Failures))
    };
    let [a, b, ok] = [(1, true), (2, true), (2, false)];
    assert!(cut_after(&[a, b, a, b, a, b]));
    assert!(!cut_after(&[a, b, a, b, a]), "too few");
    assert!(!cut_after(&[a, a, a, a, a, a]), "only one peer");
    assert!(!cut_after(&[a, b, a, b, a, b, ok]), "not nearly all");
}

#[test]
fn peer_that_is_asked_again_and_again_while_it_times_out_is_still_silence() {
    let mut play = Play::with(2);
    for _ in 0..3 {
        play.run(2, &[0, 1], &[]);
        play.traffic.waiting.clear();
        for index in 0..2 {
            play.watch.ended(play.now, peer(index), true);
        }
    }
    assert!(is_cut_by(CutSign::Silence)(&play.said()[0]), "{:?}", play.news);
}

#[test]
fn memory_of_ends_is_bounded() {
    let mut watch = LinkWatch::default();
    (0..2 * ENDS_MAX).for_each(|_| watch.ended(START, peer(1), true));
    assert_eq!(watch.ends.len(), ENDS_MAX);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever peers do, cuts and healings take turns, and no two cuts are nearer to each other
    /// than it takes to see one.
    #[test]
    fn it_never_flaps(
        steps in prop::collection::vec((0_u64..4, 0_u8..8, 0_u8..8), 1..60),
    ) {
        let mut play = Play::with(3);
        for (seconds, asked, answers) in steps {
            let bits = |of: u8| (0..3).filter(|bit| of & 1 << bit != 0).collect::<Vec<u8>>();
            play.run(seconds, &bits(asked), &bits(answers & asked));
            play.traffic.waiting.clear();
        }
        let mut last_cut: Option<Duration> = None;
        let told = play.news.iter().filter(|(_, news)| *news != LinkNews::Dead);
        for (index, (at, news)) in told.enumerate() {
            match news {
                LinkNews::Dead => prop_assert!(false),
                LinkNews::Cut { .. } => {
                    prop_assert_eq!(index % 2, 0);
                    prop_assert!(last_cut.is_none_or(|before| *at - before >= LATE - STEP));
                    last_cut = Some(*at);
                }
                LinkNews::Healed { .. } => prop_assert_eq!(index % 2, 1),
            }
        }
    }
}
