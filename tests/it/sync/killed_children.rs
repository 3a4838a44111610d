use std::time::Duration;

use alys_sync::tree::Child;
use tokio::time::timeout;

use crate::support::{DEADLINE, TestNode, config, golden, serve};

/// Kills `child` while segments are in flight, some times over, and sees the sync complete.
async fn killed_in_the_middle(child: Child) {
    let chain = golden();
    let servers = [serve(chain.clone()).await, serve(chain.clone()).await];
    let mut settings = config(&servers.each_ref());
    // Small enough that blocks are under way from the first to the last kill.
    settings.download.window_blocks = 600;
    let node = TestNode::fresh(&chain, settings).await;
    node.node.start_sync(None).await.unwrap();
    for height in [200, 1_200, 2_500] {
        node.until_height(height).await;
        let busy = timeout(DEADLINE, async {
            // The moment must be a busy one: blocks on the wire and in verification.
            loop {
                let window = node.node.window().await.unwrap();
                if window.in_flight_blocks > 0 && window.verifying_blocks > 0 {
                    return;
                }
                tokio::task::yield_now().await;
            }
        });
        busy.await.unwrap();
        let before = node.node.incarnation(child);
        assert!(node.node.kill(child), "{child} was not up");
        let back = timeout(DEADLINE, async {
            while node.node.incarnation(child) == before {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        back.await.unwrap();
    }
    let status = node.until_synced().await;
    assert_eq!((status.current_height, status.head), (chain.head.height, chain.head.root));
    let restarts: Vec<_> = node.node.children().await.unwrap();
    let view = restarts.iter().find(|view| view.id == child.id()).unwrap();
    assert!(view.restarts >= 3, "{view:?}");
    node.until_budget_is_free().await;
    node.stop().await;
}

macro_rules! killed {
    ($($name:ident: $child:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                killed_in_the_middle(Child::$child).await;
            }
        )*
    };
}

killed! {
    killed_checkpoint_store_comes_back_and_the_sync_completes: CheckpointStore,
    killed_peer_reputation_comes_back_and_the_sync_completes: PeerReputation,
    killed_validator_pool_comes_back_and_the_sync_completes: ValidatorPool,
    killed_peer_network_comes_back_and_the_sync_completes: PeerNetwork,
    killed_block_importer_comes_back_and_the_sync_completes: BlockImporter,
    killed_download_scheduler_comes_back_and_the_sync_completes: DownloadScheduler,
    killed_sync_coordinator_comes_back_and_the_sync_completes: SyncCoordinator,
}
