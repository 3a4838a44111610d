//! The block server alone, with the stream's end in the test's hands.

use std::{
    num::NonZeroU32,
    sync::atomic::{AtomicBool, Ordering},
};

use super::{window::Reader, *};
use crate::{
    adapters::libp2p::{
        ServingOptions,
        driver::Responder,
        exchange::{InboundRequest, ReplyWriter},
        serving::{BlockServer, REQUESTS_OPEN_MAX},
    },
    ports::Misuse,
    resilience::Allowance,
    wire::{
        request::{BlocksByRangeRequest, FixedMessage},
        response::{Chunk, ChunkDecoder, ChunkProgress, ResponseCode},
        vectors,
    },
};

fn request(start: u64, count: u64) -> Vec<u8> {
    BlocksByRangeRequest { start: Height::new(start), count }.encode_request()
}

/// A server of `source` that reads one piece at a time, and its reports.
fn server_with(source: &Arc<impl BlockSource>, options: ServingOptions) -> (BlockServer, Events) {
    let (sender, events) = Events::channel();
    let options = ServingOptions { reads_max: 1, ..options };
    (BlockServer::new(Arc::clone(source) as Arc<dyn BlockSource>, &options, sender), events)
}

fn server(source: &Arc<impl BlockSource>) -> BlockServer {
    server_with(source, ServingOptions::default()).0
}

/// Hands `body` to the server; the far end of the reply's stream.
fn ask(server: &BlockServer, peer: PeerId, body: Vec<u8>) -> Reader {
    let (reply, stream) = ReplyWriter::channel();
    tokio::spawn(server.respond(InboundRequest { peer, body, reply }));
    Reader::of(stream)
}

async fn whole(reader: Reader) -> Vec<u8> {
    let (bytes, written) = reader.end().await;
    written.unwrap();
    bytes
}

/// The blocks in a reply, and the refusal that ends it if there is one.
fn chunks(bytes: &[u8]) -> (Vec<Bytes>, Option<ResponseCode>) {
    let mut decoder = ChunkDecoder::for_blocks();
    let mut input = bytes;
    let (mut blocks, mut refusal) = (Vec::new(), None);
    while let Some(progress) = decoder.advance(&mut input).unwrap() {
        match progress {
            ChunkProgress::Header(_) => {}
            ChunkProgress::Chunk(Chunk::Body(block)) => blocks.push(block),
            ChunkProgress::Chunk(Chunk::Error(error)) => refusal = Some(error.code),
        }
    }
    decoder.finish().unwrap();
    (blocks, refusal)
}

async fn reply_to(source: &Arc<MemorySource>, body: Vec<u8>) -> (Vec<Bytes>, Option<ResponseCode>) {
    chunks(&whole(ask(&server(source), PeerId::random(), body)).await)
}

#[tokio::test]
async fn answers_byte_for_byte_as_the_real_node() {
    let recorded = vectors::file("blocks_by_range_1_20.stream.bin");
    let (blocks, _) = chunks(&recorded);
    let source = MemorySource::new(1, blocks);
    assert!(whole(ask(&server(&source), PeerId::random(), request(1, 20))).await == recorded);
}

#[tokio::test]
async fn serves_at_most_1024_blocks() {
    let source = MemorySource::new(1, vec![Bytes::from_static(b"block"); 1500]);
    for count in [1025, u64::MAX] {
        let (blocks, refusal) = reply_to(&source, request(7, count)).await;
        assert_eq!((blocks.len(), refusal), (1024, None));
    }
}

#[tokio::test]
async fn no_blocks_asked_for_is_an_empty_reply() {
    let source = MemorySource::filled(3, 10);
    assert_eq!(reply_to(&source, request(1, 0)).await, (Vec::new(), None));
}

#[tokio::test]
async fn heights_at_the_end_of_the_number_space_are_an_empty_reply() {
    let source = MemorySource::filled(3, 10);
    assert_eq!(reply_to(&source, request(u64::MAX, u64::MAX)).await, (Vec::new(), None));
}

#[tokio::test]
async fn heights_that_are_not_kept_are_refused() {
    let source = MemorySource::new(100, vec![Bytes::from_static(b"block"); 10]);
    let refused = (Vec::new(), Some(ResponseCode::ResourceUnavailable));
    assert_eq!(reply_to(&source, request(99, 5)).await, refused);
    assert_eq!(reply_to(&source, request(100, 5)).await.0.len(), 5);
}

