use alys_sync::{ports::BlockSource as _, types::Height};

use crate::support::{TestNode, config, golden, serve};

#[tokio::test(flavor = "multi_thread")]
async fn five_thousand_real_blocks_from_three_peers_end_at_the_same_head() {
    let chain = golden();
    let servers =
        [serve(chain.clone()).await, serve(chain.clone()).await, serve(chain.clone()).await];
    let node = TestNode::fresh(&chain, config(&servers.each_ref())).await;
    // Who comes late may find nothing left to deliver.
    for server in &servers {
        node.until_usable(server).await;
    }
    node.node.start_sync(None).await.unwrap();
    let status = node.until_synced().await;
    assert_eq!((status.current_height, status.head), (chain.head.height, chain.head.root));
    assert_eq!(status.blocks_processed, 5_000);
    // Figures are shown a moment after they came to be.
    node.until("a status in which each of the three has delivered something", |status| {
        status.peers.len() == servers.len() && status.peers.iter().all(|peer| peer.blocks > 0)
    })
    .await;
    for height in [1, 2_500, 5_000] {
        let stored = node.store.read(Height::new(height), 1, 1 << 20).unwrap();
        assert_eq!(stored[0], chain.blocks[usize::try_from(height).unwrap()]);
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_change_in_the_middle_of_a_sync() {
    let chain = golden();
    let server = serve(chain.clone()).await;
    let node = TestNode::fresh(&chain, config(&[&server])).await;
    node.node.set_workers(1).unwrap();
    node.node.start_sync(None).await.unwrap();
    node.until_height(500).await;
    node.node.set_workers(3).unwrap();
    node.until_height(2_000).await;
    node.node.set_workers(2).unwrap();
    let status = node.until_synced().await;
    assert_eq!((status.head, status.blocks_processed), (chain.head.root, 5_000));
    let verification = node.node.verification();
    assert!(verification.blocks >= 5_000, "{verification:?}");
    assert!(verification.batches < verification.blocks / 4, "{verification:?}");
    assert_eq!(verification.group_checks, verification.batches, "one check each: {verification:?}");
    node.stop().await;
}
