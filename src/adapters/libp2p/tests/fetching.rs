//! Blocks asked for and served by two networks.

use futures::future::{join_all, poll_immediate};
use libp2p::{SwarmBuilder, noise, swarm::dummy, tcp as tcp_transport, yamux};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
};

use super::*;
use crate::adapters::libp2p::behaviour::OPEN_REQUESTS_MAX;

/// A serving node, and one that is connected to it.
async fn pair(
    source: Arc<MemorySource>,
    choose: impl Fn(&[Multiaddr]) -> Multiaddr,
) -> (Node, Node) {
    let server = Node::new(source).await;
    let mut client = Node::empty().await;
    client.connect(server.peer, &choose(&server.addresses)).await;
    (server, client)
}

async fn blocks_arrive_as_they_are(choose: impl Fn(&[Multiaddr]) -> Multiaddr) {
    let mut source = Arc::into_inner(MemorySource::filled(200, 1200)).unwrap();
    source.blocks.push(Bytes::from(vec![7; 1024 * 1024]));
    source.blocks.push(Bytes::from_static(&[1]));
    let source = Arc::new(source);
    let (server, client) = pair(Arc::clone(&source), choose).await;
    let all = client.fetch(server.peer, 1, 202).await;
    assert_eq!(all.error, None);
    assert!(all.blocks == source.blocks);
    let some = client.fetch(server.peer, 150, 3).await;
    assert!(some.blocks == source.blocks[149..152]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocks_arrive_as_they_are_over_tcp() {
    blocks_arrive_as_they_are(tcp).await;
}

#[cfg(feature = "quic")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocks_arrive_as_they_are_over_quic() {
    blocks_arrive_as_they_are(quic).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_range_beyond_the_head_ends_at_the_head() {
    let (server, client) = pair(MemorySource::filled(5, 100), tcp).await;
    let over = client.fetch(server.peer, 4, 1000).await;
    assert_eq!((over.blocks.len(), over.error), (2, None));
    let above = client.fetch(server.peer, 6, 1).await;
    assert_eq!((above.blocks.len(), above.error), (0, None));
}

async fn all_of_1000_requests_are_answered(choose: impl Fn(&[Multiaddr]) -> Multiaddr) {
    let source = MemorySource::filled(100, 1200);
    let (server, client) = pair(Arc::clone(&source), choose).await;
    let mut answered = 0;
    while answered < 1000 {
        let burst = (0..24).map(|n| client.fetch(server.peer, 1 + n * 4, 4));
        for (n, fetched) in join_all(burst).await.into_iter().enumerate() {
            assert_eq!(fetched.error, None);
            assert!(fetched.blocks == source.blocks[n * 4..n * 4 + 4]);
            answered += 1;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_of_1000_requests_are_answered_over_tcp() {
    all_of_1000_requests_are_answered(tcp).await;
}

#[cfg(feature = "quic")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_of_1000_requests_are_answered_over_quic() {
    all_of_1000_requests_are_answered(quic).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_ends_of_a_connection_can_ask() {
    let source = MemorySource::filled(3, 50);
    let server = Node::new(MemorySource::filled(1, 1)).await;
    let mut client = Node::new(Arc::clone(&source)).await;
    client.connect(server.peer, &tcp(&server.addresses)).await;
    // The dialled end may learn of the connection a moment later.
    let mut server = server;
    server.events.connected(client.peer).await;
    assert!(server.fetch(client.peer, 1, 3).await.blocks == source.blocks);
}

async fn a_reader_that_stops_stops_the_server(choose: impl Fn(&[Multiaddr]) -> Multiaddr) {
    let source = MemorySource::filled(120, 100_000);
    let (server, client) = pair(Arc::clone(&source), choose).await;
    let mut slow = client.network.request_range(server.peer, range(1, 120)).await.unwrap();
    assert!(slow.next().await.unwrap().unwrap() == source.blocks[0]);
    // Many others, one after the other, run at full speed beside it meanwhile.
    for _ in 0..20 {
        assert_eq!(client.fetch(server.peer, 119, 2).await.blocks.len(), 2);
    }
    let read_for_slow: usize = {
        let reads = source.reads.lock().unwrap();
        reads.iter().filter(|(start, _)| *start < 119).map(|(_, count)| count).sum()
    };
    assert!(read_for_slow < 60, "{read_for_slow} blocks were read for a reader that took one");
    let rest: Vec<_> = slow.map(Result::unwrap).collect().await;
    assert!(rest == source.blocks[1..]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_stops_stops_the_server_over_tcp() {
    a_reader_that_stops_stops_the_server(tcp).await;
}

#[cfg(feature = "quic")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_stops_stops_the_server_over_quic() {
    a_reader_that_stops_stops_the_server(quic).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_31st_open_request_is_refused_here_and_a_free_place_is_used_again() {
    let (release, released) = watch::channel(false);
    let (server, client) = raw_pair(move |request| {
        let mut released = released.clone();
        Box::pin(async move {
            released.wait_for(|released| *released).await.unwrap();
            drop(request);
        })
    })
    .await;
    let to = server.peer_id();
    let mut open = Vec::new();
    for start in 0..OPEN_REQUESTS_MAX as u64 {
        open.push(client.network.request_range(to, range(start, 1)).await.unwrap());
    }
    let refused = client.network.request_range(to, range(99, 1)).await.err();
    assert_eq!(refused, Some(RequestError::TooManyStreams));
    release.send(true).unwrap();
    for stream in &mut open {
        assert!(stream.next().await.is_none());
    }
    assert_eq!(client.fetch(to, 1, 1).await, Fetched { blocks: Vec::new(), error: None });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn abandoned_requests_give_their_places_back() {
    let source = MemorySource::filled(200, 1200);
    let (server, client) = pair(Arc::clone(&source), tcp).await;
    for _ in 0..5 {
        for _ in 0..OPEN_REQUESTS_MAX {
            // A place may be free a moment after the peer closed: only that is waited for.
            let mut stream = loop {
                match client.network.request_range(server.peer, range(1, 200)).await {
                    Ok(stream) => break stream,
                    Err(error) => assert_eq!(error, RequestError::TooManyStreams),
                }
                tokio::task::yield_now().await;
            };
            assert!(stream.next().await.unwrap().is_ok());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_is_not_dialled_for_a_request() {
    let server = Node::new(MemorySource::filled(1, 1)).await;
    let client = Node::empty().await;
    let fetched = client.fetch(server.peer, 1, 1).await;
    assert_eq!(fetched.error, Some(RequestError::NotConnected));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_without_the_protocol_is_reported_as_such() {
    let mut other = SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp_transport::Config::default(), noise::Config::new, yamux::Config::default)
        .unwrap()
        .with_behaviour(|_| dummy::Behaviour)
        .unwrap()
        .with_swarm_config(|config| config.with_idle_connection_timeout(HANG))
        .build();
    let mut client = Node::empty().await;
    let to = *other.local_peer_id();
    other.dial(tcp(&client.addresses)).unwrap();
    tokio::spawn(async move {
        loop {
            other.select_next_some().await;
        }
    });
    client.events.connected(to).await;
    let fetched = client.fetch(to, 1, 1).await;
    assert_eq!(fetched.error, Some(RequestError::Unsupported));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_connection_cuts_the_open_requests() {
    let (server, client) = raw_pair(|request| {
        Box::pin(async move {
            request.reply.gone().await;
        })
    })
    .await;
    let mut stream = client.network.request_range(server.peer_id(), range(1, 1)).await.unwrap();
    assert!(poll_immediate(stream.next()).await.is_none(), "nothing can have come");
    drop(server);
    let last = timeout(HANG, stream.next()).await.unwrap();
    assert_eq!(last, Some(Err(RequestError::Cut)));
    assert_eq!(stream.next().await, None);
}

/// Relays connections to the TCP address `to`; holds back what the server sends while `held`.
async fn relay_to(to: &Multiaddr, held: watch::Receiver<bool>) -> Multiaddr {
    let port =
        to.iter().find_map(|part| if let Protocol::Tcp(port) = part { Some(port) } else { None });
    let server = (Ipv4Addr::LOCALHOST, port.unwrap());
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let own_port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (client, _) = listener.accept().await.unwrap();
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) =
            TcpStream::connect(server).await.unwrap().into_split();
        let answers = async move {
            let (mut held, mut bytes) = (held, vec![0; 4096]);
            while let Ok(count @ 1..) = from_server.read(&mut bytes).await {
                held.wait_for(|held| !held).await.unwrap();
                to_client.write_all(&bytes[..count]).await.unwrap();
            }
        };
        tokio::join!(tokio::io::copy(&mut from_client, &mut to_server), answers)
    });
    to.replace(1, |_| Some(Protocol::Tcp(own_port))).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn request_does_not_wait_until_the_peer_agrees_to_the_protocol() {
    let (asked, mut requests) = mpsc::channel(1);
    let (sender, mut events) = Events::channel();
    let script = move |request: RawRequest| {
        let asked = asked.clone();
        Box::pin(async move { asked.send(request.body.len()).await.unwrap() }) as BoxFuture<_>
    };
    let server = RawServer::start(Keypair::generate_ed25519(), sender, script).await.unwrap();
    let (hold, held) = watch::channel(false);
    let address = relay_to(&tcp(&events.addresses().await), held).await;
    let mut node = Node::empty().await;
    node.connect(server.peer_id(), &address).await;
    hold.send_replace(true);
    let fetching = node.fetch(server.peer_id(), 1, 1);
    let answered = async {
        // No byte of the server has come back to us since the request.
        assert!(timeout(HANG, requests.recv()).await.unwrap().is_some());
        hold.send_replace(false);
    };
    let (fetched, ()) = tokio::join!(fetching, answered);
    assert_eq!(fetched, Fetched { blocks: Vec::new(), error: None });
}
