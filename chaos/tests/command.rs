//! Short runs over real files and processes, through the command.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::process::Command;

use serde_json::Value;

/// Runs `chaos` with these arguments; its report, if all bounds were kept.
fn report(arguments: &[&str]) -> Value {
    let ran = Command::new(env!("CARGO_BIN_EXE_chaos")).args(arguments).output().unwrap();
    let said = String::from_utf8(ran.stdout).unwrap();
    let last = said.lines().last().unwrap_or_default();
    assert!(ran.status.success(), "{last}\n{}", String::from_utf8_lossy(&ran.stderr));
    serde_json::from_str(last).unwrap()
}

#[test]
fn node_killed_at_any_instant_keeps_what_it_promised_and_comes_to_the_same_head() {
    // So many that a look for the head more, of a machine that stands still, is not 2 % of them.
    let report = report(&["kill9", "--runs", "3", "--blocks", "2400", "--json"]);
    assert_eq!(report["resumed"], 3, "{report}");
    assert_eq!(report["heads_identical"], 3, "{report}");
    assert_eq!(report["lost_acknowledged"], 0, "{report}");
    if report["promises"].is_null() {
        eprintln!("SKIPPED: no strace here, so no kill was exactly at a sync");
    } else {
        assert_eq!(report["promises_before_sync"], 0, "{report}");
    }
}

#[test]
fn damaged_store_is_opened_as_far_as_it_is_whole_or_refused_and_never_trusted() {
    let report = report(&["stores", "--runs", "60", "--blocks", "200", "--json"]);
    assert_eq!((&report["panics"], &report["bad_trusted"]), (&Value::from(0), &Value::from(0)));
    let count = |name: &str| report[name].as_u64().unwrap();
    assert!(count("refused") > 0 && count("opened") > 0, "{report}");
    assert!(count("opened") > count("opened_whole"), "no damage cut a chain: {report}");
}

/// Causes the rows of these classes; each has to be caused, or to be left out for a reason.
fn rows_of(classes: &[&str]) {
    let report = report(&["recovery-table", "--only", &classes.join(","), "--json"]);
    let rows = report["rows"].as_array().unwrap();
    let left_out = report["left_out"].as_array().unwrap();
    for class in classes {
        for left_out in left_out.iter().filter(|of| of["row"] == *class) {
            eprintln!("SKIPPED: {class}: {}", left_out["why"]);
        }
        let known = rows.iter().chain(left_out).any(|of| of["row"] == *class);
        assert!(known, "{class} was not caused: {report}");
    }
    assert!(rows.iter().all(|row| row["kept"] == true && row["completed"] == true), "{report}");
}

#[test]
fn errors_of_disk_and_files_are_recovered_from_as_the_table_says() {
    rows_of(&[
        "capacity",
        "storage_failure",
        "checkpoint_corrupted",
        "inconsistent_state",
        "out_of_memory",
    ]);
}

#[test]
fn errors_of_peers_are_recovered_from_as_the_table_says() {
    rows_of(&["peer_timeout", "connection_lost", "high_latency", "download_failure"]);
}

#[test]
fn lies_forks_and_failed_parts_are_recovered_from_as_the_table_says() {
    rows_of(&["invalid_block", "reorganisation", "validation_failure"]);
}

#[test]
fn start_that_only_a_checkpoint_saves_is_measured_beside_plain_ones() {
    let sizes = ["--short", "2600", "--long", "3600", "--pairs", "1"];
    let ran = Command::new(env!("CARGO_BIN_EXE_chaos"))
        .args(["recovery-time", "--json"])
        .args(sizes)
        .output()
        .unwrap();
    // How fast it was is not asserted; that each start went on from where it should is an error.
    let said = String::from_utf8(ran.stdout).unwrap();
    let last = said.lines().last();
    let report = last.and_then(|last| serde_json::from_str::<Value>(last).ok());
    let report = report.unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&ran.stderr)));
    let rows = report["rows"].as_array().unwrap();
    let kinds: Vec<_> = rows.iter().map(|row| row["after"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["kill", "damaged_head", "only_a_checkpoint"]);
    assert!(rows.iter().all(|row| row["max_seconds"].as_f64().unwrap() < 30.0), "{report}");
}

#[test]
fn every_killed_child_of_a_real_node_is_back_and_the_sync_is_whole() {
    let report = report(&["restart-time", "--runs", "1", "--json"]);
    assert_eq!(report["completed"], 1, "{report}");
    let children = report["children"].as_array().unwrap();
    // How long they were away is not asserted.
    assert!(children.len() == 8 && children.iter().all(|row| row["kills"] == 1), "{report}");
    assert!(children.iter().all(|row| row["median_ms"].as_f64().unwrap() > 0.0), "{report}");
}
