use std::sync::Arc;

use alys_sync::types::Height;

use crate::support::{Growing, TestNode, config, golden, serve};

#[tokio::test(flavor = "multi_thread")]
async fn synced_node_follows_a_network_that_grows() {
    let chain = golden();
    let growing = Arc::new(Growing::new(chain.until(300)));
    let server = serve(growing.clone()).await;
    let node = TestNode::fresh(&chain, config(&[&server])).await;
    node.node.start_sync(None).await.unwrap();
    assert_eq!(node.until_synced().await.current_height, Height::new(300));
    for height in [301, 302, 310, 900] {
        growing.grow(chain.until(height));
        node.until_height(height).await;
        assert_eq!(node.until_synced().await.current_height, Height::new(height));
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn synced_node_serves_what_it_synced_to_the_next() {
    let chain = Arc::new(golden().until(800));
    let server = serve(chain.clone()).await;
    let first = TestNode::fresh(&chain, config(&[&server])).await;
    first.node.start_sync(None).await.unwrap();
    first.until_synced().await;
    drop(server);
    let mut settings = config(&[]);
    settings.peers.bootnodes = first.node.listening().await.unwrap();
    let second = TestNode::fresh(&chain, settings).await;
    second.node.start_sync(None).await.unwrap();
    assert_eq!(second.until_synced().await.head, chain.head.root);
    second.stop().await;
    first.stop().await;
}
