use alys_sync::{
    coordinator::{Command, CommandError, Gate, Phase},
    types::Height,
};

use crate::support::{TestNode, config, golden, serve};

#[tokio::test(flavor = "multi_thread")]
async fn paused_sync_stands_still_and_goes_on_where_it_was() {
    let chain = golden();
    let server = serve(chain.clone()).await;
    let node = TestNode::fresh(&chain, config(&[&server])).await;
    node.node.start_sync(None).await.unwrap();
    node.until_height(500).await;
    node.node.command(Command::Pause).await.unwrap();
    assert!(matches!(node.node.status().phase, Phase::Paused));
    assert!(matches!(
        node.node.start_sync(None).await.unwrap_err(),
        CommandError::Refused(refused) if refused.phase == "paused"
    ));
    assert_eq!(node.node.can_produce_blocks(), Gate::NotFollowing);
    node.node.command(Command::Resume).await.unwrap();
    assert_eq!(node.until_synced().await.head, chain.head.root);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn target_is_where_the_sync_ends() {
    let chain = golden();
    let server = serve(chain.clone()).await;
    let node = TestNode::fresh(&chain, config(&[&server])).await;
    node.node.start_sync(Some(Height::new(777))).await.unwrap();
    let status = node.until_synced().await;
    assert_eq!(status.current_height, Height::new(777));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn budget_of_a_few_blocks_is_kept_and_the_sync_completes() {
    let chain = golden().until(600);
    let chain = std::sync::Arc::new(chain);
    let servers = [serve(chain.clone()).await, serve(chain.clone()).await];
    let mut settings = config(&servers.each_ref());
    settings.memory_bytes = 100_000;
    let node = TestNode::fresh(&chain, settings).await;
    node.node.start_sync(None).await.unwrap();
    node.until_synced().await;
    let budget = node.node.budget();
    // The front may overdraw by one request.
    assert!(budget.peak <= 100_000 + 300_000, "{budget:?}");
    node.until_budget_is_free().await;
    node.stop().await;
}
