//! `chain generate`, `verify`, `import` and `info`.

use std::{fs, path::Path};

use serde_json::json;

use crate::support::{Chain, alys, names};

#[tokio::test]
async fn generate_verify_import_and_info_agree() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).into_os_string().into_string().unwrap();
    let (chain, spec, genesis, node) =
        (path("chain.bin"), path("chain.json"), path("genesis.bin"), path("node"));
    let made = alys(&[
        "chain",
        "generate",
        "--json",
        "--blocks",
        "70",
        "--authorities",
        "3",
        "--seed",
        "9",
        "--out",
        &chain,
        "--spec-out",
        &spec,
        "--genesis-out",
        &genesis,
    ])
    .await
    .done();
    assert_eq!(made["height"], 70);
    assert_eq!(names(&dir), ["chain.bin", "chain.json", "genesis.bin"]);

    let verify = ["chain", "verify", "--json", "--chain", &chain, "--chain-spec", &spec];
    let verified = alys(&verify).await.done();
    assert_eq!((&verified["valid"], &verified["blocks"]), (&json!(true), &json!(70)));
    assert_eq!(verified["head"], made["head"]);

    let import = [
        "chain",
        "import",
        "--json",
        "--chain",
        &chain,
        "--chain-spec",
        &spec,
        "--genesis",
        &genesis,
        "--data-dir",
        &node,
    ];
    let imported = alys(&import).await.done();
    assert_eq!((&imported["imported"], &imported["skipped"]), (&json!(70), &json!(1)));
    assert_eq!(imported["head"], made["head"]);
    let again = alys(&import).await.done();
    assert_eq!((&again["imported"], &again["skipped"]), (&json!(0), &json!(71)));

    let in_file = alys(&["chain", "info", "--json", "--chain", &chain]).await.done();
    let in_dir = alys(&["chain", "info", "--json", "--data-dir", &node]).await.done();
    for key in ["blocks", "oldest", "height", "head", "genesis"] {
        assert_eq!(in_file[key], in_dir[key], "{key}");
    }
    assert_eq!(in_file["genesis"], made["genesis"]);
    let stored = ["chain", "verify", "--json", "--data-dir", &node, "--chain-spec", &spec];
    assert_eq!(alys(&stored).await.done()["head"], made["head"]);
}

#[tokio::test]
async fn generate_makes_the_same_chain_again_and_another_one_for_another_seed() {
    let dir = tempfile::tempdir().unwrap();
    let mut files = Vec::new();
    for (name, seed) in [("a", "5"), ("b", "5"), ("c", "6")] {
        let out = dir.path().join(name).into_os_string().into_string().unwrap();
        alys(&["chain", "generate", "--json", "--blocks", "40", "--seed", seed, "--out", &out])
            .await
            .done();
        files.push(fs::read(out).unwrap());
    }
    assert!(files[0] == files[1]);
    assert!(files[0] != files[2]);
}

#[tokio::test]
async fn import_keeps_what_comes_before_the_first_bad_block_and_names_it() {
    let chain = Chain::new(40);
    let mut blocks = chain.blocks.clone();
    // The last byte belongs to the approval: the block stays canonical, its signature is bad.
    let signature = blocks[30].len() - 60;
    blocks[30][signature] ^= 1;
    let tampered = chain.write("tampered.bin", &blocks);
    let node = chain.path("node");
    let import = |file: &str| {
        let args = [
            "chain",
            "import",
            "--json",
            "--chain",
            file,
            "--chain-spec",
            chain.spec(),
            "--data-dir",
            &node,
        ];
        args.map(str::to_owned)
    };
    let outcome = alys(&import(&tampered)).await;
    let offset: usize = blocks[..30].iter().map(|block| 4 + block.len()).sum();
    let place = format!("record 30 at byte {offset}");
    outcome.refused(1, &[&place, "block 30 0x", "because: the aggregate signature"]);
    assert_eq!((&outcome.json()["height"], &outcome.json()["exit_code"]), (&json!(29), &json!(1)));

    let verify = ["chain", "verify", "--chain", &tampered, "--chain-spec", chain.spec()];
    alys(&verify).await.refused(1, &[&place]);

    let rest = alys(&import(chain.file())).await.done();
    assert_eq!((&rest["imported"], &rest["height"]), (&json!(11), &json!(40)));
}

