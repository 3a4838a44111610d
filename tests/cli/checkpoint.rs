//! `checkpoint`: of a running node and of its directory, and what a damaged head looks like.

use std::fs;

use serde_json::{Value, json};

use crate::support::{Chain, Outcome, Running, alys};

fn run_args<'a>(chain: &'a Chain, node: &'a str, address: &'a str) -> [&'a str; 9] {
    [
        "run",
        "--chain-spec",
        chain.spec(),
        "--genesis",
        chain.genesis(),
        "--data-dir",
        node,
        "--bootnode",
        address,
    ]
}

async fn checkpoint(node: &str, what: &[&str]) -> Outcome {
    let args = [&["checkpoint"], what, &["--data-dir", node, "--json"]].concat();
    alys(&args).await
}

/// Kind, height and whether it holds, of each that is listed.
fn kinds(listed: &Value) -> Vec<(String, u64, bool)> {
    let all = listed["checkpoints"].as_array().unwrap().iter();
    all.map(|checked| {
        let (checkpoint, result) = (&checked["checkpoint"], &checked["result"]["check"]);
        let kind = checkpoint["kind"].as_str().unwrap().to_owned();
        (kind, checkpoint["height"].as_u64().unwrap(), result == "holds")
    })
    .collect()
}

#[tokio::test]
async fn checkpoints_are_made_verified_carried_and_removed_whether_the_node_runs_or_not() {
    let chain = Chain::new(50);
    let (_server, address) = Running::serving(&chain).await;
    let (node, file) = (chain.path("node"), chain.path("checkpoints.json"));
    let mut running = Running::start(&run_args(&chain, &node, &address));
    running.until_says("to=\"synced\"").await;

    let made = checkpoint(&node, &["create"]).await.done();
    let made = &made["checkpoint"];
    assert_eq!((&made["height"], &made["root"]), (&json!(50), &json!(chain.head)));
    assert_eq!(made["verified"], true);
    assert_eq!(made["progress"]["blocks_processed"], 50);
    assert_eq!(made["progress"]["run_state"], "running");
    let manual = ("manual".to_owned(), 50, true);
    let only_manual = std::slice::from_ref(&manual);
    assert_eq!(kinds(&checkpoint(&node, &["list"]).await.done()), only_manual);
    checkpoint(&node, &["verify"]).await.done();
    let exported = checkpoint(&node, &["export", "--out", &file]).await.done();
    assert_eq!(exported["exported"], 1);
    checkpoint(&node, &["remove", "--height", "50"]).await.done();
    checkpoint(&node, &["remove", "--height", "50"]).await.refused(2, &["height 50"]);
    let taken = checkpoint(&node, &["import", "--file", &file]).await.done();
    assert_eq!(kinds(&taken), only_manual);
    // What it says of progress is not this node's own.
    assert_eq!(taken["checkpoints"][0]["checkpoint"]["progress"], Value::Null);
    running.signal("TERM").await;
    assert_eq!(running.ended().await.code, Some(0));

    let stop = ("stop".to_owned(), 50, true);
    let listed = checkpoint(&node, &["list"]).await.done();
    assert_eq!(kinds(&listed), [manual.clone(), stop.clone()]);
    checkpoint(&node, &["verify"]).await.done();
    let cut = ["chain", "truncate", "--to", "20", "--data-dir", &node];
    assert_eq!(alys(&cut).await.code, Some(0));
    // Both were true, and the chain has lost their block.
    checkpoint(&node, &["verify"]).await.refused(1, &["2 of 2 checkpoints are wrong"]);
    checkpoint(&node, &["recover", "--height", "50"]).await.refused(1, &["ends at 20"]);
    assert_eq!(checkpoint(&node, &["create"]).await.done()["checkpoint"]["height"], 20);
    let args = [&run_args(&chain, &node, &address)[..], &["--until-synced", "--json"]].concat();
    assert_eq!(alys(&args).await.done()["height"], 50);
    checkpoint(&node, &["recover", "--height", "21"]).await.refused(2, &["checkpoint list"]);
    let back = checkpoint(&node, &["recover", "--height", "20"]).await.done();
    assert_eq!(back["height"], 20);
    // What was given up on purpose is not lost.
    checkpoint(&node, &["verify"]).await.done();
    assert_eq!(alys(&args).await.done()["height"], 50);
    checkpoint(&node, &["remove", "--height", "20"]).await.done();
    checkpoint(&node, &["remove", "--height", "50"]).await.done();
    let made = checkpoint(&node, &["create"]).await.done();
    assert_eq!(made["checkpoint"]["progress"]["blocks_processed"], 50);
    assert_eq!(kinds(&checkpoint(&node, &["list"]).await.done()), [manual, stop]);
}