#[tokio::test]
async fn a_malformed_request_is_refused() {
    let source = MemorySource::filled(3, 10);
    let good = request(1, 1);
    let cut = good[..good.len() - 1].to_vec();
    let longer = [&good[..], &[0]].concat();
    for bad in [Vec::new(), vec![16], vec![0xff; 200], cut, longer] {
        let refused = (Vec::new(), Some(ResponseCode::InvalidRequest));
        assert_eq!(reply_to(&source, bad).await, refused);
    }
}

#[tokio::test]
async fn a_block_too_large_for_the_protocol_ends_the_reply_with_an_error() {
    let small = Bytes::from_static(b"small");
    let large = Bytes::from(vec![0; 1024 * 1024 + 1]);
    let source = MemorySource::new(1, vec![small.clone(), large, small.clone()]);
    let (blocks, refusal) = reply_to(&source, request(1, 3)).await;
    assert_eq!((blocks, refusal), (vec![small], Some(ResponseCode::ResourceUnavailable)));
}

struct BrokenSource {
    panics: AtomicBool,
}

impl BlockSource for BrokenSource {
    fn head(&self) -> BlockRef {
        BlockRef { height: Height::new(9), root: BlockRoot::ZERO }
    }

    fn oldest(&self) -> Height {
        Height::GENESIS
    }

    fn read(&self, _: Height, _: usize, _: usize) -> Result<Vec<Bytes>, ChainError> {
        assert!(!self.panics.load(Ordering::Relaxed), "planted");
        Err(ChainError::Poisoned)
    }
}

#[tokio::test]
async fn a_source_that_fails_or_panics_is_a_server_error() {
    for panics in [false, true] {
        let source = Arc::new(BrokenSource { panics: AtomicBool::new(panics) });
        let reply = whole(ask(&server(&source), PeerId::random(), request(1, 3))).await;
        assert_eq!(chunks(&reply), (Vec::new(), Some(ResponseCode::ServerError)));
    }
}

#[tokio::test(start_paused = true)]
async fn who_reads_gets_everything_at_once_beside_64_peers_that_read_nothing() {
    let source = MemorySource::filled(200, 3_000);
    let server = server(&source);
    let mut unread = Vec::new();
    for _ in 0..64 {
        let peer = PeerId::random();
        unread.extend((0..REQUESTS_OPEN_MAX).map(|_| ask(&server, peer, request(1, 200))));
    }
    let begun = tokio::time::Instant::now();
    for _ in 0..20 {
        let reply = whole(ask(&server, PeerId::random(), request(1, 200))).await;
        assert!(chunks(&reply).0 == source.blocks);
    }
    assert_eq!(begun.elapsed(), Duration::ZERO, "it has waited for a stream that takes nothing");
    // A few pieces of each of the others, until they are given back.
    let blocks = source.reads.lock().unwrap().iter().map(|(_, count)| count).sum::<usize>();
    let held = (blocks - 20 * 204) * 3_000;
    assert!(held <= 64 * 640 * 1024, "{held} bytes are held for peers that do not read");
    drop(unread);
}

#[tokio::test]
async fn a_peer_cannot_take_the_turns_of_others() {
    let source = MemorySource::filled(200, 3_000);
    let server = server(&source);
    let greedy = PeerId::random();
    let unread: Vec<_> = (0..32).map(|_| ask(&server, greedy, request(1, 200))).collect();
    tokio::task::yield_now().await;
    let modest = whole(ask(&server, PeerId::random(), request(1, 200))).await;
    assert!(chunks(&modest).0 == source.blocks);
    for reader in unread {
        assert!(chunks(&whole(reader).await).0 == source.blocks);
    }
}

#[tokio::test(start_paused = true)]
async fn replies_that_a_peer_has_forgotten_do_not_delay_those_it_reads_for_long() {
    // The largest blocks: one is more than may be held for a peer.
    let block = |seed: u8| Bytes::from(vec![seed; 1 << 20]);
    let source = MemorySource::new(1, (0..4).map(block).collect());
    let server = server(&source);
    let peer = PeerId::random();
    let forgotten: Vec<_> = (0..20).map(|_| ask(&server, peer, request(1, 4))).collect();
    let begun = tokio::time::Instant::now();
    let reply = whole(ask(&server, peer, request(1, 4))).await;
    assert!(chunks(&reply).0 == source.blocks);
    assert!(begun.elapsed() < Duration::from_secs(11), "{:?}", begun.elapsed());
    // One that is read after all is as complete as any.
    for reader in forgotten {
        assert!(chunks(&whole(reader).await).0 == source.blocks);
    }
}

