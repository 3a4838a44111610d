//! Peers that are reached over two transports. Whole nodes with a slow one are in `tests/it`.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dial_of_a_peer_fails_once_when_no_transport_gets_through() {
    let mut node = Node::empty().await;
    let other = Node::empty().await;
    let impostor = PeerId::random();
    let addresses: Vec<Multiaddr> = other
        .addresses
        .iter()
        .map(|address| {
            let bare = address.iter().filter(|part| !matches!(part, Protocol::P2p(_)));
            bare.collect::<Multiaddr>().with_p2p(impostor).unwrap()
        })
        .collect();
    node.network.dial(addresses.clone());
    let failed = |event: &NetworkEvent| {
        let NetworkEvent::DialFailed { addresses, reason, .. } = event else { return None };
        Some((addresses.clone(), reason.matches("another peer answered").count()))
    };
    assert_eq!(node.events.find(failed).await, (addresses, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dial_of_a_peer_succeeds_when_one_transport_gets_through() {
    let mut node = Node::empty().await;
    let other = Node::empty().await;
    let nobody = format!("/ip4/127.0.0.1/tcp/1/p2p/{}", other.peer).parse().unwrap();
    node.network.dial(vec![nobody, quic(&other.addresses)]);
    node.events.connected(other.peer).await;
    assert_eq!(node.fetch(other.peer, 1, 1).await.blocks.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_while_both_ends_compare_transports() {
    let source = MemorySource::filled(20, 5_000);
    let mut a = Node::new(Arc::clone(&source)).await;
    let mut b = Node::new(Arc::clone(&source)).await;
    a.network.dial(b.addresses.clone());
    b.network.dial(a.addresses.clone());
    a.events.connected(b.peer).await;
    b.events.connected(a.peer).await;
    for _ in 0..50 {
        let (one, two) = tokio::join!(a.fetch(b.peer, 1, 20), b.fetch(a.peer, 1, 20));
        assert_eq!((one.error, two.error), (None, None));
        assert!(one.blocks == source.blocks && two.blocks == source.blocks);
    }
}