/// Brings the blocks of `file` into the data directory `node`.
async fn import_chain(chain: &Chain, file: &str, node: &str) {
    let args = ["chain", "import", "--chain", file, "--chain-spec", chain.spec()];
    assert_eq!(alys(&[&args[..], &["--data-dir", node]].concat()).await.code, Some(0));
}

/// Brings all of `chain` into `node`, and a checkpoint of its head into the file that is returned.
async fn exported_head(chain: &Chain, node: &str) -> String {
    let file = chain.path("out.json");
    import_chain(chain, chain.file(), node).await;
    checkpoint(node, &["create"]).await.done();
    checkpoint(node, &["export", "--out", &file]).await.done();
    file
}

#[tokio::test]
async fn imported_checkpoints_are_claims_until_the_chain_shows_them_and_false_ones_are_refused() {
    let chain = Chain::new(30);
    let (whole, short) = (chain.path("whole"), chain.path("short"));
    let file = exported_head(&chain, &whole).await;
    let part = chain.write("part.bin", &chain.blocks[..11]);
    import_chain(&chain, &part, &short).await;

    let claim = checkpoint(&short, &["import", "--file", &file]).await.done();
    assert_eq!(claim["checkpoints"][0]["checkpoint"]["verified"], false);
    assert_eq!(kinds(&claim), [("manual".to_owned(), 30, false)]);
    // That the chain does not reach it yet is no fault of it.
    checkpoint(&short, &["verify"]).await.done();
    import_chain(&chain, chain.file(), &short).await;
    assert_eq!(
        kinds(&checkpoint(&short, &["verify"]).await.done()),
        [("manual".to_owned(), 30, true)]
    );

    let text = fs::read_to_string(&file).unwrap();
    let changed = chain.path("changed.json");
    fs::write(&changed, text.replacen("\"height\": 30", "\"height\": 29", 1)).unwrap();
    checkpoint(&short, &["import", "--file", &changed]).await.refused(2, &["checksum"]);
    fs::write(&changed, "[]").unwrap();
    checkpoint(&short, &["import", "--file", &changed]).await.refused(2, &["no export"]);
    checkpoint(&short, &["import", "--file", chain.spec()]).await.refused(2, &["no export"]);
    fs::write(&changed, vec![b' '; (1 << 20) + 1]).unwrap();
    checkpoint(&short, &["import", "--file", &changed]).await.refused(2, &["more than"]);
    let other = Chain::with(alys_sync::consensus::generate::GenerateOptions {
        blocks: 3,
        genesis_time: 1_700_000_005,
        ..Default::default()
    });
    let theirs = other.path("node");
    let args =
        ["chain", "import", "--chain", other.file(), "--chain-spec", other.spec(), "--data-dir"];
    assert_eq!(alys(&[&args[..], &[&theirs]].concat()).await.code, Some(0));
    checkpoint(&theirs, &["import", "--file", &file]).await.refused(2, &["of the chain"]);

    // Damage of the block of a checkpoint, below the head.
    let bodies = format!("{short}/blocks/00000001.seg");
    checkpoint(&whole, &["verify"]).await.done();
    let bodies_of_whole = bodies.replace("short", "whole");
    let mut bytes = fs::read(&bodies_of_whole).unwrap();
    let at = 16 + chain.blocks[..30].iter().map(|block| block.len() + 8).sum::<usize>() + 20;
    bytes[at] ^= 1;
    fs::write(&bodies_of_whole, &bytes).unwrap();
    checkpoint(&whole, &["verify"]).await.refused(1, &["block 30", "alys-sync run"]);
}

