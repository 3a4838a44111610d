//! A few seeds of whole runs, and how far they repeat.

#![allow(clippy::wildcard_enum_match_arm, reason = "a test is about the few events that it names")]

use std::{num::NonZeroU64, sync::Arc, time::Duration};

use alys_sync::tree::Child;
use chaos::{
    byzantine::run_byzantine,
    children::run_all,
    fixture::Fixture,
    links::{LinkOptions, measure},
    many::Options,
    plan::{Course, Plan, Scenario},
    run::run,
    trace::{Event, Stamped},
    world::OutageKind,
};

#[test]
fn struck_children_come_back_and_every_sync_completes() {
    let options = Options { runs: 5, seed: 1, blocks: 200, jobs: 2 };
    let report = run_all(options, |outcome| {
        for broken in &outcome.broken {
            eprintln!("seed {}: {broken}", outcome.plan.seed);
        }
    })
    .unwrap();
    assert_eq!(report.failed_seeds, [0; 0], "{report:?}");
    let runs = 5 * Child::ALL.len() as u64;
    assert_eq!((report.runs, report.completed), (runs, runs));
    assert_eq!((report.imported_twice, report.leaked, report.honest_banned), (0, 0, 0));
    assert!(report.is_kept(), "{report:?}");
}

#[test]
fn sync_completes_among_byzantine_peers_and_only_liars_are_thrown_out() {
    let options = Options { runs: 60, seed: 1, blocks: 200, jobs: 2 };
    let report = run_byzantine(options, |outcome| {
        for broken in &outcome.broken {
            eprintln!("seed {}: {broken}", outcome.plan.seed);
        }
    })
    .unwrap();
    assert!(report.is_kept(), "{report:?}");
    assert!(report.liars_out > 0, "nobody came to be thrown out: {report:?}");
}

#[test]
fn sync_completes_after_a_cut_and_old_connections_stay_silent_for_long() {
    let fixture = Arc::new(Fixture::new(200).unwrap());
    let (mut silent, mut gone) = (0, 0);
    for seed in 1..=30 {
        let plan = Plan::partition(seed, 200);
        let Course::Cut(cut) = plan.course else { panic!("nothing is cut: {plan:?}") };
        let outcome = run(&plan, &fixture, None).unwrap();
        assert_eq!(outcome.broken, [], "seed {seed}");
        if cut.peers < plan.peers.len() {
            continue;
        }
        let (mut cut_off, mut left) = (false, 0);
        for Stamped { event, .. } in &outcome.events {
            match event {
                Event::Cut { .. } => cut_off = true,
                Event::LinkBack => cut_off = false,
                Event::Left { .. } => left += usize::from(cut_off),
                Event::Delivered { .. } => assert!(!cut_off, "seed {seed}: a block came through"),
                _ => {}
            }
        }
        let closed = cut.kind == OutageKind::Gone;
        assert_eq!(left, if closed { plan.peers.len() } else { 0 }, "seed {seed}");
        (silent, gone) = (silent + usize::from(!closed), gone + usize::from(closed));
    }
    assert!(silent > 0 && gone > 0, "{silent} silent, {gone} gone");
}

#[test]
fn same_seed_gives_the_same_trace_and_another_seed_another() {
    let fixture = Arc::new(Fixture::new(100).unwrap());
    for scenario in Scenario::ALL {
        let hash = |seed| run(&Plan::of(scenario, seed, 100), &fixture, None).unwrap().hash;
        for seed in [3, 11] {
            let first = hash(seed);
            assert_eq!(first, hash(seed), "{scenario} {seed}");
            assert_ne!(first, hash(seed + 1));
        }
    }
}

/// Virtual time, so these are no figures of this machine.
#[test]
fn far_peer_over_a_wide_link_has_more_on_the_way_than_a_few_hundred_blocks() {
    let round_trip = Duration::from_millis(200);
    let options = LinkOptions {
        blocks: 4_000,
        transaction_bytes: 100,
        peers: 1,
        bytes_per_second: 12_500_000,
        round_trips: vec![round_trip],
        bytes_per_second_max: None,
    };
    let report = &measure(&options).unwrap()[0];
    let at_256_a_round_trip = 4_000.0 / 256.0 * round_trip.as_secs_f64();
    assert!(report.seconds < at_256_a_round_trip, "{report:?}");
    assert!(report.utilisation > 0.0 && report.utilisation <= 1.0, "{report:?}");
    assert!((0.0..0.05).contains(&report.duplicate_fraction), "{report:?}");
}

#[test]
fn overall_limit_of_downloads_is_used_and_kept() {
    let options = LinkOptions {
        blocks: 300,
        transaction_bytes: 8_000,
        peers: 4,
        bytes_per_second: 1_000_000,
        round_trips: vec![Duration::from_millis(50)],
        bytes_per_second_max: NonZeroU64::new(400_000),
    };
    let report = &measure(&options).unwrap()[0];
    // What is asked to learn how high the chain is, counts too.
    assert!((320_000.0..=405_000.0).contains(&report.bytes_per_second), "{report:?}");
}
