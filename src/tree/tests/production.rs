//! Nobody produces on the word of a coordinator that is gone.

use tokio::time::{Instant, sleep, timeout};

use super::*;
use crate::coordinator::Gate;

/// A node that is synced and may produce.
async fn producing() -> Node {
    let (node, _) = node([]).await;
    node.start_sync(None).await.unwrap();
    until_open(&node).await;
    node
}

async fn until_open(node: &Node) {
    let opens = async {
        while node.can_produce_blocks() != Gate::Open {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(60), opens).await.expect("it may produce");
}

#[tokio::test(start_paused = true)]
async fn gate_is_closed_while_the_coordinator_is_down_and_opens_again_when_it_has_looked() {
    let node = producing().await;
    let mut status = node.watch();
    assert!(node.kill(Child::SyncCoordinator));
    status.wait_for(|status| status.production != Gate::Open).await.unwrap();
    assert_eq!(node.incarnation(Child::SyncCoordinator), 1, "closed before the next one starts");
    assert_eq!(node.can_produce_blocks(), Gate::NotFollowing);
    until_open(&node).await;
    assert_eq!(node.incarnation(Child::SyncCoordinator), 2);
    node.shutdown(Duration::from_secs(10)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn gate_closes_long_before_a_coordinator_that_hangs_is_found() {
    let node = producing().await;
    assert!(node.strike(Child::SyncCoordinator, Strike::Hang));
    let hung = Instant::now();
    while node.can_produce_blocks() == Gate::Open {
        sleep(Duration::from_millis(10)).await;
    }
    assert!(hung.elapsed() <= Duration::from_millis(2_100), "{:?}", hung.elapsed());
    assert_eq!(node.status().production, Gate::NotFollowing);
    assert_eq!(node.incarnation(Child::SyncCoordinator), 1, "nobody has found it yet");
    until_open(&node).await;
    node.shutdown(Duration::from_secs(10)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn gate_is_closed_when_the_tree_has_ended() {
    let node = producing().await;
    node.shutdown(Duration::from_secs(10)).await.unwrap();
    assert_eq!(node.can_produce_blocks(), Gate::NotFollowing);
    assert_eq!(node.watch().borrow().production, Gate::NotFollowing);
}
