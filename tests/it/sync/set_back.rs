//! Going back to a checkpoint on a running node, through the public API and on real files.

use std::sync::Arc;

use alys_sync::{
    checkpoint::{Checkpoint, CheckpointCheck, RecoverError, SetBackRefused},
    coordinator::{Command, FailureReason, Gate, Phase},
    node::Node,
    ports::{BlockSource as _, Journal as _},
    tree::Child,
    types::Height,
};
use tokio::time::timeout;

use crate::support::{
    DEADLINE, Growing, Server, TestChain, TestNode,
    behaviour::{Barrier, gated},
    config, forked, golden, serve, serve_raw,
};

fn h(number: u64) -> Height {
    Height::new(number)
}

/// A node that syncs in small steps and has a checkpoint at every 500th block.
async fn fresh(chain: &TestChain, servers: &[&Server]) -> TestNode {
    let mut settings = config(servers);
    settings.checkpoint.interval_blocks = 500;
    settings.import_batch_blocks = 100;
    // What waits at a barrier is not to be given up.
    settings.download.block_deadline = DEADLINE;
    TestNode::fresh(chain, settings).await
}

/// Sets the node back to `height`, from wherever it is. Nobody may serve it the whole chain before
/// this is over: it could be synced again by the time it is looked at.
async fn set_back(node: &Node, height: u64) {
    let done = node.recover_from_checkpoint(h(height)).await.unwrap();
    assert_eq!(done.to.height, h(height));
    assert!(done.from.height >= done.to.height, "{done:?}");
    assert_ne!(node.can_produce_blocks(), Gate::Open);
}

/// Block by block, the chain of `node` is that of the network.
fn assert_same(node: &TestNode, chain: &TestChain) {
    let ours = node.store.read(h(0), chain.blocks.len() + 1, usize::MAX).unwrap();
    assert_eq!(ours.len(), chain.blocks.len());
    assert!(ours.iter().eq(chain.blocks.iter()), "another block");
}

async fn until_checkpoint(node: &TestNode, height: u64) {
    node.until("with a checkpoint", |status| status.last_checkpoint >= Some(h(height))).await;
}

