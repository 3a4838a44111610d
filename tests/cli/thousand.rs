//! A thousand requests open at one `serve` at once: all of them are answered, and its memory does
//! not grow with their number.

use std::{fs, sync::Arc};

use alys_sync::{
    adapters::libp2p::{Keypair, Libp2pOptions, Libp2pStarter},
    consensus::generate::{GenerateOptions, Transactions},
    ports::{
        BlockSource, ChainError, NetworkEvent, NetworkEvents, NetworkStarter as _, PeerNetwork,
        SystemClock,
    },
    resilience::{NetworkSlot, PeerCaller, RangeCall},
    types::{BlockRef, BlockRoot, Height, HeightRange, Multiaddr, PeerId},
};
use bytes::Bytes;
use futures::future::{join_all, poll_immediate};
use libp2p::multiaddr::Protocol;
use tokio::{sync::mpsc, time::timeout};

use crate::support::{Chain, DEADLINE, Running};

/// Peers that ask. Unit: peers. So each has 25 of 1,000 requests: a caller has at most 30 open at
/// a peer. The server takes 48 inbound connections.
const CLIENTS: usize = 40;

/// Blocks of the chain.
const BLOCKS: u64 = 64;

/// Blocks of a request. With the 34 kB of a block, half as much again as a window holds.
const ASKED: u64 = 12;

/// Unit: bytes. What a stream carries before its reader takes any of it: yamux's first window. A
/// reply that is longer cannot end unread.
const WINDOW: usize = 256 << 10;

/// How much the server's memory may grow for each open request more. Unit: bytes. Measured: 18 to
/// 20 KiB, which is the stream with its buffers. Too low: fails by chance. Too high: misses
/// replies that are held without a turn: 400 KiB for a whole one, and 95 to 110 KiB as measured
/// where replies gave their turn back before the stream had taken all of them.
const GROWTH_PER_REQUEST_MAX: u64 = 64 << 10;

/// A client has no blocks.
struct NoBlocks;

impl BlockSource for NoBlocks {
    fn head(&self) -> BlockRef {
        BlockRef { height: Height::GENESIS, root: BlockRoot::ZERO }
    }

    fn oldest(&self) -> Height {
        Height::GENESIS
    }

    fn read(&self, _: Height, _: usize, _: usize) -> Result<Vec<Bytes>, ChainError> {
        Ok(Vec::new())
    }
}

struct Events(mpsc::UnboundedSender<NetworkEvent>);

impl NetworkEvents for Events {
    fn on_event(&self, event: NetworkEvent) {
        // Only the first one is waited for.
        let _ = self.0.send(event);
    }
}

/// A peer with a connection to the server.
struct Client {
    caller: PeerCaller,
    server: PeerId,
    _network: Arc<dyn PeerNetwork>,
}

impl Client {
    async fn connect(address: &Multiaddr) -> Self {
        let Some(Protocol::P2p(server)) = address.iter().last() else { panic!("{address}") };
        let starter = Libp2pStarter::new(Libp2pOptions::default(), Keypair::generate_ed25519());
        let (sender, mut events) = mpsc::unbounded_channel();
        let network = starter.start(Arc::new(NoBlocks), Arc::new(Events(sender))).await.unwrap();
        network.dial(vec![address.clone()]);
        let first = timeout(DEADLINE, events.recv()).await.expect("no connection").unwrap();
        assert!(matches!(first, NetworkEvent::Connected { .. }), "{first:?}");
        let slot = NetworkSlot::default();
        slot.publish(&network);
        let caller = PeerCaller::outside_a_node(slot, Arc::new(SystemClock::start()));
        Self { caller, server, _network: network }
    }

    /// A request that the server has accepted, of which nothing is read yet.
    async fn ask(&self, start: u64) -> OpenRequest {
        let range = HeightRange::new(Height::new(start), ASKED).unwrap();
        let call = self.caller.range(self.server, range, DEADLINE).await.unwrap();
        OpenRequest { call, start, came: Vec::new() }
    }
}

struct OpenRequest {
    call: RangeCall,
    start: u64,
    came: Vec<Bytes>,
}

impl OpenRequest {
    /// Whether the reply goes on, as far as one look tells.
    async fn is_open(&mut self) -> bool {
        match poll_immediate(self.call.next()).await {
            None => true,
            Some(Some(Ok(block))) => {
                self.came.push(block);
                true
            }
            Some(None | Some(Err(_))) => false,
        }
    }

    /// Reads the reply to its end, which must be the blocks asked for and nothing else.
    async fn read(mut self, chain: &Chain) {
        while let Some(block) = self.call.next().await {
            self.came.push(block.unwrap());
        }
        let first = usize::try_from(self.start).unwrap();
        let asked = chain.blocks[first..].iter().take(usize::try_from(ASKED).unwrap());
        assert!(self.came.iter().eq(asked), "{} blocks from {first} on", self.came.len());
    }
}

/// Opens `requests` requests at once, as many from each client, and then reads all the replies.
///
/// The server stands still until it has all of them. It gives up a reply of which nothing is read
/// for half a minute, and on a busy machine it could fill the first that early.
async fn ask_at_once(server: &Running, clients: &[Client], chain: &Chain, requests: usize) {
    server.signal("STOP").await;
    let starts = (1..=BLOCKS - ASKED).cycle().take(requests);
    let asking = clients.iter().cycle().zip(starts);
    let mut open = join_all(asking.map(|(client, start)| client.ask(start))).await;
    let mut open_count = 0;
    for request in &mut open {
        open_count += usize::from(request.is_open().await);
    }
    assert_eq!(open_count, requests, "all of them are open at once");
    server.signal("CONT").await;
    join_all(open.into_iter().map(|request| request.read(chain))).await;
}

/// The most memory that `process` has held. Unit: bytes.
fn peak_bytes(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kib: u64 = peak.trim().strip_suffix(" kB").unwrap().parse().unwrap();
    kib * 1024
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_of_1000_open_requests_are_answered_and_take_little_more_memory_than_100() {
    let transactions = Transactions::Fixed { per_block: 32, bytes: 512 };
    let options = GenerateOptions { blocks: BLOCKS, transactions, ..GenerateOptions::default() };
    let chain = Chain::with(options);
    let (server, address) = Running::serving(&chain).await;
    let address: Multiaddr = address.parse().unwrap();
    let clients = join_all((0..CLIENTS).map(|_| Client::connect(&address))).await;
    let smallest = chain.blocks[1..].iter().map(Vec::len).min().unwrap();
    assert!(smallest * usize::try_from(ASKED).unwrap() > WINDOW, "no reply ends unread");

    ask_at_once(&server, &clients, &chain, 100).await;
    let of_100 = peak_bytes(server.id());
    ask_at_once(&server, &clients, &chain, 1_000).await;
    let growth = peak_bytes(server.id()).saturating_sub(of_100) / 900;
    assert!(growth < GROWTH_PER_REQUEST_MAX, "{growth} bytes for each more");
}
