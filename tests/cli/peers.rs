//! `peers`: of a running node and of its directory.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::support::{Chain, DEADLINE, Running, alys};

fn only_peer(listed: &Value) -> &Value {
    let peers = listed["peers"].as_array().unwrap();
    assert_eq!(peers.len(), 1, "{listed}");
    &peers[0]
}

/// Waits until the only peer of the node at `node` is shown as wanted, and returns it. What is new
/// of a peer is shown a moment after it came to be.
async fn until_shown(node: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let shown = async {
        loop {
            let listed = alys(&["peers", "list", "--data-dir", node, "--json"]).await.done();
            let peer = &listed["peers"][0];
            if wanted(peer) {
                return peer.clone();
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    let shown = timeout(DEADLINE, shown).await;
    shown.unwrap_or_else(|_| panic!("the peer is not shown {what}"))
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
    let shown = until_shown(&node, "with its blocks", |shown| shown["blocks"] == 50).await;
    assert_eq!((&shown["peer"], &shown["state"]), (&json!(peer), &json!("usable")));
    assert!(shown["trust"].as_u64() > Some(500), "{shown}");
    let banned = peers(&["ban", &peer, "--for-seconds", "3600"]).await;
    assert_eq!(banned["answer"]["banned"]["reason"], "operator");
    let kept_out = |shown: &Value| shown["state"] == "banned";
    until_shown(&node, "as kept out", kept_out).await;
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
    until_shown(&node, "as kept out", kept_out).await;
    assert_eq!(peers(&["lift", &peer]).await["answer"], "lifted");
    running.until_says("to=\"synced\"").await;
    running.signal("TERM").await;
    assert_eq!(running.ended().await.code, Some(0));

    let nobody = alys(&["peers", "ban", "nobody", "--data-dir", &node]).await;
    nobody.refused(2, &["nobody"]);
}
