use core::net::IpAddr;

use proptest::prelude::*;

use super::*;
use crate::{
    doubles::peer,
    selection::{Load, OperationWeights, Standing},
};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

fn selector(strategy: SelectionStrategy) -> Selector {
    let weights = OperationWeights::default();
    Selector::new(SelectionSettings { strategy, weights }, 1)
}

/// Candidates `1..` with these standings, and nothing to do.
fn candidates<const N: usize>(standings: [Standing; N]) -> [Candidate; N] {
    let mut seed = 0;
    standings.map(|standing| {
        seed += 1;
        Candidate { peer: peer(seed), standing, load: Load { requests_max: 8, ..Load::default() } }
    })
}

fn order<const N: usize>(strategy: SelectionStrategy, standings: [Standing; N]) -> Vec<PeerId> {
    selector(strategy).rank(Operation::Blocks, &candidates(standings))
}

fn peers<const N: usize>(seeds: [u8; N]) -> [PeerId; N] {
    seeds.map(peer)
}

fn at(ip: &str) -> Standing {
    Standing { ip: Some(ip.parse().unwrap()), ..Standing::default() }
}

fn scored(score: u16) -> Standing {
    Standing { score, ..Standing::default() }
}

fn far(millis: u32) -> Standing {
    Standing { latency: Some(MS * millis), ..Standing::default() }
}

fn kept(latency: Duration) -> Experience {
    Experience { kept: true, latency: Some(latency), bytes_per_second: None }
}

#[test]
fn best_of_what_the_strategy_goes_by_is_first() {
    let reliable = |reliability| Standing { reliability, ..Standing::default() };
    let scores = [scored(400), scored(900), scored(600)];
    assert_eq!(order(SelectionStrategy::HighestReputation, scores), peers([2, 3, 1]));
    let reliabilities = [reliable(999), reliable(0), reliable(500)];
    assert_eq!(order(SelectionStrategy::MostReliable, reliabilities), peers([1, 3, 2]));
    let latencies = [far(80), far(20), far(200)];
    assert_eq!(order(SelectionStrategy::LowestLatency, latencies), peers([2, 1, 3]));
}

#[test]
fn unmeasured_peer_is_taken_for_the_best_but_not_before_one_of_better_repute() {
    let unknown = scored(300);
    assert_eq!(
        order(SelectionStrategy::LowestLatency, [far(80), far(20), unknown]),
        peers([2, 3, 1])
    );
    let liked = scored(900);
    assert_eq!(
        order(SelectionStrategy::LowestLatency, [far(80), far(20), liked]),
        peers([3, 2, 1])
    );
}

#[test]
fn round_robin_asks_everybody_before_anybody_again() {
    let all = candidates([scored(1), scored(1_000), scored(500)]);
    let mut selector = selector(SelectionStrategy::RoundRobin);
    let mut asked = Vec::new();
    for _ in 0..6 {
        let next = selector.rank(Operation::Blocks, &all)[0];
        selector.asked(SECOND, next);
        asked.push(next);
    }
    let round: BTreeSet<_> = asked[..3].iter().copied().collect();
    assert_eq!(round.len(), 3);
    assert_eq!(asked[..3], asked[3..]);
}

#[test]
fn weighted_choices_are_in_proportion_to_worth() {
    let reputation = crate::selection::QualityWeights {
        latency: 0,
        bandwidth: 0,
        reliability: 0,
        reputation: 1,
    };
    let weights = OperationWeights { blocks: reputation, ..OperationWeights::default() };
    let strategy = SelectionStrategy::Weighted;
    let mut selector = Selector::new(SelectionSettings { strategy, weights }, 7);
    let all = candidates([scored(100), scored(300), scored(600), scored(0)]);
    let mut times = [0_u32; 4];
    for _ in 0..10_000 {
        let first = selector.rank(Operation::Blocks, &all)[0];
        times[all.iter().position(|of| of.peer == first).unwrap()] += 1;
        selector.asked(SECOND, first);
    }
    for (times, expected) in times.into_iter().zip([1_000, 3_000, 6_000, 0]) {
        assert!(times.abs_diff(expected) <= 150, "{times} of {expected}");
    }
}

#[test]
fn no_more_of_a_region_than_allowed_are_in_use_while_others_are_there() {
    let strategy = SelectionStrategy::Diversified { max_per_region: 2 };
    let good = |ip| Standing { score: 1_000, ..at(ip) };
    let mut all = candidates([
        good("203.0.1.1"),
        good("203.0.2.2"),
        good("203.0.3.3"),
        at("198.51.1.1"),
        at("2001:db8::1"),
        Standing::default(),
    ]);
    let selector = selector(strategy);
    let mut order = Vec::new();
    for _ in 0..all.len() {
        let ranked = selector.rank(Operation::Blocks, &all);
        let next = ranked.into_iter().find(|peer| !order.contains(peer)).unwrap();
        order.push(next);
        all.iter_mut().find(|of| of.peer == next).unwrap().load.requests = 1;
    }
    let of_region: Vec<_> = order.iter().map(|next| peers([1, 2, 3]).contains(next)).collect();
    assert_eq!(of_region, [true, true, false, false, false, true], "the last one is asked, too");
}