#[tokio::test]
async fn run_goes_on_from_a_damaged_head_by_itself_and_says_so() {
    let chain = Chain::new(40);
    let (_server, address) = Running::serving(&chain).await;
    let node = chain.path("node");
    let args = run_args(&chain, &node, &address);
    let until_synced = [&args[..], &["--until-synced", "--json"]].concat();
    assert_eq!(alys(&until_synced).await.done()["height"], 40);
    let bodies = format!("{node}/blocks/00000001.seg");
    let mut bytes = fs::read(&bodies).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&bodies, &bytes).unwrap();
    checkpoint(&node, &["verify"]).await.refused(1, &["block 40 in", "alys-sync run"]);

    let mut running = Running::start(&args);
    running.until_says("recovered from a damaged head").await;
    running.until_says("to=\"synced\"").await;
    let status = alys(&["status", "--data-dir", &node, "--json"]).await.done();
    let recovery = &status["recovery"];
    assert_eq!((&recovery["from"], &recovery["to"]["height"]), (&json!(40), &json!(39)));
    assert_eq!(recovery["by"], "near_block");
    let kept = recovery["quarantine"]["dir"].as_str().unwrap();
    assert_eq!(fs::read_dir(kept).unwrap().count(), 1);
    assert_eq!(status["current_height"], 40);
    // The block that was lost is imported once more; it counts once.
    assert_eq!(status["blocks_processed"], 40);
    running.signal("TERM").await;
    assert_eq!(running.ended().await.code, Some(0));
    assert_eq!(alys(&until_synced).await.done()["blocks"], 0);
}

#[tokio::test]
async fn running_node_goes_back_to_a_checkpoint_and_downloads_again_what_is_above() {
    let chain = Chain::new(60);
    let (_server, address) = Running::serving(&chain).await;
    let node = chain.path("node");
    let args = run_args(&chain, &node, &address);
    let to_twenty = [&args[..], &["--target", "20", "--until-synced"]].concat();
    assert_eq!(alys(&to_twenty).await.code, Some(0));
    checkpoint(&node, &["create"]).await.done();
    let mut running = Running::start(&args);
    running.until_says("to=\"synced\"").await;

    checkpoint(&node, &["recover", "--height", "21"]).await.refused(2, &["no checkpoint at"]);
    let back = checkpoint(&node, &["recover", "--height", "20"]).await.done();
    assert_eq!((&back["height"], &back["from"]), (&json!(20), &json!(60)));
    running.until_says("the chain was set back to a checkpoint").await;
    running.until_says("to=\"synced\"").await;
    let status = alys(&["status", "--data-dir", &node, "--json"]).await.done();
    assert_eq!((&status["current_height"], &status["head"]), (&json!(60), &json!(chain.head)));
    assert_eq!(status["blocks_processed"], 60);
    running.signal("TERM").await;
    assert_eq!(running.ended().await.code, Some(0));
    let verify = ["chain", "verify", "--data-dir", &node, "--chain-spec", chain.spec()];
    assert_eq!(alys(&verify).await.code, Some(0));
}

#[tokio::test]
async fn running_node_does_not_go_back_to_a_claim_that_its_chain_has_not_come_to() {
    let chain = Chain::new(30);
    let short = chain.path("short");
    let file = exported_head(&chain, &chain.path("whole")).await;
    import_chain(&chain, &chain.write("part.bin", &chain.blocks[..11]), &short).await;
    // Nobody is there to sync from.
    let mut running = Running::start(&run_args(&chain, &short, "/ip4/127.0.0.1/tcp/1"));
    running.until_says("to=\"discovering\"").await;
    checkpoint(&short, &["import", "--file", &file]).await.done();
    let refused = checkpoint(&short, &["recover", "--height", "30"]).await;
    refused.refused(1, &["409", "the chain ends at 10"]);
    let status = alys(&["status", "--data-dir", &short, "--json"]).await.done();
    assert_eq!(status["current_height"], 10);
    running.signal("TERM").await;
    assert_eq!(running.ended().await.code, Some(0));
}
