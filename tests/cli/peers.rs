//! `peers`: of a running node and of its directory.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::support::{Chain, Running, alys};

fn only_peer(listed: &Value) -> &Value {
    let peers = listed["peers"].as_array().unwrap();
    assert_eq!(peers.len(), 1, "{listed}");
    &peers[0]
}

#[tokio::test]
async fn peers_are_listed_kept_out_and_let_in_whether_the_node_runs_or_not() {
    let chain = Chain::new(50);
    let (_server, address) = Running::serving(&chain).await;
    let peer = address.split("/p2p/").nth(1).unwrap().to_owned();
    let node = chain.path("node");
    let run = [
        "run",
        "--chain-spec",
        chain.spec(),
        "--genesis",
        chain.genesis(),
        "--data-dir",
        &node,
        "--bootnode",
        &address,
    ];
    let peers = |what: &[&str]| {
        let args: Vec<_> =
            ["peers"].iter().chain(what).chain(&["--data-dir", &node, "--json"]).copied().collect();
        let args: Vec<String> = args.into_iter().map(str::to_owned).collect();
        async move { alys(&args).await.done() }
    };

    let mut running = Running::start(&run);
    running.until_says("to=\"synced\"").await;
    let listed = peers(&["list"]).await;
    let shown = only_peer(&listed);
    assert_eq!((&shown["peer"], &shown["state"]), (&json!(peer), &json!("usable")));
    assert!(shown["trust"].as_u64() > Some(500), "{shown}");
    let banned = peers(&["ban", &peer, "--for-seconds", "3600"]).await;
    assert_eq!(banned["answer"]["banned"]["reason"], "operator");
    assert_eq!(only_peer(&peers(&["list"]).await)["state"], "banned");
    running.signal("TERM").await;
    assert_eq!(running.ended().await.code, Some(0));

    let listed = peers(&["list"]).await;
    let shown = only_peer(&listed);
    assert_eq!((&shown["state"], &shown["blocks"]), (&json!("banned"), &json!(50)));
    assert_eq!(peers(&["lift", &peer]).await["answer"], "lifted");
    assert_eq!(peers(&["lift", &peer]).await["answer"], "not_banned");
    assert_eq!(only_peer(&peers(&["list"]).await)["state"], "gone");

    assert_eq!(peers(&["ban", &peer]).await["answer"]["banned"]["offences"], 1);
    let mut running = Running::start(&run);
    running.until_says("to=\"discovering\"").await;
    // Who is kept out is not dialled; let in again, at once. It is shown as soon as the records
    // have been read.
    let shown = async {
        loop {
            let listed = peers(&["list"]).await;
            if listed["peers"][0]["state"] == "banned" {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(60), shown).await.expect("it is not shown as kept out");
    assert_eq!(peers(&["lift", &peer]).await["answer"], "lifted");
    running.until_says("to=\"synced\"").await;
    running.signal("TERM").await;
    assert_eq!(running.ended().await.code, Some(0));

    let nobody = alys(&["peers", "ban", "nobody", "--data-dir", &node]).await;
    nobody.refused(2, &["nobody"]);
}
