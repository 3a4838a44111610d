//! `bench`: every figure is there, and none is nonsense. How fast it is, is not asserted.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Running, alys, alys_within};

/// The figures that are ratios.
const RATIOS: [&str; 7] = [
    "grouped_over_single",
    "grouped_over_blst_batch",
    "fifteen_authorities_over_blst_batch",
    "one_bad_over_clean",
    "scan_and_root_over_verify",
    "two_workers_over_one",
    "signature_cpu_share",
];

fn rows<'a>(answer: &'a Value, table: &str) -> &'a Vec<Value> {
    answer[table].as_array().unwrap_or_else(|| panic!("no {table}: {answer}"))
}

fn column(answer: &Value, table: &str, key: &str) -> Vec<Value> {
    rows(answer, table).iter().map(|row| row[key].clone()).collect()
}

#[tokio::test]
async fn bench_tells_every_ratio_and_the_tables_behind_them() {
    let args = ["bench", "verify", "--rounds", "1", "--blocks", "256", "--json"];
    let answer = alys(&[&args[..], &["--workers", "2"]].concat()).await.done();
    for key in RATIOS {
        let ratio = answer[key].as_f64().unwrap_or_else(|| panic!("no {key}: {answer}"));
        assert!(ratio > 0.0, "{key} is {ratio}");
    }
    assert!(answer["signature_cpu_share"].as_f64().unwrap() <= 1.0);
    assert_eq!(rows(&answer, "signatures").len(), 15);
    for row in rows(&answer, "signatures") {
        assert!([3, 5, 15].map(|n| json!(n)).contains(&row["authorities"]), "{row}");
        let over = row["grouped_over_blst_batch"].as_f64().unwrap();
        assert!(over > 0.0 && row["grouped_cpu_seconds"].as_f64().unwrap() > 0.0, "{row}");
    }
    assert_eq!(column(&answer, "wrong", "wrong"), [1, 2, 5]);
    assert_eq!(column(&answer, "pool", "workers"), [1, 2]);
    assert_eq!(answer["pool"][0]["over_one"], 1.0);
    for (found, wanted) in
        column(&answer, "scan", "bytes").iter().zip([1_300, 1_800, 5_000, 100_000, 1_000_000])
    {
        let found = found.as_f64().unwrap();
        assert!((found / f64::from(wanted) - 1.0).abs() < 0.05, "{found} for {wanted}");
    }
    assert_eq!((&answer["demo"]["synced"], &answer["demo"]["height"]), (&json!(true), &json!(256)));
    assert_eq!(answer["demo"]["signature_cpu_share"], answer["signature_cpu_share"]);
}

#[tokio::test]
async fn bench_refuses_numbers_that_measure_nothing() {
    for (option, number, said) in [
        ("--workers", "0", "at least 1"),
        ("--workers", "1,2000", "1024"),
        ("--rounds", "0", "1..=100"),
        ("--blocks", "1", "128..=200000"),
    ] {
        alys(&["bench", "verify", option, number]).await.refused(2, &[option, said]);
    }
}

#[tokio::test]
async fn bakeoff_tells_a_row_for_each_policy_and_mix_and_what_it_comes_to() {
    let args = ["bench", "bakeoff", "--seeds", "1", "--mix", "mixed-speeds,lossy"];
    let some = ["--policy", "ours,fixed-256", "--json"];
    let answer = alys(&[&args[..], &some].concat()).await.done();
    assert_eq!(column(&answer, "rows", "mix"), ["mixed-speeds", "mixed-speeds", "lossy", "lossy"]);
    assert_eq!(column(&answer, "rows", "policy"), ["ours", "fixed-256", "ours", "fixed-256"]);
    for row in rows(&answer, "rows") {
        let figure = |key: &str| row[key].as_f64().unwrap_or_else(|| panic!("no {key}: {row}"));
        assert!(figure("seconds") > 1.0 && figure("gap_seconds") > 0.0, "{row}");
        assert!(figure("over_fastest") >= 1.0 && figure("duplicates") >= 0.0, "{row}");
        assert!((0.0..1.0).contains(&figure("utilisation")), "{row}");
    }
    let share = answer["fastest_share"].as_f64().unwrap();
    assert!((0.0..=1.0).contains(&share), "{share}");
    assert_eq!(answer["margin_on_mixed_speeds"], answer["margin_over_fixed_on_mixed_speeds"]);
    assert!(answer["worst_loss"].as_f64().unwrap() >= 0.0);
}

#[tokio::test]
async fn bakeoff_knows_its_policies_and_mixes() {
    for (option, name, said) in [
        ("--policy", "hours", "lighthouse"),
        ("--mix", "soup", "one-block"),
        ("--seeds", "0", "1.."),
    ] {
        alys(&["bench", "bakeoff", option, name]).await.refused(2, &[option, said]);
    }
}
/// The figures of `bench sync` that are one number.
const SYNC_FIGURES: [&str; 10] = [
    "old_algorithm_blocks_per_second",
    "one_peer_ratio",
    "eight_peers_ratio",
    "verification_cpu_share",
    "duplicate_fraction",
    "hedges_sent",
    "hanging_peer_cost",
    "one_block_servers_share",
    "peak_memory_bytes_throttled",
    "hedges_won",
];

