//! What saves a run whose head is damaged, through the public API and on real files.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use alys_sync::{
    adapters::sled::{ChainStore, OpenError, StoreOptions},
    checkpoint::{Checkpoint, CheckpointCheck, CheckpointKind, RecoveredBy, RunState, SkipReason},
    config::SyncConfig,
    coordinator::{Command, Phase},
    ports::{BlockSource as _, Journal as _},
    types::{BlockRoot, Height},
};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use crate::support::{Server, TestChain, TestNode, config, golden, serve};

const PERIODIC: CheckpointKind = CheckpointKind::Periodic;

fn h(number: u64) -> Height {
    Height::new(number)
}

fn settings(server: &Server) -> SyncConfig {
    let mut settings = config(&[server]);
    settings.checkpoint.interval_blocks = 1_000;
    settings
}

/// The data directory of a node that has synced all 5,000 blocks, with checkpoints at 1,000 to
/// 5,000 and at its stop, copied from the one that the first test makes.
async fn synced_dir() -> TempDir {
    static SYNCED: OnceCell<TempDir> = OnceCell::const_new();
    let synced = SYNCED.get_or_init(|| async {
        let (chain, dir) = (golden(), tempfile::tempdir().unwrap());
        let server = serve(chain.clone()).await;
        // Small steps, so that no multiple is passed together with the next.
        let mut settings = settings(&server);
        settings.import_batch_blocks = 256;
        let node = TestNode::open(dir.path(), &chain, settings).await;
        node.node.start_sync(None).await.unwrap();
        node.until_synced().await;
        node.stop().await;
        dir
    });
    let copy = tempfile::tempdir().unwrap();
    copy_dir(synced.await.path(), copy.path());
    copy
}

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (entry, target) =
            entry.map(|entry| (entry.path(), to.join(entry.file_name()))).unwrap();
        if entry.is_dir() {
            copy_dir(&entry, &target);
        } else {
            fs::copy(entry, target).unwrap();
        }
    }
}

fn bodies(dir: &Path) -> std::path::PathBuf {
    dir.join("blocks/00000001.seg")
}

/// Overwrites the bodies from that of `height` to the end.
fn destroy_from(dir: &Path, chain: &TestChain, height: usize) {
    let mut bytes = fs::read(bodies(dir)).unwrap();
    let below: usize = chain.blocks[..height].iter().map(|block| block.len() + 8).sum();
    bytes[16 + below..].fill(0xa5);
    fs::write(bodies(dir), bytes).unwrap();
}

