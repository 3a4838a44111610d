use alys_sync::{checkpoint::CheckpointKind, ports::BlockSource as _, types::Height};

use crate::support::{TestNode, config, golden, serve};

#[tokio::test(flavor = "multi_thread")]
async fn stopped_node_goes_on_from_its_head_and_downloads_nothing_twice() {
    let chain = golden();
    let server = serve(chain.clone()).await;
    let dir = tempfile::tempdir().unwrap();

    let node = TestNode::open(dir.path(), &chain, config(&[&server])).await;
    node.node.start_sync(None).await.unwrap();
    node.until_height(1_500).await;
    node.stop().await;

    let node = TestNode::open(dir.path(), &chain, config(&[&server])).await;
    let resumed_at = node.store.head().height;
    assert!(resumed_at >= Height::new(1_500));
    // The counters go on where the stopped node left them, so what this node adds to them is what
    // it imported: each block once over both.
    assert_eq!(node.node.status().blocks_processed, resumed_at.get());
    node.node.start_sync(None).await.unwrap();
    let status = node.until_synced().await;
    assert_eq!(status.head, chain.head.root);
    assert_eq!(status.blocks_processed, 5_000);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn checkpoints_are_made_at_multiples_and_outlive_the_node() {
    let chain = golden();
    let server = serve(chain.clone()).await;
    let dir = tempfile::tempdir().unwrap();
    let mut settings = config(&[&server]);
    settings.checkpoint.interval_blocks = 500;
    settings.checkpoint.kept_max = 3;

    let node = TestNode::open(dir.path(), &chain, settings.clone()).await;
    node.node.start_sync(Some(Height::new(4_321))).await.unwrap();
    node.until_synced().await;
    let manual = node.node.create_checkpoint().await.unwrap();
    assert_eq!(manual.height, Height::new(4_321));
    node.stop().await;

    let node = TestNode::open(dir.path(), &chain, settings).await;
    let kept = node.node.list_checkpoints().await.unwrap();
    let of = |kind| kept.iter().filter(move |kept| kept.kind == kind);
    let periodic = of(CheckpointKind::Periodic).count();
    assert!((1..=3).contains(&periodic), "{kept:?}");
    assert!(of(CheckpointKind::Periodic).all(|kept| kept.height.get() % 500 == 0), "{kept:?}");
    assert_eq!(of(CheckpointKind::Manual).collect::<Vec<_>>(), [&manual]);
    assert_eq!(of(CheckpointKind::Stop).next_back().unwrap().height, manual.height);
    node.stop().await;
}
