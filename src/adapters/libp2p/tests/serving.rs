//! The block server alone, with the stream's end in the test's hands.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::{
    adapters::libp2p::{
        block_server::BlockServer,
        driver::Responder,
        exchange::{InboundRequest, Reply, ReplyWriter},
    },
    wire::{
        request::{BlocksByRangeRequest, FixedMessage},
        response::{Chunk, ChunkDecoder, ChunkProgress, ResponseCode},
        vectors,
    },
};

fn request(start: u64, count: u64) -> Vec<u8> {
    BlocksByRangeRequest { start: Height::new(start), count }.encode_request()
}

/// Hands `body` to the server; the pieces of the reply.
fn ask(server: &BlockServer, peer: PeerId, body: Vec<u8>) -> mpsc::Receiver<Vec<u8>> {
    let (reply, stream) = ReplyWriter::channel();
    tokio::spawn(server.respond(InboundRequest { peer, body, reply }));
    let Reply::Pieces(pieces) = stream else { panic!("a reply is made of pieces") };
    pieces
}

async fn whole(mut pieces: mpsc::Receiver<Vec<u8>>) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(piece) = timeout(HANG, pieces.recv()).await.expect("the reply hangs") {
        bytes.extend_from_slice(&piece);
    }
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
    let server = BlockServer::new(Arc::clone(source) as Arc<dyn BlockSource>, 4);
    chunks(&whole(ask(&server, PeerId::random(), body)).await)
}

#[tokio::test]
async fn answers_byte_for_byte_as_the_real_node() {
    let recorded = vectors::file("blocks_by_range_1_20.stream.bin");
    let (blocks, _) = chunks(&recorded);
    let source = MemorySource::new(1, blocks);
    let server = BlockServer::new(source, 4);
    assert!(whole(ask(&server, PeerId::random(), request(1, 20))).await == recorded);
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
        let server = BlockServer::new(source, 4);
        let reply = whole(ask(&server, PeerId::random(), request(1, 3))).await;
        assert_eq!(chunks(&reply), (Vec::new(), Some(ResponseCode::ServerError)));
    }
}

#[tokio::test]
async fn replies_over_the_limit_wait_and_are_complete() {
    let source = MemorySource::filled(200, 3_000);
    let server = BlockServer::new(Arc::clone(&source) as Arc<dyn BlockSource>, 2);
    let [a, b, c] = [(); 3].map(|()| PeerId::random());
    let mut unread_a = ask(&server, a, request(1, 200));
    let mut unread_b = ask(&server, b, request(1, 200));
    let first = [unread_a.recv().await.unwrap(), unread_b.recv().await.unwrap()];
    let mut waiting = ask(&server, c, request(1, 200));
    tokio::task::yield_now().await;
    assert!(waiting.try_recv().is_err(), "both turns are taken");
    let rest_a = whole(unread_a).await;
    assert!(chunks(&[&first[0][..], &rest_a].concat()).0 == source.blocks);
    assert!(chunks(&whole(waiting).await).0 == source.blocks);
    drop(unread_b);
}

#[tokio::test]
async fn a_peer_cannot_take_the_turns_of_others() {
    let source = MemorySource::filled(200, 3_000);
    let server = BlockServer::new(Arc::clone(&source) as Arc<dyn BlockSource>, 8);
    let greedy = PeerId::random();
    let unread: Vec<_> = (0..32).map(|_| ask(&server, greedy, request(1, 200))).collect();
    tokio::task::yield_now().await;
    let modest = whole(ask(&server, PeerId::random(), request(1, 200))).await;
    assert!(chunks(&modest).0 == source.blocks);
    for pieces in unread {
        assert!(chunks(&whole(pieces).await).0 == source.blocks);
    }
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_nobody_takes_keeps_its_turn_though_all_of_it_is_handed_over() {
    let source = MemorySource::filled(3, 3_000);
    let server = BlockServer::new(Arc::clone(&source) as Arc<dyn BlockSource>, 1);
    let untaken = ask(&server, PeerId::random(), request(1, 3));
    let mut waiting = ask(&server, PeerId::random(), request(1, 3));
    let early = timeout(Duration::from_secs(1), waiting.recv()).await;
    assert!(early.is_err(), "the one turn is taken");
    for pieces in [untaken, waiting] {
        assert!(chunks(&whole(pieces).await).0 == source.blocks);
    }
}

#[tokio::test]
async fn a_reader_that_left_gives_its_turn_back() {
    let source = MemorySource::filled(200, 3_000);
    let server = BlockServer::new(Arc::clone(&source) as Arc<dyn BlockSource>, 1);
    let mut left = ask(&server, PeerId::random(), request(1, 200));
    left.recv().await.unwrap();
    let left_while_waiting = ask(&server, PeerId::random(), request(1, 200));
    drop((left, left_while_waiting));
    let next = whole(ask(&server, PeerId::random(), request(1, 200))).await;
    assert!(chunks(&next).0 == source.blocks);
}
