use std::sync::Arc;

use supervisors::{ChildHandle, ChildSpec};

use super::*;
use crate::{
    config::SyncConfig,
    doubles::{ChainDouble, NetworkDouble, StarterDouble, peer, recorded, tree},
    ports::{Misuse, SystemClock},
    reputation::ReputationMsg,
};

#[tokio::test(start_paused = true)]
async fn misuse_of_our_server_is_evidence_for_reputation() {
    let mut reputation = recorded("reputation");
    let child = ChildHandle::new("network");
    let args = NetworkArgs {
        starter: Arc::new(StarterDouble { network: NetworkDouble::honest(), peers: Vec::new() }),
        source: Arc::new(ChainDouble::new([])),
        slot: NetworkSlot::default(),
        peers: SyncConfig::default().peers,
        seed: 1,
        clock: Arc::new(SystemClock::start()),
        reputation: ReputationHandle::new(reputation.handle.clone()),
    };
    let network = ChildSpec::new(&child, move || (PeerNetworkActor, args.clone()));
    let _tree = tree([reputation.spec.clone(), network]).await;
    let (misuse, times) = (Misuse::TooManyRequests, 7);
    child.cast(NetworkMsg::Event(NetworkEvent::Misused { peer: peer(3), misuse, times })).unwrap();
    let observed = loop {
        if let ReputationMsg::Observed { peer, evidence } = reputation.told.recv().await.unwrap() {
            break (peer, evidence);
        }
    };
    let (who, Evidence::Misused { misuse, times }) = observed else { panic!("{observed:?}") };
    assert_eq!((who, misuse, times), (peer(3), Misuse::TooManyRequests, 7));
}
