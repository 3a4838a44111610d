use std::hint::black_box;

use alys_sync::{resources::Shortage, types::Height};

use crate::support::{TestNode, config, golden, serve};

/// More than the node may use. Unit: bytes.
const BALLAST: usize = 192 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn process_at_its_limit_of_memory_says_so_and_the_sync_completes() {
    let chain = golden();
    let server = serve(chain.clone()).await;
    let mut settings = config(&[&server]);
    settings.resources.memory_max_bytes = Some(128 << 20);
    // Written to, so that the system really gives it.
    let ballast = black_box(vec![1_u8; BALLAST]);
    let node = TestNode::fresh(&chain, settings).await;
    let short = node
        .until("short of memory", |status| {
            status.short_of.iter().any(|short| matches!(short, Shortage::Memory { .. }))
        })
        .await;
    assert!(short.short_of.iter().any(|short| short.to_string().contains("downloaded ahead")));
    while node.node.budget().limit > 0 {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let target = Height::new(300);
    node.node.start_sync(Some(target)).await.unwrap();
    assert!(node.until_synced().await.current_height >= target);
    drop(black_box(ballast));
    node.stop().await;
}
