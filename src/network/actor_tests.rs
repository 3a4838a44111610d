//! The owner of the network over a network that records what it is told.

use std::collections::BTreeSet;

use supervisors::{ChildHandle, ChildSpec, SupervisorHandle};
use tokio::time::{sleep, timeout};

use super::*;
use crate::{
    doubles::{ChainDouble, NetworkDouble, Recorded, StarterDouble, Told, peer, recorded, tree},
    network::NetworkHandle,
    ports::{DisconnectReason, Misuse, SystemClock},
    reputation::ReputationMsg,
};

/// Only there so that a test that waits for what never comes fails instead of hanging.
const HANG: Duration = Duration::from_secs(60);

struct World {
    network: Arc<NetworkDouble>,
    owner: NetworkHandle,
    child: ChildHandle<NetworkMsg>,
    reputation: Recorded<ReputationMsg>,
    tree: SupervisorHandle,
}

fn address(seed: u8) -> Multiaddr {
    format!("/ip4/10.0.0.{seed}/tcp/1/p2p/{}", peer(seed)).parse().unwrap()
}

impl World {
    /// A network that is connected to the first peer and told to dial the second.
    async fn new() -> Self {
        let network = NetworkDouble::honest();
        let reputation = recorded("reputation");
        let child = ChildHandle::new("network");
        let peers = PeerSettings { bootnodes: vec![address(2)], ..PeerSettings::default() };
        let args = NetworkArgs {
            starter: Arc::new(StarterDouble {
                network: Arc::clone(&network),
                peers: vec![peer(1)],
            }),
            source: Arc::new(ChainDouble::new([])),
            slot: NetworkSlot::default(),
            peers,
            seed: 1,
            clock: Arc::new(SystemClock::start()),
            reputation: ReputationHandle::new(reputation.handle.clone()),
            orders: NetworkOrders::default(),
        };
        let spec = ChildSpec::new(&child, move || (PeerNetworkActor, args.clone()));
        let tree = tree([reputation.spec.clone(), spec]).await;
        let owner = NetworkHandle::new(child.clone());
        Self { network, owner, child, reputation, tree }
    }

    /// What the network was told since the last call, once everything sent before is done.
    async fn told(&self) -> Vec<Told> {
        self.owner.listening().await.unwrap();
        self.network.take_told()
    }

    fn report(&self, event: NetworkEvent) {
        self.child.cast(NetworkMsg::Event(event)).unwrap();
    }

