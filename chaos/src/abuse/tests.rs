//! What the figures of runs come to.

use super::*;

fn run(seconds: f64, honest: [f64; 4], abuser: Option<f64>, peak: u64) -> AbuseRun {
    AbuseRun {
        sync_seconds: seconds,
        cpu_seconds: None,
        peak_memory_bytes: Some(peak),
        honest_bytes_per_second: honest.to_vec(),
        honest_failed: 0,
        honest_lost: 0,
        abuser: abuser.map(|bytes_per_second| AbuserRun {
            kind: AbuserKind::Takes,
            bytes_per_second,
            requests_per_second: 1_000.0,
            failed_per_second: 0.0,
            lost: 0,
        }),
    }
}

fn pair(honest: [f64; 4], abuser: f64) -> [AbuseRun; 2] {
    [run(10.0, [100.0; 4], None, 1 << 20), run(10.5, honest, Some(abuser), 3 << 20)]
}

fn close(found: f64, expected: f64) -> bool {
    (found - expected).abs() < 1e-9
}

#[test]
fn fair_share_is_a_fifth_of_all_or_what_was_had_without_the_abuser() {
    // A fifth of 400.
    assert!(close(fair_share(&pair([80.0; 4], 80.0)), 1.0));
    assert!(close(fair_share(&pair([80.0, 80.0, 80.0, 40.0], 120.0)), 0.5));
    // A fifth would be 280, but without the abuser each had 100.
    assert!(close(fair_share(&pair([100.0; 4], 1_000.0)), 1.0));
    assert!(close(fair_share(&pair([50.0, 100.0, 100.0, 100.0], 1_000.0)), 0.5));
    // A thrown out abuser leaves more than a fifth.
    assert!(close(fair_share(&pair([100.0; 4], 0.0)), 1.25));
}

#[test]
fn report_has_medians_and_keeps_its_bounds() {
    let good = || pair([100.0; 4], 100.0);
    let mut bad = pair([1.0; 4], 400.0);
    bad[1].sync_seconds = 100.0;
    bad[1].peak_memory_bytes = Some(1 << 30);
    let report = |runs| report(runs, Duration::ZERO);
    let kept = report(vec![good(), bad.clone(), good()]);
    assert!(close(kept.own_sync_slowdown, 0.05) && close(kept.honest_fair_share, 1.0));
    assert_eq!(kept.memory_growth_bytes, Some(2 << 20));
    assert!(kept.is_kept());
    assert_eq!((kept.kinds.len(), kept.kinds[0].pairs), (1, 3));
    assert!(close(kept.kinds[0].abuser_part, 0.2));
    assert!(!report(vec![good(), bad.clone(), bad.clone()]).is_kept());
    // The other kind alone breaks no less.
    let mut other = bad.clone();
    other[1].abuser.as_mut().unwrap().kind = AbuserKind::GivesUp;
    assert!(!report(vec![good(), good(), other]).is_kept());
    for spoil in [
        |run: &mut AbuseRun| run.sync_seconds = 11.2,
        |run: &mut AbuseRun| run.honest_bytes_per_second = vec![80.0, 100.0, 100.0, 100.0],
        |run: &mut AbuseRun| run.peak_memory_bytes = Some(18 << 20),
    ] {
        let mut spoiled = good();
        spoil(&mut spoiled[1]);
        assert!(!report(vec![spoiled]).is_kept());
    }
}