#[tokio::test(start_paused = true)]
async fn reply_that_is_taken_slowly_and_by_odd_parts_is_complete() {
    let source = MemorySource::filled(200, 3_000);
    let server = server(&source);
    for step in [9_001, 50_003, 200_000] {
        let slow = ask(&server, PeerId::random(), request(1, 200));
        while !slow.has_ended() {
            tokio::time::sleep(Duration::from_secs(20)).await;
            slow.take(step);
        }
        assert!(chunks(&whole(slow).await).0 == source.blocks);
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_stalled_stream_gave_back_is_paid_once() {
    let source = MemorySource::new(1, vec![Bytes::from(vec![7; 1_000]); 1024]);
    let per_peer = ServingOptions::PER_PEER_OF_OLD_NODES;
    let options = ServingOptions { per_peer, ..ServingOptions::default() };
    let (server, _events) = server_with(&source, options);
    let peer = PeerId::random();
    let reader = ask(&server, peer, request(1, 1024));
    for _ in 0..50 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        reader.take(10);
    }
    let begun = tokio::time::Instant::now();
    assert_eq!(chunks(&whole(reader).await).0.len(), 1024);
    assert_eq!(begun.elapsed(), Duration::ZERO, "a quota is enough for all of it");
}

#[tokio::test]
async fn a_reader_that_left_gives_its_turn_back() {
    let source = MemorySource::filled(200, 3_000);
    let server = server(&source);
    let left = ask(&server, PeerId::random(), request(1, 200));
    left.take(1);
    while left.taken().is_empty() {
        tokio::task::yield_now().await;
    }
    let left_while_waiting = ask(&server, PeerId::random(), request(1, 200));
    drop((left, left_while_waiting));
    let next = whole(ask(&server, PeerId::random(), request(1, 200))).await;
    assert!(chunks(&next).0 == source.blocks);
}

fn misuse(event: &NetworkEvent) -> Option<(PeerId, Misuse, u32)> {
    if let NetworkEvent::Misused { peer, misuse, times } = event {
        Some((*peer, *misuse, *times))
    } else {
        None
    }
}

#[tokio::test(start_paused = true)]
async fn more_requests_than_anybody_needs_are_refused_at_once_and_reported() {
    let source = MemorySource::filled(200, 3_000);
    let (server, mut events) = server_with(&source, ServingOptions::default());
    let greedy = PeerId::random();
    let open: Vec<_> =
        (0..REQUESTS_OPEN_MAX).map(|_| ask(&server, greedy, request(1, 200))).collect();
    let begun = tokio::time::Instant::now();
    for _ in 0..100 {
        let refused = whole(ask(&server, greedy, request(1, 200))).await;
        assert_eq!(chunks(&refused), (Vec::new(), Some(ResponseCode::RateLimited)));
    }
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert_eq!(events.find(misuse).await, (greedy, Misuse::TooManyRequests, 1));
    assert_eq!(events.find(misuse).await, (greedy, Misuse::TooManyRequests, 99));
    // What it asked for before is served all the same.
    for reader in open {
        assert!(chunks(&whole(reader).await).0 == source.blocks);
    }
}

#[tokio::test(start_paused = true)]
async fn malformed_requests_are_reported() {
    let source = MemorySource::filled(3, 10);
    let (server, mut events) = server_with(&source, ServingOptions::default());
    let peer = PeerId::random();
    for _ in 0..3 {
        whole(ask(&server, peer, vec![1, 2, 3])).await;
    }
    assert_eq!(events.find(misuse).await, (peer, Misuse::MalformedRequest, 1));
    assert_eq!(events.find(misuse).await, (peer, Misuse::MalformedRequest, 2));
    assert!(source.reads.lock().unwrap().is_empty(), "nothing was read for them");
}

#[tokio::test(start_paused = true)]
async fn quota_of_a_peer_paces_its_replies_and_cuts_none() {
    let source = MemorySource::new(1, vec![Bytes::from_static(b"block"); 1024]);
    let per_peer = ServingOptions::PER_PEER_OF_OLD_NODES;
    let options = ServingOptions { per_peer, ..ServingOptions::default() };
    let (server, _events) = server_with(&source, options);
    let peer = PeerId::random();
    let begun = tokio::time::Instant::now();
    let first = whole(ask(&server, peer, request(1, 1024))).await;
    assert_eq!(chunks(&first).0.len(), 1024);
    assert_eq!(begun.elapsed(), Duration::ZERO, "what the quota allows comes at once");
    let second = ask(&server, peer, request(1, 1024));
    second.take(usize::MAX);
    let (mut taken, mut last) = (0, begun.elapsed());
    while !second.has_ended() {
        tokio::time::sleep(Duration::from_millis(5)).await;
        if second.taken().len() > taken {
            (taken, last) = (second.taken().len(), begun.elapsed());
        }
        let gap = begun.elapsed() - last;
        assert!(gap < Duration::from_millis(200), "nothing came for {gap:?}");
    }
    assert_eq!(chunks(&second.taken()), (source.blocks.clone(), None));
    let took = begun.elapsed().as_secs_f64();
    assert!((9.8..=10.2).contains(&took), "{took} s for 1024 blocks at 1024 in 10 s");
    // Another peer has a quota of its own.
    let begun = tokio::time::Instant::now();
    whole(ask(&server, PeerId::random(), request(1, 1024))).await;
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn quota_of_requests_paces_them() {
    let source = MemorySource::filled(3, 10);
    let per_peer = Allowance { requests: NonZeroU32::new(100), ..Allowance::UNLIMITED };
    let options = ServingOptions { per_peer, ..ServingOptions::default() };
    let (server, _events) = server_with(&source, options);
    let (peer, begun) = (PeerId::random(), tokio::time::Instant::now());
    for start in (1..=4).cycle().take(300) {
        let (blocks, refusal) = chunks(&whole(ask(&server, peer, request(start, 1))).await);
        assert_eq!((blocks.len(), refusal), (usize::from(start < 4), None));
    }
    let took = begun.elapsed().as_secs_f64();
    assert!((19.8..=20.2).contains(&took), "{took} s for 300 requests at 100 in 10 s");
}

#[tokio::test(start_paused = true)]
async fn quota_of_all_peers_is_divided_alike_however_much_each_asks_for() {
    let source = MemorySource::new(1, vec![Bytes::from_static(b"block"); 1024]);
    let overall = Allowance { blocks: NonZeroU32::new(10_000), ..Allowance::UNLIMITED };
    let options = ServingOptions { overall, ..ServingOptions::default() };
    let (server, _events) = server_with(&source, options);
    let server = Arc::new(server);
    let count = |open: usize| {
        let (server, peer) = (Arc::clone(&server), PeerId::random());
        let blocks = Arc::new(Mutex::new(0));
        for _ in 0..open {
            let (server, blocks) = (Arc::clone(&server), Arc::clone(&blocks));
            tokio::spawn(async move {
                loop {
                    let reply = whole(ask(&server, peer, request(1, 128))).await;
                    *blocks.lock().unwrap() += chunks(&reply).0.len();
                }
            });
        }
        blocks
    };
    let served = [count(30), count(2), count(1), count(30)];
    tokio::time::sleep(Duration::from_secs(40)).await;
    let served = served.map(|blocks| *blocks.lock().unwrap());
    let all: usize = served.iter().sum();
    assert!((49_000..=51_000).contains(&all), "{all} in 40 s at 10,000 in 10 s, and as many first");
    for blocks in served {
        assert!(blocks * 10 >= all / 4 * 9, "{served:?}");
    }
}

/// A chain that another takes the place of when `until` reads were made.
struct Reorganised {
    chains: [Arc<MemorySource>; 2],
    until: usize,
    reads: Mutex<usize>,
}

impl Reorganised {
    fn now(&self) -> &MemorySource {
        &self.chains[usize::from(*self.reads.lock().unwrap() >= self.until)]
    }
}

impl BlockSource for Reorganised {
    fn head(&self) -> BlockRef {
        self.now().head()
    }

    fn oldest(&self) -> Height {
        self.now().oldest()
    }

    fn read(&self, start: Height, blocks: usize, bytes: usize) -> Result<Vec<Bytes>, ChainError> {
        let read = self.now().read(start, blocks, bytes);
        *self.reads.lock().unwrap() += 1;
        read
    }
}

#[tokio::test]
async fn reply_ends_where_the_chain_changes_under_it() {
    let old = MemorySource::filled(200, 3_000);
    for (common, kept) in [(0, 200), (60, 200), (60, 70), (150, 200), (199, 200), (200, 200)] {
        let mut blocks = old.blocks[..kept].to_vec();
        for block in &mut blocks[common..] {
            *block = Bytes::from(vec![7; 3_000]);
        }
        let new = MemorySource::new(1, blocks);
        for until in 0..8 {
            let chains = [Arc::clone(&old), Arc::clone(&new)];
            let source = Arc::new(Reorganised { chains, until, reads: Mutex::default() });
            let (blocks, refusal) =
                chunks(&whole(ask(&server(&source), PeerId::random(), request(1, 200))).await);
            assert_eq!(refusal, None);
            // All of one chain, so every block links to the one before.
            let of_one = [&old, &new].iter().any(|chain| chain.blocks.starts_with(&blocks));
            assert!(of_one, "{} blocks, {common} in common, after {until} reads", blocks.len());
            let whole = if until >= 5 { 200 } else { kept.min(common) };
            assert!(blocks.len() >= whole, "it ended at {} of {whole}", blocks.len());
        }
    }
}