/// Asserts that of all figures exactly `measured` are there.
fn measured_only(answer: &Value, measured: &[&str]) {
    for key in SYNC_FIGURES {
        let figure = answer.get(key).unwrap_or_else(|| panic!("no {key}: {answer}"));
        assert_eq!(figure.is_number(), measured.contains(&key), "{key}: {answer}");
        assert!(figure.is_number() || figure.is_null(), "{key}: {answer}");
    }
}

#[tokio::test]
async fn bench_sync_holds_ours_against_the_old_algorithm() {
    let args = ["bench", "sync", "--quick", "--only", "peers", "--blocks", "150", "--json"];
    let answer = alys(&args).await.done();
    assert_eq!((&answer["quick"], &answer["rounds"]), (&json!(true), &json!(1)));
    let measured = ["one_peer_ratio", "eight_peers_ratio", "verification_cpu_share"];
    measured_only(&answer, &[&measured[..], &["old_algorithm_blocks_per_second"]].concat());
    assert!(answer["old_algorithm_comparable"].is_boolean(), "{answer}");
    let key = "without_execution_blocks_per_second";
    let old = answer["speeds"]["old"][key].as_f64().unwrap();
    let real = answer["old_algorithm_blocks_per_second"].as_f64().unwrap();
    assert!(0.0 < real, "{answer}");
    let speeds = rows(&answer["speeds"], "ours");
    assert_eq!(column(&answer["speeds"], "ours", "peers"), [1, 8]);
    for row in speeds {
        let [speed, over] = ["blocks_per_second", "over_old"].map(|key| row[key].as_f64().unwrap());
        assert!((over - speed / old).abs() < 1e-6 * over && old > 0.0, "{row} {old}");
    }
    assert_eq!(answer["speeds"]["chain_blocks"], 150);
    let bytes = answer["speeds"]["block_bytes"].as_f64().unwrap();
    assert!((bytes / 1_800.0 - 1.0).abs() < 0.05, "{bytes}");
}

/// For a command that syncs again and again, over slow links, too: far more than it needs.
const MANY_SYNCS: Duration = Duration::from_secs(900);

#[tokio::test]
async fn bench_sync_measures_links_bad_peers_and_memory() {
    let args = ["bench", "sync", "--quick", "--only", "links,hanging,one-block,memory", "--json"];
    let sizes = ["--link-blocks", "40", "--one-block-blocks", "300"];
    let args = [&args[..], &sizes, &["--memory-bytes-chain", "3000000"]].concat();
    let answer = alys_within(MANY_SYNCS, &args).await.done();
    let not_measured = ["old_algorithm_blocks_per_second", "one_peer_ratio", "eight_peers_ratio"];
    let not_measured = [&not_measured[..], &["verification_cpu_share"]].concat();
    let measured = SYNC_FIGURES.into_iter().filter(|key| !not_measured.contains(key));
    measured_only(&answer, &measured.collect::<Vec<_>>());
    let links = rows(&answer["links"], "rows");
    assert_eq!(column(&answer["links"], "rows", "round_trip_ms"), [5, 50, 150]);
    for row in links {
        let used = row["utilisation"].as_f64().unwrap();
        assert!(0.0 < used && used < 1.0, "no link carries more than its rate: {row}");
        assert_eq!(answer["link_utilisation"][row["round_trip_ms"].to_string()], used);
        assert!(row["duplicate_fraction"].as_f64().unwrap() > 0.0, "encryption takes some: {row}");
        let [first, all] =
            ["first_import_seconds", "seconds"].map(|key| row[key].as_f64().unwrap());
        assert!(0.0 < first && first <= all, "{row}");
        let lost = ["start", "middle", "end"].map(|part| row["lost_seconds"][part].as_f64());
        let lost: f64 = lost.map(Option::unwrap).iter().sum();
        assert!(0.0 < lost && lost < all, "what is not used is lost: {row}");
    }
    assert!(answer["links"]["travelling_block_bytes"].as_u64().unwrap() >= 64_000, "{answer}");
    let share = answer["one_block_servers_share"].as_f64().unwrap();
    assert!(0.0 < share && share <= 1.0, "{answer}");
    let memory = &answer["memory"];
    let [free, slow] =
        ["bytes_per_second", "throttled_bytes_per_second"].map(|key| memory[key].as_f64().unwrap());
    assert!((free / slow - 10.0).abs() < 0.1, "{memory}");
    assert!(memory["throttled_seconds"].as_f64().unwrap() * slow > 2e6, "{memory}");
}

#[tokio::test]
async fn bench_sync_refuses_what_it_does_not_measure() {
    for (option, value, said) in [
        ("--only", "all", "one-block"),
        ("--rounds", "0", "1..=100"),
        ("--link-blocks", "0", "1..="),
    ] {
        alys(&["bench", "sync", option, value]).await.refused(2, &[option, said]);
    }
}

#[tokio::test]
async fn interrupted_bench_sync_leaves_no_process_behind() {
    let mut bench = Running::start(&["bench", "sync", "--only", "peers", "--json"]);
    bench.until_says("old algorithm").await;
    bench.signal("INT").await;
    // The serving processes hold the same standard error: it ends when the last of them does.
    bench.ended().await.refused(130, &["interrupted"]);
}
