//! `run`, `serve` and `status` as processes beside each other.

use std::{fs, path::Path};

use alys_sync::consensus::generate::GenerateOptions;
use serde_json::json;

use crate::support::{Chain, Running, alys, closed_port};

fn run_args(chain: &Chain, node: &str, bootnodes: &[&str], more: &[&str]) -> Vec<String> {
    let fixed = ["run", "--chain-spec", chain.spec(), "--genesis", chain.genesis(), "--json"];
    [&fixed[..], &["--data-dir", node, "--bootnode"], bootnodes, more]
        .concat()
        .into_iter()
        .map(str::to_owned)
        .collect()
}

#[tokio::test]
async fn run_until_synced_is_not_done_where_no_peer_serves_a_block() {
    let chain = Chain::new(0);
    let (_server, address) = Running::serving(&chain).await;
    let node = chain.path("node");
    let args = run_args(&chain, &node, &[&address], &["--until-synced"]);
    let outcome = alys(&args).await;
    outcome.refused(1, &["no peer served a block", "--target 0"]);
    assert_eq!(outcome.json()["synced"], false);

    let args = run_args(&chain, &node, &[&address], &["--until-synced", "--target", "0"]);
    assert_eq!(alys(&args).await.done()["synced"], true);
}

#[tokio::test]
async fn run_until_synced_ends_at_the_head_of_its_peers() {
    let chain = Chain::new(400);
    let (_one, first) = Running::serving(&chain).await;
    let (_two, second) = Running::serving(&chain).await;
    let node = chain.path("node");
    // At this pace the sync takes some seconds: the second peer does not come too late.
    let limits = ["--until-synced", "--download-mbit", "4", "--divide", "equally"];
    let limits = [&limits[..], &["--select", "diversified:max_per_region=1"]].concat();
    let args = run_args(&chain, &node, &[&first, &second], &limits);
    let summary = alys(&args).await.done();
    assert_eq!(summary["synced"], true);
    assert_eq!((&summary["height"], &summary["blocks"]), (&json!(400), &json!(400)));
    assert_eq!(summary["head"], json!(chain.head));
    assert_eq!(summary["restarts"], 0);
    assert_eq!(summary["peers"].as_array().unwrap().len(), 2);

    // What it stored serves another node, whose bootnode is named without its peer id.
    let mut server = Running::start(&[
        "serve",
        "--chain-spec",
        chain.spec(),
        "--data-dir",
        &node,
        "--listen",
        "/ip4/127.0.0.1/tcp/0",
    ]);
    let address = server.line().await;
    let bare = address.split("/p2p/").next().unwrap();
    let next = chain.path("next");
    let args = run_args(&chain, &next, &[bare], &["--until-synced", "--target", "123"]);
    let summary = alys(&args).await.done();
    assert_eq!((&summary["synced"], &summary["height"]), (&json!(true), &json!(123)));
    server.signal("TERM").await;
    assert_eq!(server.ended().await.code, Some(0));
}

#[tokio::test]
async fn run_goes_on_where_it_was_after_an_interrupt_and_after_a_kill() {
    let chain = Chain::new(1_500);
    let (_server, address) = Running::serving(&chain).await;
    let node = chain.path("node");
    let args = run_args(&chain, &node, &[&address], &["--until-synced"]);
    // At this pace the sync takes a minute: no signal comes too late.
    let slowly = [&args[..], &["--download-mbit", "1"].map(str::to_owned)].concat();

    let mut first = Running::start(&slowly);
    first.until_says("to=\"downloading_blocks\"").await;
    first.signal("INT").await;
    let first = first.ended().await;
    first.refused(130, &["interrupted: run it again"]);
    let interrupted_at = first.json()["height"].as_u64().unwrap();
    assert_eq!(first.json()["synced"], false);

    let mut second = Running::start(&slowly);
    second.until_says("to=\"downloading_blocks\"").await;
    second.signal("KILL").await;
    assert_eq!(second.ended().await.code, None);

    let third = alys(&args).await.done();
    assert_eq!((&third["synced"], &third["height"]), (&json!(true), &json!(1_500)));
    assert_eq!(third["head"], json!(chain.head));
    assert!(third["blocks"].as_u64().unwrap() <= 1_500 - interrupted_at);
}

#[tokio::test]
async fn run_on_another_chain_ends_with_both_genesis_roots() {
    let theirs = Chain::new(20);
    // The same authorities, so that only the genesis block differs.
    let options = GenerateOptions::default();
    let genesis_time = options.genesis_time + 5;
    let ours = Chain::with(GenerateOptions { blocks: 1, genesis_time, ..options });
    let (_server, address) = Running::serving(&theirs).await;
    let node = ours.path("node");
    let outcome = alys(&run_args(&ours, &node, &[&address], &["--until-synced"])).await;
    let roots = [&ours, &theirs].map(|chain| chain.chain.genesis().root().to_string());
    outcome.refused(1, &["error: ", &roots[0], &roots[1], "--genesis"]);
    assert_eq!(outcome.json()["synced"], false);
}

#[tokio::test]
async fn status_tells_where_a_running_node_is_and_that_none_runs() {
    let chain = Chain::new(50);
    let (_server, address) = Running::serving(&chain).await;
    let node = chain.path("node");
    alys(&["status", "--data-dir", &node]).await.refused(1, &["no node runs on", &node]);

    let mut running = Running::start(&run_args(&chain, &node, &[&address], &[]));
    running.until_says("to=\"synced\"").await;
    let status = alys(&["status", "--data-dir", &node, "--json"]).await.done();
    assert_eq!(status["phase"]["state"], "synced");
    assert_eq!((&status["current_height"], &status["head"]), (&json!(50), &json!(chain.head)));
    assert_eq!(status["children"].as_array().unwrap().len(), 8);
    assert_eq!(status["budget"]["limit"], 64 << 20);
    let served_at = fs::read_to_string(Path::new(&node).join("status.addr")).unwrap();
    let url = format!("http://{served_at}");
    let text = alys(&["status", "--url", &url]).await;
    assert!(text.code == Some(0) && text.stdout.contains("height      50 of 50"), "{text:?}");

    let locked = alys(&["chain", "info", "--data-dir", &node]).await;
    locked.refused(2, &[&node, "in use by another process"]);

    running.signal("TERM").await;
    assert_eq!(running.ended().await.done()["synced"], true, "stopping is its orderly end");
    alys(&["status", "--data-dir", &node]).await.refused(1, &["no node runs on", &node]);
    // As a node leaves it behind that was killed.
    let (_held, nobody) = closed_port();
    fs::write(Path::new(&node).join("status.addr"), nobody.to_string()).unwrap();
    alys(&["status", "--data-dir", &node]).await.refused(1, &["no node runs on", "is gone"]);
}

#[tokio::test]
async fn synthetic_payloads_are_warned_of_and_marked() {
    let chain = Chain::new(10);
    let text = fs::read_to_string(chain.spec()).unwrap();
    let spec = chain.path("synthetic.json");
    let synthetic = text.replace("\"syntheticPayloads\": false", "\"syntheticPayloads\": true");
    fs::write(&spec, synthetic).unwrap();
    let args = ["chain", "verify", "--json", "--chain", chain.file(), "--chain-spec", &spec];
    let outcome = alys(&args).await;
    assert_eq!(outcome.done()["synthetic_payloads"], true);
    assert!(outcome.stderr.contains("WARNING"), "{outcome:?}");
}