#[tokio::test]
async fn broken_chain_files_are_refused_with_the_place() {
    let chain = Chain::new(5);
    let whole = fs::read(chain.file()).unwrap();
    let at: usize = chain.blocks[..3].iter().map(|block| 4 + block.len()).sum();
    let cut = &whole[..whole.len() - 3];
    let mut long = whole[..at].to_vec();
    long.extend([0xff; 8]);
    let mut blocks = chain.blocks.clone();
    blocks[3] = b"no block".to_vec();
    let undecodable = fs::read(chain.write("undecodable.bin", &blocks)).unwrap();
    let mut skipping = chain.blocks.clone();
    skipping.remove(2);
    let unlinked = fs::read(chain.write("unlinked.bin", &skipping)).unwrap();
    for (name, bytes, said) in [
        ("cut", cut, "record 5 at byte"),
        ("long", &long, "a block has 1 to"),
        ("undecodable", &undecodable, "record 3 at byte"),
        ("unlinked", &unlinked, "record 2 at byte"),
        ("empty", &[], "the file holds no block"),
    ] {
        let file = chain.path(name);
        fs::write(&file, bytes).unwrap();
        alys(&["chain", "info", "--chain", &file]).await.refused(2, &[&file, said]);
        let listen = ["--listen", "/ip4/127.0.0.1/tcp/0"];
        let serve = [&["serve", "--chain-spec", chain.spec(), "--chain", &file], &listen[..]];
        alys(&serve.concat()).await.refused(2, &[&file, said]);
        if name != "empty" {
            let verify = ["chain", "verify", "--chain", &file, "--chain-spec", chain.spec()];
            alys(&verify).await.refused(1, &[said]);
        }
    }
}

#[tokio::test]
async fn import_of_another_chain_changes_nothing() {
    let (ours, theirs) = (Chain::new(6), Chain::with(other(6)));
    let node = ours.path("node");
    let import = |chain: &Chain| {
        let args = ["chain", "import", "--json", "--chain", chain.file(), "--chain-spec"];
        [&args[..], &[chain.spec(), "--data-dir", &node]]
            .concat()
            .iter()
            .map(|arg| (*arg).to_owned())
            .collect::<Vec<_>>()
    };
    alys(&import(&ours)).await.done();
    let roots = [&ours, &theirs].map(|chain| chain.chain.genesis().root().to_string());
    alys(&import(&theirs)).await.refused(2, &[&node, &roots[0], &roots[1]]);
    let info = alys(&["chain", "info", "--json", "--data-dir", &node]).await.done();
    assert_eq!(info["head"], json!(ours.head));
}

/// The same authorities, another genesis block.
fn other(blocks: u64) -> alys_sync::consensus::generate::GenerateOptions {
    let options = alys_sync::consensus::generate::GenerateOptions::default();
    let genesis_time = options.genesis_time + 5;
    alys_sync::consensus::generate::GenerateOptions { blocks, genesis_time, ..options }
}

#[tokio::test]
async fn damaged_head_is_cut_off_as_the_error_says_and_the_rest_goes_on() {
    let chain = Chain::new(12);
    let node = chain.path("node");
    let import = [
        "chain",
        "import",
        "--json",
        "--chain",
        chain.file(),
        "--chain-spec",
        chain.spec(),
        "--data-dir",
        &node,
    ];
    assert_eq!(alys(&import).await.done()["imported"], 12);
    let bodies = format!("{node}/blocks/00000001.seg");
    let mut bytes = fs::read(&bodies).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&bodies, &bytes).unwrap();

    let info = ["chain", "info", "--json", "--data-dir", &node];
    alys(&info).await.refused(1, &["block 12", "00000001.seg", "chain truncate --to 11"]);
    let truncate = ["chain", "truncate", "--json", "--data-dir", &node, "--to"];
    alys(&[&truncate[..], &["99"]].concat()).await.refused(2, &["99"]);
    assert_eq!(alys(&[&truncate[..], &["11"]].concat()).await.done()["height"], 11);
    assert_eq!(alys(&info).await.done()["height"], 11);
    assert_eq!(alys(&import).await.done()["imported"], 1);
    assert_eq!(alys(&info).await.done()["height"], 12);
}

#[tokio::test]
async fn damaged_index_is_made_anew_by_the_command_that_the_refusal_names() {
    let chain = Chain::new(30);
    let node = chain.path("node");
    let import = ["chain", "import", "--chain", chain.file(), "--chain-spec", chain.spec()];
    let import = [&import[..], &["--data-dir", &node]].concat();
    assert_eq!(alys(&import).await.code, Some(0));
    fs::write(format!("{node}/index/conf"), b"nothing of a database").unwrap();
    let info = ["chain", "info", "--json", "--data-dir", &node];
    alys(&info).await.refused(1, &["index is damaged", "alys-sync chain reindex"]);
    let reindex = ["chain", "reindex", "--json", "--data-dir", &node];
    let done = alys(&reindex).await.done();
    assert_eq!((&done["height"], &done["head"]), (&json!(30), &json!(chain.head)));
    assert!(Path::new(done["moved_to"].as_str().unwrap()).join("conf").exists());
    assert_eq!(alys(&info).await.done()["height"], 30);
    alys(&["chain", "reindex", "--data-dir", &chain.path("none")]).await.refused(2, &["none"]);
}