#[test]
fn who_is_in_use_keeps_the_place_of_its_region() {
    let strategy = SelectionStrategy::Diversified { max_per_region: 1 };
    let mut all = candidates([at("203.0.1.1"), Standing { score: 900, ..at("203.0.2.2") }]);
    all[0].load.requests = 1;
    assert_eq!(selector(strategy).rank(Operation::Blocks, &all), peers([1, 2]));
}

#[test]
fn least_busy_is_first_and_those_over_the_target_last() {
    let strategy = SelectionStrategy::LoadBalanced { target_utilization: 500 };
    let mut all = candidates([Standing::default(); 3]);
    all[0].load = Load { requests: 5, requests_max: 8, blocks: 5 };
    all[1].load = Load { requests: 4, requests_max: 8, blocks: 400 };
    all[2].load = Load { requests: 1, requests_max: 8, blocks: 100 };
    assert_eq!(selector(strategy).rank(Operation::Blocks, &all), peers([3, 2, 1]));
}

#[test]
fn nearest_address_is_first_and_time_decides_between_equals_and_without_our_own() {
    let from: Option<IpAddr> = Some("203.0.113.5".parse().unwrap());
    let standings = [
        Standing { ip: at("198.51.100.1").ip, ..far(5) },
        Standing { ip: at("203.0.113.9").ip, ..far(300) },
        Standing { ip: at("203.0.200.9").ip, ..far(50) },
    ];
    assert_eq!(order(SelectionStrategy::Proximity { from }, standings), peers([2, 3, 1]));
    assert_eq!(order(SelectionStrategy::Proximity { from: None }, standings), peers([1, 3, 2]));
}

#[test]
fn adaptive_learns_who_is_worth_most_and_takes_an_unknown_one_for_as_good() {
    let mut selector = selector(SelectionStrategy::default());
    let all = candidates([Standing::default(); 3]);
    all.iter().for_each(|of| selector.joined(Duration::ZERO, of.peer));
    for _ in 0..30 {
        selector.learned(Operation::Headers, peer(1), &kept(400 * MS));
        selector.learned(Operation::Headers, peer(2), &kept(10 * MS));
    }
    assert_eq!(selector.rank(Operation::Headers, &all), peers([3, 2, 1]));
    for _ in 0..30 {
        let failed = Experience { kept: false, latency: None, bytes_per_second: None };
        selector.learned(Operation::Headers, peer(3), &failed);
    }
    assert_eq!(selector.rank(Operation::Headers, &all), peers([2, 1, 3]));
    selector.left(peer(3));
    assert_eq!(selector.rank(Operation::Headers, &all)[0], peer(3), "known no more");
}

#[test]
fn adaptive_heeds_reputation() {
    let mut selector = selector(SelectionStrategy::default());
    let all = candidates([scored(100), scored(900)]);
    for of in &all {
        selector.joined(Duration::ZERO, of.peer);
        (0..30).for_each(|_| selector.learned(Operation::Blocks, of.peer, &kept(10 * MS)));
    }
    assert_eq!(selector.rank(Operation::Blocks, &all), peers([2, 1]));
}

#[test]
fn peer_that_was_not_asked_for_long_is_chosen_whatever_is_thought_of_it() {
    for strategy in SelectionStrategy::ALL {
        let mut selector = selector(strategy);
        let bad = Standing { reliability: 0, latency: Some(SECOND), ..scored(0) };
        let all = candidates([scored(1_000), bad, scored(1_000)]);
        all.iter().for_each(|of| selector.joined(Duration::ZERO, of.peer));
        let mut now = Duration::ZERO;
        let mut last = [Duration::ZERO; 3];
        for _ in 0..2_000 {
            now += SECOND / 10;
            let [chosen] = selector.several(now, Operation::Blocks, &all, 1)[..] else {
                panic!("not one");
            };
            selector.asked(now, chosen);
            last[all.iter().position(|of| of.peer == chosen).unwrap()] = now;
            let longest = last.iter().map(|last| now - *last).max().unwrap();
            assert!(longest <= TURN_AFTER + SECOND / 5, "{strategy}: {longest:?}");
        }
    }
}

