use std::time::Duration;

use alys_sync::tree::Child;
use supervisors::Strike;
use tokio::time::timeout;

use crate::support::{
    DEADLINE, TestNode,
    behaviour::{Barrier, gated},
    config, golden, serve_raw,
};

/// How a child is struck down.
#[derive(Debug, Clone, Copy)]
enum Way {
    Kill,
    In(Strike),
}

/// Segments that must be in flight when a child is struck.
const IN_FLIGHT: usize = 4;

/// How far the servers let a sync go on that has come to their barrier without a busy moment. Unit:
/// blocks. Two or three segments: a test that looks away for long misses no more of the sync.
const STEP: u64 = 64;

/// Strikes `child` while segments are in flight, once in each way, and sees the sync complete.
async fn struck_in_the_middle(child: Child, ways: &[Way]) {
    let (chain, barrier) = (golden(), Barrier::at(0));
    let servers = [
        serve_raw(gated(chain.clone(), &barrier)).await,
        serve_raw(gated(chain.clone(), &barrier)).await,
    ];
    let mut settings = config(&servers.each_ref());
    // Small enough that blocks are under way from the first to the last blow.
    settings.download.window_blocks = 600;
    let node = TestNode::fresh(&chain, settings).await;
    node.node.start_sync(None).await.unwrap();
    for (way, height) in ways.iter().zip([200, 1_200, 2_500]) {
        barrier.move_to(height);
        node.until_height(height).await;
        let busy = timeout(DEADLINE, async {
            // The moment must be a busy one: blocks on the wire and in verification.
            loop {
                // A scheduler that is not back from the blow before, or slow, is asked again.
                if let Ok(window) = node.node.window().await {
                    let at_work = window.in_flight_blocks > 0 && window.verifying_blocks > 0;
                    if at_work && window.segments >= IN_FLIGHT {
                        return;
                    }
                }
                if node.node.status().current_height.get() >= barrier.height() {
                    barrier.move_to(barrier.height() + STEP);
                }
                tokio::task::yield_now().await;
            }
        });
        busy.await.unwrap();
        let before = node.node.incarnation(child);
        let struck = match way {
            Way::Kill => node.node.kill(child),
            Way::In(strike) => node.node.strike(child, *strike),
        };
        assert!(struck, "{child} was not up");
        let back = timeout(DEADLINE, async {
            while node.node.incarnation(child) == before {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        back.await.unwrap();
    }
    barrier.open();
    let status = node.until_synced().await;
    assert_eq!((status.current_height, status.head), (chain.head.height, chain.head.root));
    let restarts: Vec<_> = node.node.children().await.unwrap();
    let view = restarts.iter().find(|view| view.id == child.id()).unwrap();
    assert!(view.restarts >= ways.len() as u64, "{view:?}");
    node.until_budget_is_free().await;
    node.stop().await;
}

macro_rules! struck {
    ($ways:expr; $($name:ident: $child:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                struck_in_the_middle(Child::$child, &$ways).await;
            }
        )*
    };
}

struck! {
    [Way::Kill, Way::In(Strike::Panic), Way::In(Strike::Fail)];
    struck_resource_monitor_comes_back_and_the_sync_completes: ResourceMonitor,
    struck_checkpoint_store_comes_back_and_the_sync_completes: CheckpointStore,
    struck_peer_reputation_comes_back_and_the_sync_completes: PeerReputation,
    struck_validator_pool_comes_back_and_the_sync_completes: ValidatorPool,
    struck_peer_network_comes_back_and_the_sync_completes: PeerNetwork,
    struck_block_importer_comes_back_and_the_sync_completes: BlockImporter,
    struck_download_scheduler_comes_back_and_the_sync_completes: DownloadScheduler,
    struck_sync_coordinator_comes_back_and_the_sync_completes: SyncCoordinator,
}

struck! {
    [Way::In(Strike::Hang)];
    hung_resource_monitor_is_noticed_and_the_sync_completes: ResourceMonitor,
    hung_checkpoint_store_is_noticed_and_the_sync_completes: CheckpointStore,
    hung_peer_reputation_is_noticed_and_the_sync_completes: PeerReputation,
    hung_validator_pool_is_noticed_and_the_sync_completes: ValidatorPool,
    hung_peer_network_is_noticed_and_the_sync_completes: PeerNetwork,
    hung_block_importer_is_noticed_and_the_sync_completes: BlockImporter,
    hung_download_scheduler_is_noticed_and_the_sync_completes: DownloadScheduler,
    hung_sync_coordinator_is_noticed_and_the_sync_completes: SyncCoordinator,
}
