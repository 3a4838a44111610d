//! Peers that are refused, and peers that dial without end.

use std::collections::BTreeSet;

use libp2p::{
    SwarmBuilder, noise,
    swarm::{SwarmEvent, dial_opts::DialOpts, dummy},
    tcp, yamux,
};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

use super::*;

async fn refusal(events: &mut Events) -> Option<PeerId> {
    let failed = |event: &NetworkEvent| {
        let NetworkEvent::DialFailed { refused, .. } = event else { return None };
        Some(*refused)
    };
    events.find(failed).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_peer_is_cut_off_and_not_let_in_until_it_is_let_off() {
    let source = MemorySource::filled(250, 50_000);
    let mut server = Node::new(Arc::clone(&source)).await;
    let mut friend = Node::empty().await;
    friend.connect(server.peer, &tcp(&server.addresses)).await;
    for address in server.addresses.clone() {
        let mut client = Node::empty().await;
        client.connect(server.peer, &address).await;
        server.events.connected(client.peer).await;
        let mut stream = client.network.request_range(server.peer, range(1, 250)).await.unwrap();
        assert!(stream.next().await.unwrap().is_ok());
        server.network.refuse([client.peer].into());
        server.events.disconnected(client.peer).await;
        let rest = stream.map(|block| block.err()).collect::<Vec<_>>();
        let rest = timeout(HANG, rest).await.expect("the reply goes on");
        assert_eq!(rest.last(), Some(&Some(RequestError::Cut)));
        client.events.disconnected(server.peer).await;
        for _ in 0..3 {
            // Both ends finish the handshake before a peer is known by its identity.
            client.connect(server.peer, &address).await;
            client.events.disconnected(server.peer).await;
        }
        assert_eq!(friend.fetch(server.peer, 1, 2).await.blocks.len(), 2);
        server.network.refuse(BTreeSet::new());
        client.connect(server.peer, &address).await;
        server.events.connected(client.peer).await;
        assert_eq!(client.fetch(server.peer, 1, 2).await.blocks.len(), 2);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_peer_is_not_dialled_and_named_where_it_answers_until_it_is_let_off() {
    let (mut node, mut other) = (Node::empty().await, Node::empty().await);
    node.network.refuse([other.peer].into());
    for address in other.addresses.clone() {
        let anonymous = address.iter().filter(|part| !matches!(part, Protocol::P2p(_))).collect();
        for address in [&address, &anonymous] {
            node.network.dial(vec![address.clone()]);
            assert_eq!(refusal(&mut node.events).await, Some(other.peer), "{address}");
        }
    }
    // Whom it refuses does not matter to anybody else's failures.
    node.network.dial(vec!["/ip4/127.0.0.1/tcp/1".parse().unwrap()]);
    assert_eq!(refusal(&mut node.events).await, None);
    node.network.refuse(BTreeSet::new());
    node.connect(other.peer, &tcp(&other.addresses)).await;
    other.events.connected(node.peer).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_peer_that_is_found_again_by_another_order_stays_refused() {
    let mut server = Node::empty().await;
    let (mut first, mut second) = (Node::empty().await, Node::empty().await);
    for client in [&mut first, &mut second] {
        client.connect(server.peer, &tcp(&server.addresses)).await;
        server.events.connected(client.peer).await;
    }
    server.network.refuse([first.peer].into());
    first.events.disconnected(server.peer).await;
    server.network.refuse([first.peer, second.peer].into());
    second.events.disconnected(server.peer).await;
    for client in [&mut first, &mut second] {
        client.connect(server.peer, &tcp(&server.addresses)).await;
        client.events.disconnected(server.peer).await;
    }
}

/// Between two dials of the storm: 50 a second, 250 times what today's nodes do.
const STORM_PAUSE: Duration = Duration::from_millis(20);

fn is_end<T>(event: &SwarmEvent<T>) -> bool {
    let closed = matches!(event, SwarmEvent::ConnectionClosed { .. });
    closed || matches!(event, SwarmEvent::OutgoingConnectionError { .. })
}

/// Dials of the storm. Three seconds of them.
const STORM_DIALS: usize = 150;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn storm_of_dials_costs_nobody_a_connection() {
    let source = MemorySource::filled(3, 10);
    let mut server = Node::new(Arc::clone(&source)).await;
    let mut friends = Vec::new();
    for _ in 0..3 {
        let mut friend = Node::empty().await;
        friend.connect(server.peer, &tcp(&server.addresses)).await;
        server.events.connected(friend.peer).await;
        friends.push(friend);
    }
    let mut stormer = SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .unwrap()
        .with_behaviour(|_| dummy::Behaviour)
        .unwrap()
        .with_swarm_config(|config| config.with_idle_connection_timeout(HANG))
        .build();
    let (who, address) = (*stormer.local_peer_id(), tcp(&server.addresses));
    let (mut dials, mut closed) = (0, 0);
    let mut pauses = interval(STORM_PAUSE);
    pauses.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while dials < STORM_DIALS {
        tokio::select! {
            _ = pauses.tick() => {
                let again = DialOpts::unknown_peer_id().address(address.clone());
                stormer.dial(again.allocate_new_port().build()).unwrap();
                dials += 1;
            }
            event = stormer.select_next_some() => {
                closed += usize::from(is_end(&event));
            }
        }
    }
    // What is still on its way is refused too.
    let all_refused = async {
        while closed + 2 < dials {
            let event = stormer.select_next_some().await;
            closed += usize::from(is_end(&event));
        }
    };
    timeout(HANG, all_refused).await.expect("more than two connections stay");
    assert!(stormer.is_connected(&server.peer));
    for friend in &friends {
        assert_eq!(friend.fetch(server.peer, 1, 3).await.blocks.len(), 3);
    }
    let soon = Instant::now() + Duration::from_millis(1);
    while let Ok(Some(event)) = timeout_at(soon, server.events.0.recv()).await {
        // Where the machine stands still, he may lose what he has, and get it again.
        let is_his = matches!(
            &event,
            NetworkEvent::Connected { peer, .. }
            | NetworkEvent::Moved { peer, .. }
            | NetworkEvent::Disconnected { peer, .. } if *peer == who
        );
        assert!(is_his, "{event:?}, he is {who}");
    }
    let left = stormer.network_info().connection_counters().num_established();
    assert!((1..=2).contains(&left), "{left} connections");
}
