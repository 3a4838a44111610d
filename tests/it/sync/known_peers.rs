//! What is known of peers outlives the node.

use std::sync::Arc;

use alys_sync::{
    coordinator::SyncStatus,
    reputation::{BanReason, PeerState, PeerStatus},
};

use crate::support::{
    Server, TestNode,
    behaviour::{Barrier, changing, gated},
    config, golden, serve_raw,
};

fn status_of(status: &SyncStatus, server: &Server) -> Option<PeerStatus> {
    let peer = server.peer.to_string();
    status.peers.iter().find(|known| known.peer == peer).cloned()
}

#[tokio::test(flavor = "multi_thread")]
async fn restart_keeps_bans_and_scores() {
    let chain = Arc::new(golden().until(1_500));
    let liar = serve_raw(changing(chain.clone(), |height, mut block| {
        if height > 1 {
            block.push(0xc0);
        }
        block
    }))
    .await;
    // It serves nothing before the liar is out.
    let barrier = Barrier::at(0);
    let honest = serve_raw(gated(chain.clone(), &barrier)).await;
    let dir = tempfile::tempdir().unwrap();
    let servers = [&liar, &honest];

    let node = TestNode::open(dir.path(), &chain, config(&servers)).await;
    node.node.start_sync(None).await.unwrap();
    let out = |status: &SyncStatus| {
        status_of(status, &liar).is_some_and(|liar| liar.state == PeerState::Banned)
    };
    node.until("the liar is out", out).await;
    barrier.open();
    node.until_synced().await;
    // The first block is true at both, and is imported from either.
    let counted =
        |status: &SyncStatus| status.peers.iter().map(|peer| peer.blocks).sum::<u64>() >= 1_500;
    let before = node.until("all that they served is counted", counted).await;
    node.stop().await;
    let [liar_before, honest_before] = servers.map(|server| status_of(&before, server).unwrap());
    assert_eq!(liar_before.ban.unwrap().reason, BanReason::Lies);
    assert!(honest_before.score > 575 && honest_before.latency_seconds.is_some());

    let node = TestNode::open(dir.path(), &chain, config(&servers)).await;
    let known = |status: &SyncStatus| status_of(status, &honest).is_some_and(|it| it.blocks > 0);
    let after = node.until("what was known is known again", known).await;
    let liar_after = status_of(&after, &liar).unwrap();
    assert_eq!((liar_after.state, liar_after.ban), (PeerState::Banned, liar_before.ban));
    let honest_after = status_of(&after, &honest).unwrap();
    assert!(honest_after.blocks >= honest_before.blocks);
    // A second or two of the half-life have passed, and a reply or two were measured before.
    assert!(honest_after.score.abs_diff(honest_before.score) <= 20, "{honest_after:?}");
    node.stop().await;
}
