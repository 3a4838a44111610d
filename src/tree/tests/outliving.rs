//! Work on blocking threads that outlives its actor: the next incarnation waits for it, or what
//! comes of it reaches nobody. No virtual time: it stands still while such work waits.

use tokio::time::{sleep, timeout};

use super::*;
use crate::{
    doubles::{SlowChain, SlowJournal},
    ports::{Chain, Journal},
};

/// Longer than a restart takes, so that what has not happened then was waited for.
const MORE_THAN_A_RESTART: Duration = Duration::from_millis(300);

const DEADLINE: Duration = Duration::from_secs(20);

async fn start(
    chain: Arc<dyn Chain>,
    journal: Arc<dyn Journal>,
    network: Arc<dyn NetworkStarter>,
) -> Node {
    let ports = Ports {
        spec: Arc::clone(&blocks().spec),
        verifier: Arc::clone(&blocks().verifier),
        chain,
        journal,
        network,
        compute: Arc::new(InlineCompute),
        entropy: Arc::new(OsEntropy),
        clock: Arc::new(SystemClock::start()),
        resources: Arc::new(ResourcesDouble::plenty()),
    };
    Node::start(SyncConfig::default(), ports).await.unwrap()
}

fn honest() -> Arc<StarterDouble> {
    Arc::new(StarterDouble { network: NetworkDouble::honest(), peers: vec![peer(1)] })
}

async fn until_back(node: &Node, child: Child, before: u64) {
    let back = async {
        while node.incarnation(child) == before {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(DEADLINE, back).await.unwrap();
}

#[tokio::test]
async fn importer_is_not_started_before_the_write_of_the_one_before_has_ended() {
    for strike in [None, Some(Strike::Panic), Some(Strike::Fail)] {
        let chain = SlowChain::new();
        let open = chain.door.close();
        let node = start(chain.clone(), Arc::new(MemoryJournal::default()), honest()).await;
        node.start_sync(None).await.unwrap();
        timeout(DEADLINE, chain.door.waits.notified()).await.unwrap();
        let importer = Child::BlockImporter;
        match strike {
            None => assert!(node.kill(importer)),
            Some(strike) => assert!(node.strike(importer, strike)),
        }
        sleep(MORE_THAN_A_RESTART).await;
        assert_eq!(node.incarnation(importer), 1, "it did not wait");
        assert_eq!(chain.door.calls(), ["tip"], "it read a head that is about to move");
        open.send(()).unwrap();
        until_back(&node, importer, 1).await;
        timeout(DEADLINE, until_synced(&node, 100)).await.unwrap();
        assert_eq!(written(&chain.chain), (1..=100).collect::<Vec<_>>());
        assert_eq!(node.incarnation(importer), 2, "it ran into a head that had moved");
        node.shutdown(DEADLINE).await.unwrap();
    }
}

#[tokio::test]
async fn checkpoint_store_is_not_started_before_the_write_of_the_one_before_has_ended() {
    let journal = Arc::new(SlowJournal::default());
    let node = start(Arc::new(ChainDouble::new([])), journal.clone(), honest()).await;
    let open = journal.door.close();
    // Whoever asked is answered by the work, or told that the one that was asked has ended.
    let (_, ()) = tokio::join!(node.create_checkpoint(), async {
        timeout(DEADLINE, journal.door.waits.notified()).await.unwrap();
        let reads = journal.door.calls();
        assert!(node.kill(Child::CheckpointStore));
        sleep(MORE_THAN_A_RESTART).await;
        assert_eq!(node.incarnation(Child::CheckpointStore), 1, "it did not wait");
        assert_eq!(journal.door.calls(), reads, "it read what is about to change");
        open.send(()).unwrap();
        until_back(&node, Child::CheckpointStore, 1).await;
    });
    // What was begun was done once, and the next one found it.
    assert_eq!(node.list_checkpoints().await.unwrap().len(), 1);
    let calls = journal.door.calls();
    assert_eq!(calls.iter().filter(|call| **call == "put").count(), 1, "{calls:?}");
    node.shutdown(DEADLINE).await.unwrap();
}

#[tokio::test]
async fn read_for_a_peer_that_outlives_the_network_holds_nobody_up() {
    let chain = SlowChain::new();
    let starter = Arc::new(Serving::default());
    let node = start(chain.clone(), Arc::new(MemoryJournal::default()), starter.clone()).await;
    chain.reads.store(true, Ordering::SeqCst);
    let open = chain.door.close();
    let source = starter.source.lock().unwrap().take().expect("it serves");
    let read = tokio::task::spawn_blocking(move || source.read(Height::GENESIS, 1, 1));
    timeout(DEADLINE, chain.door.waits.notified()).await.unwrap();
    assert!(node.kill(Child::PeerNetwork));
    until_back(&node, Child::PeerNetwork, 1).await;
    // The network after it serves from the same source while the old read is under way.
    let source = starter.source.lock().unwrap().take().expect("it serves again");
    let again = tokio::task::spawn_blocking(move || source.read(Height::GENESIS, 1, 1));
    timeout(DEADLINE, again).await.unwrap().unwrap().unwrap();
    assert!(!read.is_finished());
    open.send(()).unwrap();
    timeout(DEADLINE, read).await.unwrap().unwrap().unwrap();
    node.shutdown(DEADLINE).await.unwrap();
}
