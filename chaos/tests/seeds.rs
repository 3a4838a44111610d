//! A few seeds of whole runs, and how far they repeat.

use std::sync::Arc;

use chaos::{
    children::{Options, run_all},
    fixture::Fixture,
    plan::Plan,
    run::run,
};

#[test]
fn killed_children_come_back_and_every_sync_completes() {
    let options = Options { runs: 16, seed: 1, blocks: 200, jobs: 2 };
    let report = run_all(options, |outcome| {
        for broken in &outcome.broken {
            eprintln!("seed {}: {broken}", outcome.plan.seed);
        }
    })
    .unwrap();
    assert_eq!(report.failed_seeds, [0; 0], "{report:?}");
    assert_eq!((report.runs, report.completed), (16, 16));
    assert_eq!((report.imported_twice, report.leaked_bytes, report.honest_banned), (0, 0, 0));
    assert!(report.kills > 0 && report.restarts == report.kills, "{report:?}");
    assert!(3 * report.busy_kills >= report.kills, "kills meet idle nodes: {report:?}");
}

#[test]
fn same_seed_gives_the_same_trace_and_another_seed_another() {
    let fixture = Arc::new(Fixture::new(100).unwrap());
    let hash = |seed| run(&Plan::from_seed(seed, 100), &fixture, None).unwrap().hash;
    for seed in [3, 11] {
        let first = hash(seed);
        assert_eq!(first, hash(seed), "seed {seed}");
        assert_ne!(first, hash(seed + 1));
    }
}
