//! A server with peers that ask for too much, or do not read.

use futures::future::join_all;

use super::*;
use crate::{adapters::libp2p::behaviour::OPEN_REQUESTS_MAX, ports::Misuse};

/// Four of them are more than a window of 256 KiB holds, so that no reply ends unread.
const LARGE: usize = 100_000;

/// A node that listens nowhere with the key of others.
async fn dialler(key: &Keypair, server: &Node) -> Node {
    let starter = Libp2pStarter::new(Libp2pOptions::default(), key.clone());
    let (sender, events) = Events::channel();
    let network = starter.start(MemorySource::filled(1, 1), sender).await.unwrap();
    let mut node = Node { network, events, addresses: Vec::new(), peer: starter.peer_id() };
    node.connect(server.peer, &tcp(&server.addresses)).await;
    node
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peer_with_too_many_requests_is_refused_and_reported_and_others_do_not_notice() {
    let source = MemorySource::filled(4, LARGE);
    let mut server = Node::new(Arc::clone(&source)).await;
    // One peer with two connections: our own limit holds for each of its networks.
    let key = Keypair::generate_ed25519();
    let greedy = [dialler(&key, &server).await, dialler(&key, &server).await];
    let asking = greedy.iter().flat_map(|node| {
        let ask = || node.network.request_range(server.peer, range(1, 4));
        (0..OPEN_REQUESTS_MAX).map(move |_| ask())
    });
    let open = join_all(asking).await;
    let honest = dialler(&Keypair::generate_ed25519(), &server).await;
    let fetched = honest.fetch(server.peer, 1, 4).await;
    assert!(fetched.blocks == source.blocks, "{:?}", fetched.error);
    let reported = server.events.find(|event| match event {
        NetworkEvent::Misused { peer, misuse, .. } => Some((*peer, *misuse)),
        NetworkEvent::Listening { .. }
        | NetworkEvent::Connected { .. }
        | NetworkEvent::Moved { .. }
        | NetworkEvent::Disconnected { .. }
        | NetworkEvent::DialFailed { .. }
        | NetworkEvent::Discovered { .. }
        | NetworkEvent::Expired { .. }
        | NetworkEvent::Stopped { .. } => None,
    });
    assert_eq!(reported.await, (greedy[0].peer, Misuse::TooManyRequests));
    // What it gets is a refusal, or all it has asked for.
    let replies = open.into_iter().map(|reply| reply.unwrap().collect::<Vec<_>>());
    let (mut refused, mut served) = (0, 0);
    for reply in timeout(HANG, join_all(replies)).await.expect("a reply hangs") {
        match reply.last() {
            Some(Err(RequestError::RateLimited { wait })) => {
                assert_eq!((reply.len(), *wait), (1, Some(Duration::from_secs(1))));
                refused += 1;
            }
            Some(Ok(_)) => {
                assert_eq!(reply.len(), 4);
                served += 1;
            }
            Some(Err(_)) | None => panic!("{reply:?}"),
        }
    }
    assert!(refused > 0 && served >= 32, "{refused} refused, {served} served");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replies_that_were_given_up_do_not_hold_up_the_next_of_the_same_peer() {
    // More than the rest of a reply that is read to free its stream.
    let source = MemorySource::filled(60, LARGE);
    let server = Node::new(Arc::clone(&source)).await;
    let client = dialler(&Keypair::generate_ed25519(), &server).await;
    let asking = (0..8).map(|_| client.network.request_range(server.peer, range(1, 60)));
    for stream in join_all(asking).await {
        let mut stream = stream.unwrap();
        assert!(stream.next().await.unwrap().is_ok());
    }
    let begun = std::time::Instant::now();
    let fetched = client.fetch(server.peer, 1, 2).await;
    assert!(fetched.blocks == source.blocks[..2], "{:?}", fetched.error);
    assert!(begun.elapsed() < Duration::from_secs(25), "{:?}", begun.elapsed());
}