    /// Waits until the network has started again.
    async fn restarted(&self, incarnation: u64) {
        let again = async {
            while self.child.incarnation() == incarnation || !self.child.is_running() {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(HANG, again).await.expect("it does not start again");
    }
}

#[tokio::test(start_paused = true)]
async fn each_incarnation_of_the_network_refuses_whom_the_last_was_told_to_refuse() {
    let world = World::new().await;
    let nobody = Told::Refuse(BTreeSet::new());
    assert_eq!(world.told().await, [nobody.clone(), Told::Dial(vec![address(2)])]);
    let refused = BTreeSet::from([peer(2), peer(3)]);
    world.owner.refuse(refused.clone()).unwrap();
    assert_eq!(world.told().await, [Told::Refuse(refused.clone())]);
    let before = world.child.incarnation();
    assert!(world.child.kill());
    world.restarted(before).await;
    assert_eq!(world.told().await, [Told::Refuse(refused)], "and nobody refused is dialled");
    world.owner.refuse(BTreeSet::new()).unwrap();
    assert_eq!(world.told().await, [nobody, Told::Dial(vec![address(2)])]);
    world.tree.shutdown(HANG).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn when_the_link_is_cut_all_connections_are_closed_once_and_everybody_is_dialled() {
    let mut world = World::new().await;
    world.report(NetworkEvent::Connected {
        peer: peer(3),
        address: address(3),
        direction: Direction::Inbound,
    });
    let failed = || NetworkEvent::DialFailed {
        addresses: vec![address(2)],
        refused: None,
        reason: "no route".to_owned(),
    };
    (0..8).for_each(|_| world.report(failed()));
    world.told().await;
    world.owner.link_cut().unwrap();
    world.owner.link_cut().unwrap();
    let told = world.told().await;
    let closed: BTreeSet<_> = [peer(1), peer(3)].map(|peer| format!("{peer}")).into();
    let disconnects = told.iter().filter_map(|told| match told {
        Told::Disconnect(peer) => Some(format!("{peer}")),
        Told::Dial(_) | Told::Refuse(_) => None,
    });
    assert_eq!(disconnects.clone().collect::<BTreeSet<_>>(), closed);
    assert_eq!(disconnects.count(), 2, "each once");
    assert_eq!(told.last(), Some(&Told::Dial(vec![address(2)])));
    for peer in [peer(1), peer(3)] {
        let reason = DisconnectReason::Local;
        world.report(NetworkEvent::Disconnected { peer, reason });
    }
    let mut dials = 0;
    for _ in 0..10 {
        world.report(failed());
        sleep(Duration::from_millis(2_300)).await;
        dials += world.told().await.len();
    }
    assert!(dials >= 10, "{dials} dials in 23 s");
    world.reputation.told.close();
    world.tree.shutdown(HANG).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn incarnation_that_starts_while_the_link_is_cut_dials_in_the_same_rhythm() {
    let world = World::new().await;
    world.owner.link_cut().unwrap();
    world.told().await;
    let before = world.child.incarnation();
    assert!(world.child.kill());
    world.restarted(before).await;
    world.told().await;
    for _ in 0..5 {
        sleep(Duration::from_millis(2_300)).await;
        assert_eq!(world.told().await, [Told::Dial(vec![address(2)])], "without any outcome");
    }
    world.owner.link_back().unwrap();
    assert_eq!(world.told().await, [Told::Dial(vec![address(2)])], "at once");
    sleep(Duration::from_secs(5)).await;
    assert_eq!(world.told().await, [], "outcomes are waited for again");
    world.tree.shutdown(HANG).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn peer_that_was_found_is_dialled_until_it_is_heard_of_no_more() {
    let world = World::new().await;
    world.told().await;
    world.report(NetworkEvent::Discovered { address: address(4) });
    sleep(2 * TICK).await;
    assert_eq!(world.told().await, [Told::Dial(vec![address(4)])]);
    let failed = |seed| NetworkEvent::DialFailed {
        addresses: vec![address(seed)],
        refused: None,
        reason: "no route".to_owned(),
    };
    world.report(failed(4));
    sleep(Duration::from_secs(2)).await;
    assert_eq!(world.told().await, [Told::Dial(vec![address(4)])]);
    world.report(NetworkEvent::Expired { address: address(4) });
    world.report(failed(4));
    world.report(failed(2));
    sleep(Duration::from_secs(2)).await;
    assert_eq!(world.told().await, [Told::Dial(vec![address(2)])]);
    world.tree.shutdown(HANG).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn misuse_of_our_server_is_evidence_for_reputation() {
    let mut world = World::new().await;
    let (misuse, times) = (Misuse::TooManyRequests, 7);
    world.report(NetworkEvent::Misused { peer: peer(3), misuse, times });
    let observed = async {
        loop {
            let told = world.reputation.told.recv().await.unwrap();
            if let ReputationMsg::Observed { peer, evidence } = told {
                break (peer, evidence);
            }
        }
    };
    let observed = timeout(HANG, observed).await.expect("nothing is passed on");
    let (who, Evidence::Misused { misuse, times }) = observed else { panic!("{observed:?}") };
    assert_eq!((who, misuse, times), (peer(3), Misuse::TooManyRequests, 7));
    world.tree.shutdown(HANG).await.unwrap();
}
