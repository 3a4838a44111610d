//! Connections, addresses and restarts.

use std::net::TcpListener;

use super::*;
use crate::ports::{Direction, DisconnectReason};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_network_is_found_again_at_the_same_addresses() {
    let source = MemorySource::filled(10, 1000);
    let starter = starter(Keypair::generate_ed25519());
    let mut server = Node::start(&starter, Arc::clone(&source)).await;
    let mut client = Node::empty().await;
    for _ in 0..3 {
        for address in server.addresses.clone() {
            client.connect(server.peer, &address).await;
            assert!(client.fetch(server.peer, 1, 10).await.blocks == source.blocks);
            client.network.disconnect(server.peer);
            client.events.disconnected(server.peer).await;
        }
        client.connect(server.peer, &tcp(&server.addresses)).await;
        let before = (server.peer, server.addresses.clone());
        drop(server);
        client.events.disconnected(before.0).await;
        server = Node::start(&starter, Arc::clone(&source)).await;
        assert_eq!((server.peer, server.addresses.clone()), before);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_restart_of_a_busy_network_gets_its_sockets_back() {
    let source = MemorySource::filled(250, 50_000);
    let starter = starter(Keypair::generate_ed25519());
    let server = Node::start(&starter, Arc::clone(&source)).await;
    let mut readers = Vec::new();
    for address in &server.addresses {
        let mut client = Node::empty().await;
        client.connect(server.peer, address).await;
        let mut stream = client.network.request_range(server.peer, range(1, 250)).await.unwrap();
        assert!(stream.next().await.unwrap().is_ok());
        readers.push((client, stream));
    }
    let addresses = server.addresses.clone();
    drop(server);
    let server = Node::start(&starter, source).await;
    assert_eq!(server.addresses, addresses);
    for (mut client, stream) in readers {
        let last = timeout(HANG, stream.map(|block| block.err()).collect::<Vec<_>>()).await;
        assert_eq!(last.unwrap().pop(), Some(Some(RequestError::Cut)));
        client.events.disconnected(server.peer).await;
        client.connect(server.peer, &addresses[0]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_start_does_not_pass_a_network_that_still_runs() {
    let starter = starter(Keypair::generate_ed25519());
    let first = Node::start(&starter, MemorySource::filled(1, 1)).await;
    let second = Node::try_start(&starter, MemorySource::filled(1, 1)).await;
    assert!(matches!(second.err(), Some(NetworkError::PreviousStillRunning { .. })));
    drop(first);
    Node::start(&starter, MemorySource::filled(1, 1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_of_somebody_else_is_reported() {
    let holder = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let taken = holder.local_addr().unwrap().port();
    let other = Node::empty().await;
    let is_port = |part| if let Protocol::Tcp(port) = part { Some(port) } else { None };
    let taken_by_libp2p = tcp(&other.addresses).iter().find_map(is_port);
    for port in [taken, taken_by_libp2p.unwrap()] {
        let listen = listen_addresses(Ipv4Addr::LOCALHOST.into(), port);
        let options = Libp2pOptions { listen: listen.clone(), ..Libp2pOptions::default() };
        let starter = Libp2pStarter::new(options, Keypair::generate_ed25519());
        match Node::try_start(&starter, MemorySource::filled(1, 1)).await.err() {
            Some(NetworkError::Listen { address, reason }) => {
                assert_eq!(address, listen[0]);
                assert!(reason.contains("in use"), "{reason}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_tell_who_dialled_and_who_left() {
    let mut a = Node::empty().await;
    let mut b = Node::empty().await;
    let found = |event: &NetworkEvent| match event {
        NetworkEvent::Connected { direction, .. } => Some(*direction),
        NetworkEvent::Listening { .. }
        | NetworkEvent::Moved { .. }
        | NetworkEvent::Disconnected { .. }
        | NetworkEvent::DialFailed { .. }
        | NetworkEvent::Discovered { .. }
        | NetworkEvent::Expired { .. }
        | NetworkEvent::Misused { .. }
        | NetworkEvent::Stopped { .. } => None,
    };
    let gone = |event: &NetworkEvent| match event {
        NetworkEvent::Disconnected { reason, .. } => Some(*reason),
        NetworkEvent::Listening { .. }
        | NetworkEvent::Connected { .. }
        | NetworkEvent::Moved { .. }
        | NetworkEvent::DialFailed { .. }
        | NetworkEvent::Discovered { .. }
        | NetworkEvent::Expired { .. }
        | NetworkEvent::Misused { .. }
        | NetworkEvent::Stopped { .. } => None,
    };
    for address in b.addresses.clone() {
        a.network.dial(vec![address]);
        assert_eq!(a.events.find(found).await, Direction::Outbound);
        assert_eq!(b.events.find(found).await, Direction::Inbound);
        a.network.disconnect(b.peer);
        assert_eq!(a.events.find(gone).await, DisconnectReason::Local);
        assert_eq!(b.events.find(gone).await, DisconnectReason::Remote);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dials_that_cannot_work_say_why() {
    let mut node = Node::empty().await;
    let mut other = Node::empty().await;
    let own = tcp(&node.addresses);
    let anonymous = without_peer(&own);
    let nobody = anonymous.to_string().replace("127.0.0.1", "127.0.0.2").parse().unwrap();
    let impostor = without_peer(&tcp(&other.addresses)).with_p2p(PeerId::random()).unwrap();
    for (address, expected) in [
        (own, "own"),
        (anonymous, "listen on this address ourselves"),
        (nobody, "refused"),
        (impostor, "another peer answered"),
        ("/ip4/127.0.0.1/tcp/1".parse().unwrap(), "refused"),
        ("/ip4/127.0.0.1/tcp/9/ws".parse().unwrap(), "unsupported"),
        ("/memory/5".parse().unwrap(), "unsupported"),
    ] {
        node.network.dial(vec![address.clone()]);
        let reason = node.events.dial_failure().await.to_lowercase();
        assert!(reason.contains(expected), "{address}: {reason}");
    }
    node.connect(other.peer, &tcp(&other.addresses)).await;
    other.events.connected(node.peer).await;
    node.network.dial(vec![tcp(&other.addresses)]);
    assert!(node.events.dial_failure().await.contains("already connected"));
}

fn without_peer(address: &Multiaddr) -> Multiaddr {
    address.iter().filter(|part| !matches!(part, Protocol::P2p(_))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_are_resolved_with_and_without_a_peer_id_and_ourselves_are_found_behind_one() {
    let mut node = Node::empty().await;
    let mut other = Node::empty().await;
    for name in [Protocol::Dns4("localhost".into()), Protocol::Dns("localhost".into())] {
        let anonymous = by_name(name, &other.addresses);
        let named = anonymous.clone().with_p2p(other.peer).unwrap();
        for address in [anonymous, named] {
            node.network.dial(vec![address.clone()]);
            let reached = |event: &NetworkEvent| {
                let NetworkEvent::Connected { peer, address, .. } = event else { return None };
                Some((*peer, without_peer(address)))
            };
            // By this address the dialer knows that it has reached what it was told to.
            let expected = (other.peer, without_peer(&address));
            assert_eq!(node.events.find(reached).await, expected);
            other.events.connected(node.peer).await;
            node.network.disconnect(other.peer);
            node.events.disconnected(other.peer).await;
        }
    }
    node.network.dial(vec![by_name(Protocol::Dns4("localhost".into()), &node.addresses)]);
    assert_eq!(node.events.dial_failure().await, "this is our own address");
}

fn by_name(name: Protocol<'static>, addresses: &[Multiaddr]) -> Multiaddr {
    let name = Multiaddr::empty().with(name);
    without_peer(&tcp(addresses)).iter().skip(1).fold(name, Multiaddr::with)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn node_that_looks_for_neighbours_works_whether_the_machine_can_or_not() {
    let listen = listen_addresses(Ipv4Addr::LOCALHOST.into(), 0);
    let options = Libp2pOptions { listen, mdns: true, ..Libp2pOptions::default() };
    let starter = Libp2pStarter::new(options, Keypair::generate_ed25519());
    if cfg!(not(feature = "mdns")) {
        let refused = Node::try_start(&starter, MemorySource::filled(1, 1)).await;
        assert!(matches!(refused.err(), Some(NetworkError::Transport { .. })));
        return;
    }
    let source = MemorySource::filled(3, 10);
    for _ in 0..2 {
        let server = Node::start(&starter, Arc::clone(&source)).await;
        let mut client = Node::empty().await;
        client.connect(server.peer, &tcp(&server.addresses)).await;
        assert_eq!(client.fetch(server.peer, 1, 3).await.blocks.len(), 3);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peers_that_dial_each_other_at_once_stay_connected() {
    for _ in 0..5 {
        let source = MemorySource::filled(3, 10);
        let mut a = Node::new(Arc::clone(&source)).await;
        let mut b = Node::new(Arc::clone(&source)).await;
        a.network.dial(vec![tcp(&b.addresses)]);
        b.network.dial(vec![tcp(&a.addresses)]);
        a.events.connected(b.peer).await;
        b.events.connected(a.peer).await;
        for _ in 0..10 {
            assert_eq!(a.fetch(b.peer, 1, 3).await.error, None);
            assert_eq!(b.fetch(a.peer, 1, 3).await.error, None);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_dials_again_and_again_gets_two_connections_at_most() {
    let source = MemorySource::filled(3, 10);
    let server = Node::new(Arc::clone(&source)).await;
    // Without a peer id in the address, nothing on this side keeps it from dialling again.
    let address = without_peer(&tcp(&server.addresses));
    let mut client = Node::empty().await;
    for _ in 0..2 {
        client.network.dial(vec![address.clone()]);
        client.events.connected(server.peer).await;
    }
    for _ in 0..5 {
        client.network.dial(vec![address.clone()]);
        let reason = client.events.dial_failure().await;
        assert!(reason.contains("limit"), "{reason}");
    }
    assert_eq!(client.fetch(server.peer, 1, 3).await.blocks.len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inbound_connections_leave_room_for_our_own_dials() {
    let listen = listen_addresses(Ipv4Addr::LOCALHOST.into(), 0);
    let options = Libp2pOptions { listen, connections_max: 4, ..Libp2pOptions::default() };
    let starter = Libp2pStarter::new(options, Keypair::generate_ed25519());
    let mut full = Node::start(&starter, MemorySource::filled(1, 1)).await;
    let mut guests = Vec::new();
    for _ in 0..3 {
        let mut guest = Node::empty().await;
        guest.connect(full.peer, &tcp(&full.addresses)).await;
        full.events.connected(guest.peer).await;
        guests.push(guest);
    }
    let mut fourth = Node::empty().await;
    fourth.network.dial(vec![tcp(&full.addresses)]);
    // Both ends finish the handshake before the limit is applied.
    fourth.events.connected(full.peer).await;
    fourth.events.disconnected(full.peer).await;
    full.connect(fourth.peer, &tcp(&fourth.addresses)).await;
}

/// Panics once a peer connects; passes the rest on.
struct PanicsOnConnected(Arc<dyn NetworkEvents>);

impl NetworkEvents for PanicsOnConnected {
    fn on_event(&self, event: NetworkEvent) {
        assert!(!matches!(event, NetworkEvent::Connected { .. }), "planted");
        self.0.on_event(event);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_ends_by_itself_says_so_and_can_be_started_again() {
    let source = MemorySource::filled(3, 10);
    let starter = starter(Keypair::generate_ed25519());
    let (sender, mut events) = Events::channel();
    let broken = Arc::new(PanicsOnConnected(sender));
    let network = starter.start(Arc::clone(&source) as Arc<dyn BlockSource>, broken).await.unwrap();
    let addresses = events.addresses().await;
    let mut client = Node::empty().await;
    client.connect(starter.peer_id(), &tcp(&addresses)).await;
    let stopped =
        |event: &NetworkEvent| matches!(event, NetworkEvent::Stopped { .. }).then_some(());
    events.find(stopped).await;
    client.events.disconnected(starter.peer_id()).await;
    let refused = fetch(&*network, client.peer, 1, 1).await;
    assert_eq!(refused.error, Some(RequestError::Restarting));
    let again = Node::start(&starter, source).await;
    assert_eq!(again.addresses, addresses);
}
