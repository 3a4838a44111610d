//! Servers that can be reached over both transports.

use std::{net::UdpSocket, sync::Arc, time::Duration};

use alys_sync::{
    adapters::libp2p::{Libp2pOptions, Libp2pStarter},
    coordinator::SyncStatus,
    ports::{NetworkEvent, NetworkEvents, NetworkStarter as _, SystemClock},
    resilience::{NetworkSlot, PeerCaller},
    types::{Height, HeightRange, Multiaddr, PeerId, Transport},
};
use libp2p::identity::Keypair;
use tokio::{sync::mpsc, time::timeout};

use crate::support::{
    DEADLINE, FarTcp, Growing, Server, TestNode,
    behaviour::{Barrier, gated},
    config, golden, serve, serve_raw,
};

/// A round trip over TCP takes two of these. Far more than what a busy machine makes of one over
/// loopback.
const FAR: Duration = Duration::from_millis(100);

/// Blocks that are asked for before it is known how quick their server is, as it is asked for so
/// many at first, so that the deadlines of all of them are those of the settings: after a moment in
/// which the machine stands still, a shorter one could be over with the blocks already in the
/// socket.
const FEW: u64 = 16;

fn reached_over(status: &SyncStatus, peer: PeerId) -> Option<Transport> {
    let peer = peer.to_string();
    status.peers.iter().find(|known| known.peer == peer)?.transport
}

async fn until_reached_over(node: &TestNode, server: &Server, transport: Transport) {
    let what = format!("reached over {transport}");
    node.until(&what, |status| reached_over(status, server.peer) == Some(transport)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn node_uses_quic_where_tcp_takes_longer() {
    let chain = Arc::new(golden().until(FEW));
    let server = serve(chain.clone()).await;
    let mut far = FarTcp::to(&server, FAR).await;
    let mut settings = config(&[]);
    settings.peers.bootnodes = vec![far.address.clone(), server.quic.clone()];
    settings.download.block_deadline = DEADLINE;
    let node = TestNode::fresh(&chain, settings).await;
    node.node.start_sync(None).await.unwrap();
    let status = node.until_synced().await;
    assert_eq!(status.head, chain.head.root);
    until_reached_over(&node, &server, Transport::Quic).await;
    far.until_none_is_open().await;
    assert_eq!(node.node.status().peers[0].failures, 0);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn node_moves_to_a_faster_transport_and_ends_what_is_under_way_first() {
    let chain = Arc::new(golden().until(FEW));
    // Ranges are answered when the test says so; single blocks, as for probes, at once.
    let barrier = Barrier::at(0);
    let server = serve_raw(gated(chain.clone(), &barrier)).await;
    let mut far = FarTcp::to(&server, FAR).await;
    let mut settings = config(&[]);
    settings.peers.bootnodes = vec![far.address.clone()];
    settings.download.block_deadline = DEADLINE;
    let node = TestNode::fresh(&chain, settings).await;
    node.node.start_sync(None).await.unwrap();
    barrier.until_met().await;
    until_reached_over(&node, &server, Transport::Tcp).await;
    assert_eq!(far.open(), 1);

    node.node.peer_discovered(server.quic.clone()).unwrap();
    until_reached_over(&node, &server, Transport::Quic).await;
    assert_eq!(far.open(), 1, "requests are under way on it");

    barrier.open();
    let status = node.until_synced().await;
    assert_eq!(status.head, chain.head.root);
    far.until_none_is_open().await;
    assert_eq!(node.node.status().peers[0].failures, 0);
    node.stop().await;
}

struct Events(mpsc::UnboundedSender<NetworkEvent>);

impl NetworkEvents for Events {
    fn on_event(&self, event: NetworkEvent) {
        // A test that has seen enough drops its end.
        let _ = self.0.send(event);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_go_over_the_faster_transport_while_the_slower_one_is_still_open() {
    let chain = Arc::new(golden().until(100));
    let server = serve(chain.clone()).await;
    let mut far = FarTcp::to(&server, FAR).await;
    let starter = Libp2pStarter::new(Libp2pOptions::default(), Keypair::generate_ed25519());
    let (report, mut events) = mpsc::unbounded_channel();
    let network = starter.start(chain.clone(), Arc::new(Events(report))).await.unwrap();
    let slot = NetworkSlot::default();
    slot.publish(&network);
    let caller = PeerCaller::outside_a_node(slot, Arc::new(SystemClock::start()));
    let range = |count| HeightRange::new(Height::new(1), count).unwrap();

    network.dial(vec![far.address.clone()]);
    let first = events.recv().await.unwrap();
    assert!(matches!(first, NetworkEvent::Connected { .. }), "{first:?}");
    let mut unread = caller.range(server.peer, range(4), DEADLINE).await.unwrap();

    network.dial(vec![far.address.clone(), server.quic.clone()]);
    let moved_to = async {
        loop {
            if let NetworkEvent::Moved { address, .. } = events.recv().await.unwrap() {
                return Transport::of(&address);
            }
        }
    };
    assert_eq!(timeout(DEADLINE, moved_to).await.unwrap(), Some(Transport::Quic));
    let carried = far.carried();
    for _ in 0..10 {
        let mut call = caller.range(server.peer, range(100), DEADLINE).await.unwrap();
        for block in &chain.blocks[1..] {
            assert_eq!(call.next().await, Some(Ok(block.clone())));
        }
    }
    assert_eq!(far.open(), 1);
    let one_reply: usize = chain.blocks[1..].iter().map(|block| block.len()).sum();
    let since = far.carried() - carried;
    assert!(since < one_reply / 2, "{since} bytes: more than the ends of the probes");

    for block in &chain.blocks[1..=4] {
        assert_eq!(unread.next().await, Some(Ok(block.clone())));
    }
    drop(unread);
    far.until_none_is_open().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn node_uses_tcp_where_nobody_answers_over_quic() {
    let chain = Arc::new(golden().until(FEW));
    let server = serve(chain.clone()).await;
    let far = FarTcp::to(&server, FAR).await;
    let silent = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
    let port = silent.local_addr().unwrap().port();
    let dead = format!("/ip4/127.0.0.1/udp/{port}/quic-v1/p2p/{}", server.peer);
    let dead: Multiaddr = dead.parse().unwrap();
    let mut settings = config(&[]);
    settings.peers.bootnodes = vec![dead, far.address.clone()];
    settings.download.block_deadline = DEADLINE;
    let node = TestNode::fresh(&chain, settings).await;
    node.node.start_sync(None).await.unwrap();
    node.until_synced().await;
    until_reached_over(&node, &server, Transport::Tcp).await;
    assert_eq!(node.node.status().peers[0].failures, 0);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn node_goes_on_over_the_other_transport_when_the_one_in_use_is_cut() {
    let chain = Arc::new(golden().until(1_000));
    let growing = Arc::new(Growing::new(chain.until(300)));
    let server = serve(growing.clone()).await;
    // Next to nothing is saved over QUIC, so that TCP is used.
    let near = FarTcp::to(&server, Duration::ZERO).await;
    let mut settings = config(&[]);
    settings.peers.bootnodes = vec![near.address.clone()];
    let node = TestNode::fresh(&chain, settings).await;
    node.node.start_sync(None).await.unwrap();
    node.until_height(300).await;
    until_reached_over(&node, &server, Transport::Tcp).await;

    node.node.peer_discovered(server.quic.clone()).unwrap();
    near.cut();
    until_reached_over(&node, &server, Transport::Quic).await;
    growing.grow(chain.until(1_000));
    assert_eq!(node.until_height(1_000).await.current_height, Height::new(1_000));
    node.stop().await;
}
