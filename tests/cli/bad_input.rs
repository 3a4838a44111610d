//! What cannot be used is refused before anything is begun, with what and where.

use std::fs;

use crate::support::{Chain, alys, names};

/// The arguments of a `run` that would work but for `change`d ones.
fn run_args(chain: &Chain, change: &[(&str, &str)]) -> Vec<String> {
    let node = chain.path("node");
    let mut args = vec![
        ("--chain-spec", chain.spec()),
        ("--genesis", chain.genesis()),
        ("--data-dir", &node),
        ("--bootnode", "/ip4/127.0.0.1/tcp/1"),
    ];
    for (key, value) in change {
        args.retain(|(known, _)| known != key);
        args.push((key, value));
    }
    let flat = args.into_iter().flat_map(|(key, value)| [key.to_owned(), value.to_owned()]);
    ["run".to_owned(), "--until-synced".to_owned()].into_iter().chain(flat).collect()
}

#[tokio::test]
async fn specifications_are_refused_with_the_key_and_the_fix() {
    let chain = Chain::new(2);
    let spec = chain.path("other.json");
    let text = fs::read_to_string(chain.spec()).unwrap();
    for (broken, said) in [
        ("{".to_owned(), "not JSON (line 1"),
        (text.replace("\"bits\"", "\"bots\""), "bits is missing"),
        (text.replace("\"slotDuration\": 5000", "\"slotDuration\": \"x\""), "slotDuration is"),
        (text.replace("\"0x", "\"0y"), "authorities[0]"),
        (" ".repeat(2 << 20), "has more than"),
    ] {
        fs::write(&spec, broken).unwrap();
        let outcome = alys(&run_args(&chain, &[("--chain-spec", &spec)])).await;
        outcome.refused(2, &["error: the chain specification", &spec, said]);
    }
    let absent = chain.path("absent");
    let outcome = alys(&run_args(&chain, &[("--chain-spec", &absent)])).await;
    outcome.refused(2, &[&absent, "No such file"]);
    assert!(!names(chain.path("")).contains(&"node".to_owned()), "nothing was begun");
}

#[tokio::test]
async fn genesis_files_are_refused_with_the_reason() {
    let chain = Chain::new(3);
    let not_genesis = chain.write("one.bin", &chain.blocks[1..2]);
    let undecodable = chain.write("text.bin", &[b"text".to_vec()]);
    for (file, said) in [
        (chain.file(), "the file holds more than one block"),
        (&not_genesis, "must have height 0"),
        (&undecodable, "holds no block"),
    ] {
        let outcome = alys(&run_args(&chain, &[("--genesis", file)])).await;
        outcome.refused(2, &["error: ", file, said]);
    }
}

#[tokio::test]
async fn addresses_are_refused_with_an_example() {
    let chain = Chain::new(1);
    let outcome = alys(&run_args(&chain, &[("--bootnode", "127.0.0.1:9000")])).await;
    outcome.refused(2, &["--bootnode", "127.0.0.1:9000", "/ip4/127.0.0.1/tcp/9000"]);
    let serve = ["serve", "--chain-spec", chain.spec(), "--chain", chain.file(), "--listen"];
    alys(&[&serve[..], &["/dns4/localhost/tcp/0"]].concat())
        .await
        .refused(1, &["cannot listen on /dns4/localhost/tcp/0"]);
}

#[tokio::test]
async fn data_directories_of_others_are_refused_and_left_alone() {
    let chain = Chain::new(3);
    let foreign = chain.path("foreign");
    fs::create_dir(&foreign).unwrap();
    fs::write(format!("{foreign}/letter.txt"), "dear").unwrap();
    let outcome = alys(&run_args(&chain, &[("--data-dir", &foreign)])).await;
    outcome.refused(2, &[&foreign, "not a data directory"]);
    alys(&["chain", "info", "--data-dir", &foreign]).await.refused(2, &[&foreign]);
    assert_eq!(names(&foreign), ["letter.txt"]);

    let newer = chain.path("newer");
    fs::create_dir(&newer).unwrap();
    fs::write(format!("{newer}/alys-sync.json"), r#"{"format":999}"#).unwrap();
    let outcome = alys(&run_args(&chain, &[("--data-dir", &newer)])).await;
    outcome.refused(2, &[&newer, "layout 999"]);
    alys(&["chain", "info", "--data-dir", &chain.path("absent")])
        .await
        .refused(2, &["absent", "is no data directory"]);
}

#[tokio::test]
async fn exactly_one_source_of_blocks_is_required() {
    let chain = Chain::new(1);
    let serve = ["serve", "--chain-spec", chain.spec(), "--listen", "/ip4/127.0.0.1/tcp/0"];
    alys(&serve).await.refused(2, &["--chain", "--data-dir"]);
    let both = ["--chain", chain.file(), "--data-dir", "x"];
    alys(&[&serve[..], &both].concat()).await.refused(2, &["cannot be used with"]);
    alys(&["status"]).await.refused(2, &["--data-dir", "--url"]);
}

#[tokio::test]
async fn serve_refuses_a_chain_that_the_specification_does_not_describe() {
    let (ours, theirs) = (Chain::new(3), {
        let options = alys_sync::consensus::generate::GenerateOptions::default();
        Chain::with(alys_sync::consensus::generate::GenerateOptions {
            blocks: 3,
            seed: 2,
            ..options
        })
    });
    let args = ["serve", "--chain-spec", theirs.spec(), "--chain", ours.file(), "--listen"];
    alys(&[&args[..], &["/ip4/127.0.0.1/tcp/0"]].concat())
        .await
        .refused(2, &["the last block (3)", theirs.spec(), "because: "]);
}

#[tokio::test]
async fn numbers_out_of_range_and_unknown_levels_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("x").into_os_string().into_string().unwrap();
    let generate = ["chain", "generate", "--out", &out];
    let more = |extra: [&'static str; 4]| [&generate[..], &extra[..]].concat();
    alys(&more(["--blocks", "1", "--authorities", "16"])).await.refused(2, &["1 to 15"]);
    alys(&more(["--transactions", "4000000", "--tx-bytes", "100"]))
        .await
        .refused(2, &["of transactions in a block"]);
    alys(&more(["--log", "loud=very", "--blocks", "1"])).await.refused(2, &["--log is"]);
    alys(&["demo", "--peers", "0"]).await.refused(2, &["1..=32"]);
    assert!(names(&dir).is_empty());
}

#[tokio::test]
async fn every_command_has_help_with_examples() {
    for command in [
        &["demo"][..],
        &["run"],
        &["serve"],
        &["status"],
        &["chain"],
        &["chain", "generate"],
        &["chain", "import"],
        &["chain", "verify"],
        &["chain", "info"],
        &["bench"],
        &["bench", "verify"],
    ] {
        let outcome = alys(&[command, &["--help"]].concat()).await;
        assert_eq!(outcome.code, Some(0));
        assert!(outcome.stdout.contains("Examples:\n  alys-sync "), "{command:?}");
    }
    assert!(alys(&["--help"]).await.stdout.contains("130"), "exit codes are documented");
}
