//! `demo`: one command for the main job.

use serde_json::json;

use crate::support::{Chain, Running, alys, names};

#[tokio::test]
async fn demo_syncs_a_generated_chain_from_other_processes() {
    // At this pace the sync takes some seconds: the second peer does not come too late.
    let args = ["demo", "--blocks", "300", "--peers", "2", "--download-mbit", "4", "--json"];
    let summary = alys(&args).await.done();
    assert_eq!(summary["synced"], true);
    assert_eq!((&summary["height"], &summary["blocks"]), (&json!(300), &json!(300)));
    assert_eq!(summary["head"], summary["expected_head"]);
    assert!(summary["seconds"].as_f64().unwrap() > 0.0);
    assert!(summary["blocks_per_second"].as_f64().unwrap() > 0.0);
    assert_eq!((&summary["target_height"], &summary["eta_seconds"]), (&json!(300), &json!(0.0)));
    assert!(summary["peak_memory_bytes"].as_u64().unwrap() > 0);
    assert_eq!((&summary["restarts"], &summary["synthetic_payloads"]), (&json!(0), &json!(false)));
    let peers = summary["peers"].as_array().unwrap();
    assert_eq!(peers.len(), 2);
    let share: f64 = peers.iter().map(|peer| peer["share"].as_f64().unwrap()).sum();
    assert!((share - 1.0).abs() < 1e-6, "{peers:?}");
    let verification = &summary["verification"];
    let count = |key| verification[key].as_u64().unwrap();
    assert!(count("blocks") >= 300, "each block that was imported was verified: {verification}");
    assert!((1..=count("blocks")).contains(&count("batches")), "{verification}");
    assert_eq!(count("group_checks"), count("batches"), "no signature was invalid");
    let seconds = |key| verification[key].as_f64().unwrap();
    let steps = ["scan_cpu_seconds", "signature_cpu_seconds", "content_cpu_seconds"].map(seconds);
    let [cpu, signatures, all] = ["cpu_seconds", "signature_cpu_share", "verification_cpu_share"]
        .map(|key| summary[key].as_f64().unwrap());
    assert!(steps.iter().all(|seconds| *seconds > 0.0), "{verification}");
    assert!(0.0 < signatures && signatures < all && all <= 1.0, "{signatures} {all}");
    assert!((steps[1] / cpu - signatures).abs() < 1e-6, "{verification} {cpu} {signatures}");
    let blocks: u64 = peers.iter().map(|peer| peer["blocks"].as_u64().unwrap()).sum();
    assert!(blocks >= 300, "{peers:?}");
}

#[tokio::test]
async fn demo_syncs_a_given_chain() {
    let chain = Chain::new(60);
    let args = ["demo", "--peers", "1", "--chain", chain.file(), "--chain-spec", chain.spec()];
    let summary = alys(&[&args[..], &["--json"]].concat()).await.done();
    assert_eq!((&summary["height"], &summary["head"]), (&json!(60), &json!(chain.head)));
    let text = alys(&args).await;
    assert!(text.code == Some(0) && text.stdout.contains("synced: 60 blocks in"), "{text:?}");
    assert!(text.stdout.contains(" s CPU in signatures, "), "{text:?}");
}

/// A thousand blocks take most of a minute: no signal comes too late.
const SLOWLY: [&str; 2] = ["--download-mbit", "1"];

#[tokio::test]
async fn interrupted_demo_goes_on_in_the_same_directory() {
    let dir = tempfile::tempdir().unwrap();
    let args = ["demo", "--blocks", "1500", "--peers", "2", "--json"];
    let args = [&args[..], &["--data-dir", dir.path().to_str().unwrap()]].concat();
    let mut first = Running::start(&[&args[..], &SLOWLY].concat());
    first.until_says("downloading blocks").await;
    first.signal("INT").await;
    let first = first.ended().await;
    first.refused(130, &["interrupted: run it again with the same --data-dir"]);
    assert_eq!(first.json()["synced"], false);
    assert_eq!(names(&dir), ["chain.bin", "chain.json", "demo.json", "node"]);

    let second = alys(&args).await.done();
    assert_eq!((&second["synced"], &second["height"]), (&json!(true), &json!(1_500)));
    let before = first.json()["height"].as_u64().unwrap();
    assert_eq!(second["blocks"].as_u64().unwrap(), 1_500 - before);

    let other = [&args[..], &["--seed", "2"]].concat();
    alys(&other).await.refused(2, &["holds a demo of another chain (1500 blocks, seed 1)"]);
}

#[tokio::test]
async fn killed_demo_leaves_no_process_behind() {
    let dir = tempfile::tempdir().unwrap();
    let args = ["demo", "--blocks", "1000", "--data-dir", dir.path().to_str().unwrap()];
    let mut demo = Running::start(&[&args[..], &SLOWLY].concat());
    demo.until_says("downloading blocks").await;
    demo.signal("KILL").await;
    // The serving processes hold the same standard error: it ends when the last of them does.
    assert_eq!(demo.ended().await.code, None);
}