fn open(dir: &Path, chain: &TestChain) -> ChainStore {
    ChainStore::open(dir, &chain.genesis, StoreOptions::default()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_checkpoint_saves_a_run_whose_head_and_what_is_near_it_are_gone() {
    let (chain, dir) = (golden(), synced_dir().await);
    {
        let store = open(dir.path(), &chain);
        let journal = store.records().unwrap();
        let (kept, _) = journal.checkpoints().unwrap();
        let heights: Vec<_> = kept.iter().filter(|kept| kept.kind == PERIODIC).collect();
        assert_eq!(heights.last().unwrap().height, h(5_000), "{kept:?}");
        // Forged with right checksums: another block, and another chain.
        let honest = heights.iter().find(|kept| kept.height == h(2_000)).unwrap();
        let forged = Checkpoint { height: h(2_300), ..(*honest).clone() };
        journal.put_checkpoint(&forged).unwrap();
        let foreign = Checkpoint { height: h(2_400), chain: BlockRoot::ZERO, ..forged };
        journal.put_checkpoint(&foreign).unwrap();
    }
    destroy_from(dir.path(), &chain, 2_500);
    let strict = ChainStore::open(dir.path(), &chain.genesis, StoreOptions::default());
    assert!(matches!(strict, Err(OpenError::CorruptBlock { good: None, .. })), "{strict:?}");

    let server = serve(chain.clone()).await;
    let began = Instant::now();
    let node = TestNode::open(dir.path(), &chain, settings(&server)).await;
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    let recovery = node.recovery.clone().unwrap();
    assert_eq!(recovery.by, RecoveredBy::Checkpoint { height: h(2_000), kind: PERIODIC });
    // Everything whole above it stays.
    assert_eq!((recovery.from, recovery.to.height), (h(5_000), h(2_499)));
    assert!(recovery.quarantine.unwrap().bytes_kept > 0);
    let why = |height| {
        let mut of = recovery.skipped.iter().filter(|skipped| skipped.height == Some(h(height)));
        of.next().unwrap_or_else(|| panic!("{height} was not skipped")).why.clone()
    };
    assert_eq!(why(4_000), SkipReason::DoesNotHold(CheckpointCheck::BlockDamaged));
    assert!(matches!(why(2_300), SkipReason::DoesNotHold(CheckpointCheck::OtherBlock { .. })));
    assert!(matches!(why(2_400), SkipReason::DoesNotHold(CheckpointCheck::OtherChain { .. })));

    // The run goes on with its counters, and the false checkpoints are gone.
    assert_eq!(node.node.status().blocks_processed, 2_499);
    assert_eq!(node.node.restored().unwrap().run_state, RunState::Running);
    let listed = node.node.list_checkpoints().await.unwrap();
    assert!(listed.iter().all(|kept| ![2_300, 2_400].contains(&kept.height.get())), "{listed:?}");
    assert_eq!(node.node.go_on().await.unwrap(), RunState::Running);
    let status = node.until_synced().await;
    assert_eq!((status.head, status.blocks_processed), (chain.head.root, 5_000));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_checkpoint_such_a_run_is_refused_with_what_to_do() {
    let (chain, dir) = (golden(), synced_dir().await);
    {
        let journal = open(dir.path(), &chain).records().unwrap();
        for checkpoint in journal.checkpoints().unwrap().0 {
            assert!(journal.remove_checkpoint(checkpoint.height, checkpoint.kind).unwrap());
        }
    }
    destroy_from(dir.path(), &chain, 2_500);
    let refused = ChainStore::open_recovering(dir.path(), &chain.genesis, StoreOptions::default());
    let refused = refused.unwrap_err();
    assert!(matches!(refused, OpenError::CorruptBlock { good: None, .. }), "{refused:?}");
    assert!(refused.to_string().contains("sync again"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn checkpoint_whose_block_is_gone_leads_to_a_whole_one_a_margin_below() {
    let (chain, dir) = (golden(), synced_dir().await);
    {
        let store = open(dir.path(), &chain);
        let journal = store.records().unwrap();
        for checkpoint in journal.checkpoints().unwrap().0 {
            if checkpoint.height < h(3_000) {
                journal.remove_checkpoint(checkpoint.height, checkpoint.kind).unwrap();
            }
        }
    }
    destroy_from(dir.path(), &chain, 2_950);
    let opened = ChainStore::open_recovering(dir.path(), &chain.genesis, StoreOptions::default());
    let (store, recovery) = opened.unwrap();
    let below = RecoveredBy::BelowCheckpoint { height: h(3_000), kind: PERIODIC };
    assert_eq!(recovery.unwrap().by, below);
    assert_eq!(store.head().height, h(2_949), "whole blocks above the margin stay");
}

#[tokio::test(flavor = "multi_thread")]
async fn paused_sync_is_paused_when_its_node_is_started_again() {
    let (chain, dir) = (golden(), tempfile::tempdir().unwrap());
    let server = serve(chain.clone()).await;
    let node = TestNode::open(dir.path(), &chain, settings(&server)).await;
    assert_eq!(node.node.go_on().await.unwrap(), RunState::Idle, "nothing was ever told");
    node.node.start_sync(Some(h(4_000))).await.unwrap();
    node.until_height(500).await;
    node.node.command(Command::Pause).await.unwrap();
    node.stop().await;

    let node = TestNode::open(dir.path(), &chain, settings(&server)).await;
    let paused_at = node.store.head().height;
    assert_eq!(node.node.go_on().await.unwrap(), RunState::Paused);
    let status = node.until("paused", |status| status.phase == Phase::Paused).await;
    // It starts before it pauses: some blocks may come in between.
    assert!(status.current_height >= paused_at, "{status:?}");
    assert_eq!(status.blocks_processed, status.current_height.get());
    node.node.command(Command::Resume).await.unwrap();
    let status = node.until_synced().await;
    assert_eq!((status.current_height, status.blocks_processed), (h(4_000), 4_000));
    node.node.command(Command::Stop).await.unwrap();
    let (kept, _) = node.store.records().unwrap().checkpoints().unwrap();
    let left = |kept: &Checkpoint| kept.height == h(4_000) && kept.kind == CheckpointKind::Stop;
    assert!(kept.iter().any(left), "{kept:?}");
    node.stop().await;

    let node = TestNode::open(dir.path(), &chain, settings(&server)).await;
    assert_eq!(node.node.go_on().await.unwrap(), RunState::Idle, "it was told to stop");
    node.stop().await;
}
