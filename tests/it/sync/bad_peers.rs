use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use alys_sync::{
    coordinator::{FailureReason, Phase},
    reputation::PeerState,
    types::Height,
};

use crate::support::{
    DEADLINE, Server, TestChain, TestNode,
    behaviour::{
        Barrier, Counter, changing, cut, empty, gated, hanging, limiting, one_block, silent,
    },
    config, generated, golden, serve, serve_raw,
};

async fn synced_from(chain: &Arc<TestChain>, servers: &[&Server]) -> TestNode {
    let node = TestNode::fresh(chain, config(servers)).await;
    // A node that knows only the one that has less would rightly take itself for synced.
    for server in servers {
        node.until_state(server, |state| {
            matches!(state, PeerState::Usable | PeerState::OtherChain { .. })
        })
        .await;
    }
    node.node.start_sync(None).await.unwrap();
    let status = node.until_synced().await;
    assert_eq!((status.current_height, status.head), (chain.head.height, chain.head.root));
    node
}

/// A node that has synced `chain` from `liar` and an honest peer, which serves nothing before the
/// liar is out.
async fn synced_beside_a_liar(chain: &Arc<TestChain>, liar: &Server) -> TestNode {
    let barrier = Barrier::at(0);
    let honest = serve_raw(gated(chain.clone(), &barrier)).await;
    let mut settings = config(&[liar, &honest]);
    settings.download.block_deadline = DEADLINE;
    let node = TestNode::fresh(chain, settings).await;
    node.node.start_sync(None).await.unwrap();
    node.until_state(liar, |state| *state == PeerState::Banned).await;
    barrier.open();
    let status = node.until_synced().await;
    assert_eq!((status.current_height, status.head), (chain.head.height, chain.head.root));
    node.until_usable(&honest).await;
    node
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_of_one_block_a_request_are_asked_often_and_never_too_much_at_once() {
    let chain = Arc::new(golden().until(1_500));
    let counters = [Arc::new(Counter::default()), Arc::new(Counter::default())];
    // Neither serves before both are asked.
    let barriers = [Barrier::at(0), Barrier::at(0)];
    let first = serve_raw(one_block(chain.clone(), counters[0].clone(), &barriers[0])).await;
    let second = serve_raw(one_block(chain.clone(), counters[1].clone(), &barriers[1])).await;
    let mut settings = config(&[&first, &second]);
    settings.download.block_deadline = DEADLINE;
    let node = TestNode::fresh(&chain, settings).await;
    for server in [&first, &second] {
        node.until_usable(server).await;
    }
    node.node.start_sync(None).await.unwrap();
    for barrier in &barriers {
        barrier.until_met().await;
    }
    for barrier in &barriers {
        barrier.open();
    }
    assert_eq!(node.until_synced().await.head, chain.head.root);
    let open_max = counters.each_ref().map(|counter| counter.open_max.load(Ordering::SeqCst));
    assert!(open_max.iter().all(|open| *open <= 30), "{open_max:?} requests at once");
    // One that gets far behind the other has little left to be asked for.
    assert!(open_max.iter().any(|open| *open >= 4), "{open_max:?} requests at once");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn liar_is_out_and_the_chain_is_the_true_one() {
    let chain = Arc::new(golden().until(1_500));
    // The last bit of the signature of some blocks: a peer that passes the check, and whose height
    // is believed.
    let liar = serve_raw(changing(chain.clone(), |height, mut block| {
        if height % 5 == 3 {
            let last = block.len() - 1;
            block[last] = if block[last] == b'0' { b'1' } else { b'0' };
        }
        block
    }))
    .await;
    let node = synced_beside_a_liar(&chain, &liar).await;
    assert!(node.node.status().blocks_failed > 0);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_canonical_block_convict_their_sender() {
    let chain = Arc::new(golden().until(600));
    let liar = serve_raw(changing(chain.clone(), |height, mut block| {
        if height > 1 {
            block.push(0xc0);
        }
        block
    }))
    .await;
    let node = synced_beside_a_liar(&chain, &liar).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_peer_loses_its_ranges_to_others_and_is_not_banned() {
    let chain = Arc::new(golden().until(1_500));
    let quiet = serve_raw(silent(chain.clone())).await;
    let honest = serve(chain.clone()).await;
    let node = synced_from(&chain, &[&quiet, &honest]).await;
    node.until_usable(&quiet).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn front_at_a_hanging_peer_is_had_from_another_long_before_any_deadline() {
    let chain = Arc::new(golden().until(1_500));
    let hangs = serve_raw(hanging(chain.clone())).await;
    let honest = serve(chain.clone()).await;
    let mut config = config(&[&hangs]);
    // Only another peer can help: this test would be over before the deadline is.
    config.download.block_deadline = 10 * DEADLINE;
    let node = TestNode::fresh(&chain, config).await;
    node.node.start_sync(None).await.unwrap();
    // The peer has the front, and hangs, before the other is there.
    node.until_height(1).await;
    node.node.peer_discovered(honest.address.clone()).unwrap();
    let status = node.until_synced().await;
    assert_eq!(status.head, chain.head.root);
    let window = node.node.window().await.unwrap();
    assert!(window.hedges_won > 0, "{window:?}");
    assert!(window.unused_bytes < window.used_bytes, "{window:?}");
    // Slow is not false.
    node.until_usable(&hangs).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_of_peers_are_waited_for_and_are_no_fault_of_theirs() {
    // More than both serve before they close for a while, and few enough that no peer becomes known
    // as quick: where the machine stands still, a shorter deadline would count as a failure.
    let chain = Arc::new(golden().until(100));
    let refusals = Arc::new(AtomicUsize::new(0));
    let limited = || limiting(chain.clone(), 40, refusals.clone());
    let servers = [serve_raw(limited()).await, serve_raw(limited()).await];
    let mut settings = config(&servers.each_ref());
    settings.download.block_deadline = DEADLINE;
    let node = TestNode::fresh(&chain, settings).await;
    node.node.start_sync(None).await.unwrap();
    assert_eq!(node.until_synced().await.head, chain.head.root);
    let refused = refusals.load(Ordering::SeqCst);
    assert!((1..=60).contains(&refused), "refused {refused} times");
    for server in &servers {
        node.until_usable(server).await;
    }
    let failures: Vec<_> = node.node.status().peers.iter().map(|peer| peer.failures).collect();
    assert_eq!(failures, [0, 0]);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_before_a_cut_is_used_and_the_rest_is_asked_again() {
    let chain = Arc::new(golden().until(400));
    let cutter = serve_raw(cut(chain.clone())).await;
    let node = synced_from(&chain, &[&cutter]).await;
    node.until("all blocks and some failures counted", |status| {
        status.peers[0].failures > 0 && status.peers[0].blocks >= 400
    })
    .await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_replies_neither_end_the_sync_nor_hold_it_up() {
    let chain = Arc::new(golden().until(600));
    let useless = serve_raw(empty()).await;
    let honest = serve(chain.clone()).await;
    let node = synced_from(&chain, &[&useless, &honest]).await;
    node.until_usable(&useless).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn peer_that_closes_every_stream_never_makes_a_node_synced_above_genesis() {
    let chain = Arc::new(golden().until(600));
    let honest = serve(chain.clone()).await;
    let useless = serve_raw(empty()).await;
    let node = TestNode::fresh(&chain, config(&[&honest, &useless])).await;
    node.node.start_sync(None).await.unwrap();
    node.until_height(100).await;
    drop(honest);
    node.until("discovering or waiting", |status| status.usable_peers == 1).await;
    let status = node.node.status();
    assert!(!matches!(status.phase, Phase::Synced { .. }) || status.current_height.get() == 600);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn peer_that_leaves_in_the_middle_is_replaced_by_the_others() {
    let chain = golden();
    let stays = serve(chain.clone()).await;
    let leaves = serve(chain.clone()).await;
    let node = TestNode::fresh(&chain, config(&[&stays, &leaves])).await;
    node.node.start_sync(None).await.unwrap();
    node.until_height(500).await;
    drop(leaves);
    let status = node.until_synced().await;
    assert_eq!(status.head, chain.head.root);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stale_peer_serves_what_it_has_and_does_not_lower_the_target() {
    let chain = Arc::new(golden().until(1_200));
    let stale = serve(Arc::new(chain.until(300))).await;
    let full = serve(chain.clone()).await;
    let node = synced_from(&chain, &[&stale, &full]).await;
    node.until_usable(&stale).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_of_another_chain_are_refused_with_both_genesis_roots() {
    let ours = Arc::new(golden().until(10));
    let theirs = generated(10, 7);
    let stranger = serve(theirs.clone()).await;
    let mut settings = config(&[&stranger]);
    // Its check may take long where the machine stands still: that is not to be the failure.
    settings.discovery.attempts_max = 3_000;
    let node = TestNode::fresh(&ours, settings).await;
    node.node.start_sync(None).await.unwrap();
    let status = node.until("failed", |status| matches!(status.phase, Phase::Failed { .. })).await;
    let Phase::Failed { reason, .. } = status.phase else { unreachable!() };
    let expected = FailureReason::OtherChain {
        peer: stranger.peer.to_string(),
        theirs: theirs.genesis.root(),
        ours: ours.genesis.root(),
    };
    assert_eq!(reason, expected);
    assert_eq!(status.current_height, Height::GENESIS);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_peers_invalid_under_our_rules_is_an_error_that_points_at_the_rules() {
    let theirs = golden().until(10);
    let ours = theirs.under_rules_of(&generated(10, 7));
    let server = serve(Arc::new(theirs)).await;
    let node = TestNode::fresh(&ours, config(&[&server])).await;
    node.until_state(&server, |state| *state == PeerState::Banned).await;
    node.node.start_sync(None).await.unwrap();
    let status = node.until("failed", |status| matches!(status.phase, Phase::Failed { .. })).await;
    let Phase::Failed { reason, .. } = status.phase else { unreachable!() };
    assert_eq!(reason, FailureReason::NoUsablePeer { attempts: 30, banned: 1 });
    assert_eq!(status.current_height, Height::GENESIS);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stranger_beside_an_honest_peer_does_not_matter() {
    let ours = Arc::new(golden().until(300));
    let stranger = serve(generated(10, 7)).await;
    let honest = serve(ours.clone()).await;
    let node = synced_from(&ours, &[&stranger, &honest]).await;
    node.until_state(&stranger, |state| matches!(state, PeerState::OtherChain { .. })).await;
    node.stop().await;
}