#[test]
fn last_of_several_places_goes_round() {
    for strategy in SelectionStrategy::ALL {
        let mut selector = selector(strategy);
        let best = Standing { latency: Some(MS), reliability: 1_000, ..scored(1_000) };
        let worst = Standing { latency: Some(SECOND), reliability: 0, ..scored(0) };
        let all = candidates([best, best, best, worst, worst, worst, worst, worst]);
        all.iter().for_each(|of| selector.joined(Duration::ZERO, of.peer));
        let mut asked = BTreeSet::new();
        for round in 1..=8 {
            let chosen = selector.several(SECOND * round, Operation::Headers, &all, 3);
            assert_eq!(chosen.iter().collect::<BTreeSet<_>>().len(), 3, "{strategy}");
            chosen.iter().for_each(|peer| selector.asked(SECOND * round, *peer));
            asked.extend(chosen);
        }
        assert_eq!(asked.len(), 8, "{strategy}");
    }
}

fn strategies() -> impl Strategy<Value = SelectionStrategy> {
    let parameter = 1_u16..=1_000;
    (0..SelectionStrategy::ALL.len(), parameter).prop_map(|(at, parameter)| {
        match SelectionStrategy::ALL[at] {
            SelectionStrategy::Adaptive { .. } => {
                SelectionStrategy::Adaptive { learning_rate: parameter }
            }
            SelectionStrategy::Diversified { .. } => {
                SelectionStrategy::Diversified { max_per_region: parameter % 4 + 1 }
            }
            SelectionStrategy::LoadBalanced { .. } => {
                SelectionStrategy::LoadBalanced { target_utilization: parameter }
            }
            SelectionStrategy::Proximity { .. } => {
                SelectionStrategy::Proximity { from: Some(IpAddr::from([203, 0, 113, 5])) }
            }
            other @ (SelectionStrategy::HighestReputation
            | SelectionStrategy::LowestLatency
            | SelectionStrategy::MostReliable
            | SelectionStrategy::RoundRobin
            | SelectionStrategy::Weighted) => other,
        }
    })
}

fn standings() -> impl Strategy<Value = Standing> {
    let latency = prop::option::of((0_u64..u64::MAX).prop_map(Duration::from_nanos));
    let ip = prop::option::of(prop_oneof![
        any::<[u8; 4]>().prop_map(IpAddr::from),
        (0_u8..4).prop_map(|host| IpAddr::from([203, 0, 113, host])),
        any::<[u8; 16]>().prop_map(IpAddr::from),
    ]);
    (any::<u16>(), any::<u16>(), latency, prop::option::of(any::<u64>()), ip).prop_map(
        |(score, reliability, latency, bytes_per_second, ip)| Standing {
            score,
            reliability,
            latency,
            bytes_per_second,
            ip,
        },
    )
}

fn anybody() -> impl Strategy<Value = Vec<Candidate>> {
    let load = (0_usize..40, 0_usize..31, any::<u64>())
        .prop_map(|(requests, requests_max, blocks)| Load { requests, requests_max, blocks });
    let one = (1_u8..=24, standings(), load);
    prop::collection::btree_map(1_u8..=24, one, 1..12).prop_map(|all| {
        let of = |(seed, (_, standing, load))| Candidate { peer: peer(seed), standing, load };
        all.into_iter().map(of).collect()
    })
}

proptest! {
    #[test]
    fn nobody_is_ever_left_out(
        strategy in strategies(),
        all in anybody(),
        history in prop::collection::vec((any::<usize>(), any::<bool>(), 0_u64..60), 0..40),
        count in 0_usize..6,
    ) {
        let mut selector = selector(strategy);
        all.iter().for_each(|of| selector.joined(Duration::ZERO, of.peer));
        let mut now = Duration::ZERO;
        for (at, kept, seconds) in history {
            now += Duration::from_secs(seconds);
            let peer = all[at % all.len()].peer;
            selector.asked(now, peer);
            let experience = Experience { kept, latency: Some(MS), bytes_per_second: None };
            selector.learned(Operation::Blocks, peer, &experience);
        }
        let everybody: BTreeSet<_> = all.iter().map(|of| of.peer).collect();
        let order = selector.rank(Operation::Blocks, &all);
        prop_assert_eq!(order.len(), all.len());
        prop_assert_eq!(&order.iter().copied().collect::<BTreeSet<_>>(), &everybody);
        let mut turned = all.clone();
        turned.reverse();
        prop_assert_eq!(selector.rank(Operation::Blocks, &turned), order, "in any order");
        let chosen = selector.several(now, Operation::Blocks, &all, count);
        prop_assert_eq!(chosen.len(), count.clamp(1, all.len()));
        prop_assert_eq!(chosen.iter().collect::<BTreeSet<_>>().len(), chosen.len());
        prop_assert!(chosen.iter().all(|peer| everybody.contains(peer)));
    }
}

#[test]
fn nobody_there_means_nobody_chosen() {
    for strategy in SelectionStrategy::ALL {
        assert!(selector(strategy).several(SECOND, Operation::Blocks, &[], 3).is_empty());
    }
}
