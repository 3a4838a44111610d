//! Reputation among siblings that record what they are told.

use std::sync::Arc;

use supervisors::{ChildHandle, ChildSpec, SupervisorHandle};
use tokio::time::timeout;

use super::*;
use crate::{
    checkpoint::CheckpointMsg,
    coordinator::CoordinatorMsg,
    doubles::{ChainDouble, NetworkDouble, Recorded, SlowChain, peer, recorded, tree},
    flow::ByteBudget,
    network::NetworkMsg,
    ports::{PeerNetwork, SystemClock},
    reputation::ReputationHandle,
    resilience::NetworkSlot,
    scheduler::SchedulerMsg,
    types::{BlockRef, BlockRoot, Multiaddr},
    validation::{ValidatorHandle, ValidatorMsg},
};

/// Longer than a cut takes to be noticed, and to be given up; a test that hangs ends here.
const LONG: Duration = Duration::from_secs(60);

struct World {
    reputation: ReputationHandle,
    child: ChildHandle<ReputationMsg>,
    network: Recorded<NetworkMsg>,
    _siblings: (
        Recorded<CheckpointMsg>,
        Recorded<SchedulerMsg>,
        Recorded<CoordinatorMsg>,
        Recorded<ValidatorMsg>,
    ),
    _double: Arc<dyn PeerNetwork>,
    tree: SupervisorHandle,
}

fn address(seed: u8) -> Multiaddr {
    format!("/ip4/10.0.0.{seed}/tcp/1/p2p/{}", peer(seed)).parse().unwrap()
}

impl World {
    async fn new() -> Self {
        Self::over(Arc::new(ChainDouble::new([]))).await
    }

    async fn over(chain: Arc<dyn Chain>) -> Self {
        let network = recorded("network");
        let (checkpoints, scheduler) = (recorded("checkpoints"), recorded("scheduler"));
        let (coordinator, validator) = (recorded("coordinator"), recorded("validator"));
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
        let double: Arc<dyn PeerNetwork> = NetworkDouble::honest();
        let slot = NetworkSlot::default();
        slot.publish(&double);
        let caller = PeerCaller::outside_a_node(slot, Arc::clone(&clock));
        let args = ReputationArgs {
            settings: ReputationSettings::default(),
            chain,
            clock,
            caller: caller.clone(),
            prober: Prober {
                caller,
                validator: ValidatorHandle::new(validator.handle.clone()),
                budget: ByteBudget::new(1 << 20),
                deadline: LONG,
            },
            checkpoints: CheckpointHandle::new(checkpoints.handle.clone()),
            network: NetworkHandle::new(network.handle.clone()),
            scheduler: SchedulerHandle::new(scheduler.handle.clone()),
            coordinator: CoordinatorHandle::new(coordinator.handle.clone()),
        };
        let child = ChildHandle::new("reputation");
        let spec = ChildSpec::new(&child, move || (PeerReputation, args.clone()));
        let specs = [&network.spec, &scheduler.spec, &coordinator.spec, &validator.spec];
        let siblings = specs.map(Clone::clone);
        let tree = tree([checkpoints.spec.clone()].into_iter().chain(siblings).chain([spec])).await;
        Self {
            reputation: ReputationHandle::new(child.clone()),
            child,
            network,
            _siblings: (checkpoints, scheduler, coordinator, validator),
            _double: double,
            tree,
        }
    }

    /// Waits until the network is told something of which `wanted` is true.
    async fn until_told(&mut self, wanted: impl Fn(&NetworkMsg) -> bool) {
        let told = async {
            while let Some(message) = self.network.told.recv().await {
                if wanted(&message) {
                    return;
                }
            }
        };
        timeout(LONG, told).await.expect("the network is not told");
    }

    /// Two peers connect, and their connections break by themselves.
    async fn lose_all(&mut self) {
        for seed in [1, 2] {
            self.reputation.connected(peer(seed), address(seed)).unwrap();
        }
        for seed in [1, 2] {
            self.reputation.disconnected(peer(seed)).unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn reputation_that_died_while_the_link_was_cut_tells_the_network_that_it_knows_of_no_cut() {
    let mut world = World::new().await;
    world.lose_all().await;
    world.until_told(|told| matches!(told, NetworkMsg::LinkCut)).await;
    assert!(world.child.kill());
    // The one that follows asks who is connected, and the network answers.
    world.until_told(|told| matches!(told, NetworkMsg::ReputationStarted)).await;
    world.reputation.connected_peers(Vec::new()).unwrap();
    world.until_told(|told| matches!(told, NetworkMsg::LinkBack)).await;
    world.tree.shutdown(LONG).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn network_that_starts_while_the_link_is_cut_is_not_told_that_it_is_back() {
    let mut world = World::new().await;
    world.lose_all().await;
    world.until_told(|told| matches!(told, NetworkMsg::LinkCut)).await;
    world.reputation.connected_peers(Vec::new()).unwrap();
    world.reputation.disconnected(peer(1)).unwrap();
    world.reputation.ban(peer(9), None).await.unwrap();
    while let Ok(told) = world.network.told.try_recv() {
        assert!(!matches!(told, NetworkMsg::LinkBack), "it is not");
    }
    world.tree.shutdown(LONG).await.unwrap();
}

/// No virtual time: it stands still while the chain is read.
#[tokio::test]
async fn read_of_the_chain_that_outlives_reputation_holds_nobody_up_and_tells_nobody() {
    let chain = SlowChain::new();
    let world = World::over(chain.clone()).await;
    chain.reads.store(true, std::sync::atomic::Ordering::SeqCst);
    let open = chain.door.close();
    world.reputation.connected(peer(1), address(1)).unwrap();
    let block = BlockRef { height: Height::GENESIS, root: BlockRoot::ZERO };
    let unsettled = || world.reputation.evidence(peer(1), Evidence::NotLinked { block });
    unsettled();
    timeout(LONG, chain.door.waits.notified()).await.unwrap();
    assert!(world.child.kill());
    let back = async {
        while world.child.incarnation() < 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(LONG, back).await.expect("it waits for a read that nobody wants any more");
    // The one after it asks for itself, and lives through the answer to the one before.
    world.reputation.connected(peer(1), address(1)).unwrap();
    unsettled();
    let reads = async {
        while chain.door.calls().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(LONG, reads).await.expect("it does not ask");
    open.send(()).unwrap();
    while chain.door.calls().len() < 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    world.tree.shutdown(LONG).await.unwrap();
    assert_eq!(world.child.incarnation(), 2);
}