/// It is what the network has, and each block counts once.
async fn until_whole(node: TestNode, chain: &TestChain) {
    let status = node.until_synced().await;
    let blocks = chain.blocks.len() as u64 - 1;
    assert_eq!((status.head, status.blocks_processed), (chain.head.root, blocks));
    assert_same(&node, chain);
    // Those above are made again.
    let last = blocks / 500 * 500;
    until_checkpoint(&node, last).await;
    let checked = node.node.check_checkpoints().await.unwrap();
    assert_eq!(checked.wrong(), 0, "{checked:?}");
    node.until_budget_is_free().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn node_goes_back_in_the_middle_of_a_sync_again_and_again_and_completes() {
    let (chain, barrier) = (golden(), Barrier::at(3_000));
    let servers = [
        serve_raw(gated(chain.clone(), &barrier)).await,
        serve_raw(gated(chain.clone(), &barrier)).await,
    ];
    let node = fresh(&chain, &servers.each_ref()).await;
    node.node.start_sync(None).await.unwrap();
    for (reached, back) in [(1_200, 500), (1_700, 1_000), (2_600, 1_000)] {
        node.until_height(reached).await;
        until_checkpoint(&node, back).await;
        set_back(&node.node, back).await;
        assert!(node.node.status().phase.name() != "failed");
    }
    barrier.open();
    until_whole(node, &chain).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn synced_node_goes_back_and_is_synced_again() {
    let (chain, barrier) = (Arc::new(golden().until(2_000)), Barrier::at(2_000));
    let server = serve_raw(gated(chain.clone(), &barrier)).await;
    let node = fresh(&chain, &[&server]).await;
    node.node.start_sync(None).await.unwrap();
    node.until_synced().await;
    until_checkpoint(&node, 2_000).await;
    barrier.move_to(1_900);
    set_back(&node.node, 1_500).await;
    let status = node.node.status();
    assert!(status.current_height < h(2_000), "{status:?}");
    barrier.open();
    until_whole(node, &chain).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn paused_node_goes_back_stays_paused_and_goes_on_when_told() {
    let (chain, barrier) = (Arc::new(golden().until(2_000)), Barrier::at(900));
    let server = serve_raw(gated(chain.clone(), &barrier)).await;
    let node = fresh(&chain, &[&server]).await;
    node.node.start_sync(None).await.unwrap();
    node.until_height(800).await;
    until_checkpoint(&node, 500).await;
    node.node.command(Command::Pause).await.unwrap();
    set_back(&node.node, 500).await;
    let status = node.node.status();
    assert_eq!((status.phase, status.current_height), (Phase::Paused, h(500)));
    assert_eq!((status.blocks_processed, status.last_checkpoint), (500, Some(h(500))));
    assert_eq!(node.store.head().height, h(500));
    barrier.open();
    node.node.command(Command::Resume).await.unwrap();
    until_whole(node, &chain).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn node_that_is_paused_and_stopped_while_it_goes_back_does_both() {
    let (chain, barrier) = (Arc::new(golden().until(2_000)), Barrier::at(1_400));
    let server = serve_raw(gated(chain.clone(), &barrier)).await;
    let node = fresh(&chain, &[&server]).await;
    node.node.start_sync(None).await.unwrap();
    node.until_height(1_300).await;
    until_checkpoint(&node, 1_000).await;
    let (first, second, paused) = tokio::join!(
        node.node.recover_from_checkpoint(h(1_000)),
        node.node.recover_from_checkpoint(h(500)),
        node.node.command(Command::Pause),
    );
    let ends: Vec<_> = [first, second].into_iter().flatten().map(|done| done.to.height).collect();
    paused.unwrap();
    // The higher one is above the head when it comes second.
    assert!(ends.contains(&h(500)), "{ends:?}");
    let status = node.node.status();
    assert_eq!((&status.phase, status.current_height), (&Phase::Paused, h(500)));
    let (stopped, back) =
        tokio::join!(node.node.command(Command::Stop), node.node.recover_from_checkpoint(h(500)));
    stopped.unwrap();
    back.unwrap();
    assert_eq!(node.node.status().phase, Phase::Idle);
    barrier.open();
    node.node.start_sync(None).await.unwrap();
    until_whole(node, &chain).await;
}

/// Asks until it is answered: whoever was asked may have died.
async fn set_back_whoever_dies(node: &Node, height: u64) {
    let asked = timeout(DEADLINE, async {
        while let Err(error) = node.recover_from_checkpoint(h(height)).await {
            // A coordinator that dies cannot be asked to stop production, and a checkpoint store
            // that dies cannot be asked to give up what is above.
            let refused = matches!(
                &error,
                RecoverError::Refused(why)
                    if !matches!(why, SetBackRefused::Produces | SetBackRefused::NotGivenUp)
            );
            assert!(!refused, "{error}");
            tokio::task::yield_now().await;
        }
    });
    asked.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_dies_while_a_node_goes_back_it_goes_back_and_completes() {
    let chain = Arc::new(golden().until(2_000));
    let server = serve(chain.clone()).await;
    let node = fresh(&chain, &[&server]).await;
    node.node.start_sync(None).await.unwrap();
    let dies = [
        Child::BlockImporter,
        Child::DownloadScheduler,
        Child::SyncCoordinator,
        Child::CheckpointStore,
        Child::BlockImporter,
        Child::SyncCoordinator,
    ];
    for (turns, child) in dies.into_iter().enumerate() {
        node.until_height(1_300).await;
        until_checkpoint(&node, 500).await;
        tokio::join!(set_back_whoever_dies(&node.node, 500), async {
            for _ in 0..turns * 20 {
                tokio::task::yield_now().await;
            }
            while !node.node.kill(child) {
                tokio::task::yield_now().await;
            }
        });
    }
    until_whole(node, &chain).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_node_goes_back_below_its_fork_and_follows_the_network() {
    let (chain, fork) = forked(560, 510);
    let (end, source) = (fork.head.height, Arc::new(Growing::new(fork)));
    let barrier = Barrier::at(end.get());
    let server = serve_raw(gated(source.clone(), &barrier)).await;
    let node = fresh(&chain, &[&server]).await;
    node.node.start_sync(None).await.unwrap();
    node.until_height(end.get()).await;
    until_checkpoint(&node, 500).await;
    source.grow(chain.until(560));
    let failed = |phase: &Phase| {
        matches!(phase, Phase::Failed { reason: FailureReason::Diverged { .. }, .. })
    };
    node.until("failed", |status| failed(&status.phase)).await;
    set_back(&node.node, 500).await;
    barrier.open();
    until_whole(node, &chain).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn checkpoint_that_is_missing_or_does_not_hold_changes_nothing() {
    let chain = Arc::new(golden().until(1_200));
    let server = serve(chain.clone()).await;
    let node = fresh(&chain, &[&server]).await;
    node.node.start_sync(None).await.unwrap();
    node.until_synced().await;
    until_checkpoint(&node, 1_000).await;
    let refused = |result| match result {
        Err(RecoverError::Refused(refused)) => refused,
        other => panic!("{other:?}"),
    };
    let none = refused(node.node.recover_from_checkpoint(h(7)).await);
    assert_eq!(none, SetBackRefused::NoCheckpoint { height: h(7) });
    let honest = node.node.list_checkpoints().await.unwrap().pop().unwrap();
    let forged = Checkpoint { height: h(700), ..honest.clone() };
    let above = Checkpoint { height: h(1_300), ..honest };
    let journal = node.store.records().unwrap();
    journal.put_checkpoint(&forged).unwrap();
    journal.put_checkpoint(&above).unwrap();
    for (height, why) in [(700, "forged"), (1_300, "ends at 1200")] {
        let refused = refused(node.node.recover_from_checkpoint(h(height)).await);
        assert!(refused.to_string().contains(why), "{refused}");
    }
    assert!(matches!(
        refused(node.node.recover_from_checkpoint(h(1_300)).await),
        SetBackRefused::DoesNotHold { result: CheckpointCheck::AboveHead { .. }, .. }
    ));
    let status = node.node.status();
    assert!(matches!(status.phase, Phase::Synced { .. }), "{status:?}");
    assert_same(&node, &chain);
    node.stop().await;
}
