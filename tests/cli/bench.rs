//! `bench`: every figure is there, and none is nonsense. How fast it is, is not asserted.

use serde_json::{Value, json};

use crate::support::alys;

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
