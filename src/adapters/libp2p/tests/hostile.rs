//! Replies of servers that are broken, lazy or hostile.

use futures::future::poll_immediate;

use super::*;
use crate::wire::{
    chain_file::ChainFileReader,
    framing::FrameError,
    response::{
        ChunkError, ErrorChunk, ErrorText, ResponseCode, encode_block_chunk, encode_error_chunk,
    },
    vectors,
};

fn chunk(block: &'static [u8]) -> Vec<u8> {
    encode_block_chunk(block).unwrap()
}

/// What a request for 3 blocks from height 1 on comes to when the reply is `bytes`, then the end.
async fn fetch_from_reply_of(bytes: Vec<u8>) -> Fetched {
    let (server, client) = raw_pair(move |request| {
        let bytes = bytes.clone();
        Box::pin(async move {
            // The peer may refuse the rest.
            let _ = request.reply.write(bytes).await;
        })
    })
    .await;
    client.fetch(server.peer_id(), 1, 3).await
}

fn blocks(blocks: &[&'static [u8]], error: Option<RequestError>) -> Fetched {
    Fetched { blocks: blocks.iter().map(|block| Bytes::from_static(block)).collect(), error }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_a_reply_recorded_from_the_real_node() {
    let recorded = vectors::file("blocks_by_range_1_20.stream.bin");
    let chain: Vec<Bytes> =
        ChainFileReader::new(vectors::file("chain.bin").as_slice()).map(Result::unwrap).collect();
    let (server, client) = raw_pair(move |request| {
        let recorded = recorded.clone();
        Box::pin(async move {
            for piece in recorded.chunks(97) {
                request.reply.write(piece.to_vec()).await.unwrap();
            }
        })
    })
    .await;
    let fetched = client.fetch(server.peer_id(), 1, 20).await;
    assert_eq!((fetched.blocks.len(), fetched.error), (20, None));
    assert!(fetched.blocks.iter().all(|block| chain.contains(block)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_block_and_a_close_is_a_short_reply() {
    let (server, client) = raw_pair(|request| {
        Box::pin(async move {
            request.reply.write(chunk(b"one")).await.unwrap();
        })
    })
    .await;
    for _ in 0..100 {
        let fetched = client.fetch(server.peer_id(), 1, 24).await;
        assert_eq!(fetched, blocks(&[b"one"], None));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_and_a_close_is_an_empty_reply() {
    assert_eq!(fetch_from_reply_of(Vec::new()).await, blocks(&[], None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_server_holds_up_nobody_else() {
    let (server, client) = raw_pair(|request| {
        Box::pin(async move {
            let start_one = request.body == client_request(1, 2);
            if start_one {
                request.reply.gone().await;
            } else {
                request.reply.write(chunk(b"other")).await.unwrap();
            }
        })
    })
    .await;
    let to = server.peer_id();
    let mut silent = client.network.request_range(to, range(1, 2)).await.unwrap();
    assert_eq!(client.fetch(to, 9, 2).await, blocks(&[b"other"], None));
    assert!(poll_immediate(silent.next()).await.is_none());
}

fn client_request(start: u64, count: u64) -> Vec<u8> {
    use crate::wire::request::{BlocksByRangeRequest, FixedMessage};
    BlocksByRangeRequest { start: Height::new(start), count }.encode_request()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocks_before_a_cut_chunk_are_delivered() {
    let mut reply = chunk(b"good");
    let second = chunk(b"lost");
    reply.extend_from_slice(&second[..second.len() - 1]);
    let cut = blocks(&[b"good"], Some(RequestError::Cut));
    assert_eq!(fetch_from_reply_of(reply).await, cut);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_connection_in_the_middle_of_a_chunk_is_a_cut() {
    let (server, client) = raw_pair(|request| {
        Box::pin(async move {
            request.reply.write(chunk(b"good")).await.unwrap();
            request.reply.write(chunk(b"lost")[..8].to_vec()).await.unwrap();
            request.reply.gone().await;
        })
    })
    .await;
    let to = server.peer_id();
    let mut stream = client.network.request_range(to, range(1, 3)).await.unwrap();
    assert_eq!(stream.next().await.unwrap().unwrap(), Bytes::from_static(b"good"));
    server.network().disconnect(client.peer);
    let last = timeout(HANG, stream.next()).await.unwrap();
    assert_eq!(last, Some(Err(RequestError::Cut)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_is_broken_framing() {
    for garbage in [&[0, 3, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9][..], &[0; 5000]] {
        let fetched = fetch_from_reply_of(garbage.to_vec()).await;
        assert!(matches!(fetched.error, Some(RequestError::Framing(_))), "{fetched:?}");
        assert!(fetched.blocks.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_chunk_is_a_refusal_with_its_text() {
    let text = "Full up\u{7}";
    let refusal = ErrorChunk { code: ResponseCode::ServerError, text: ErrorText::new(text) };
    let reply = [chunk(b"good"), encode_error_chunk(&refusal)].concat();
    let fetched = fetch_from_reply_of(reply).await;
    let text = "Full up\u{fffd}".to_owned();
    let error = RequestError::Refused { code: ResponseCode::ServerError, text };
    assert_eq!(fetched, blocks(&[b"good"], Some(error)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limit_of_a_peer_comes_with_the_time_it_says_to_wait() {
    let text = ErrorText::new("Wait 9.5s");
    let refusal = ErrorChunk { code: ResponseCode::RateLimited, text };
    let fetched = fetch_from_reply_of(encode_error_chunk(&refusal)).await;
    let wait = Some(Duration::from_millis(9_500));
    assert_eq!(fetched, blocks(&[], Some(RequestError::RateLimited { wait })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_oversized_announcement_is_refused_at_its_length() {
    // Success, then a length of 2^35 - 1, and nothing of the body.
    let (server, client) = raw_pair(|request| {
        Box::pin(async move {
            request.reply.write(vec![0, 0xff, 0xff, 0xff, 0xff, 0x7f]).await.unwrap();
            request.reply.gone().await;
        })
    })
    .await;
    let fetched = client.fetch(server.peer_id(), 1, 3).await;
    let Some(RequestError::Framing(ChunkError::Frame(error))) = fetched.error else {
        panic!("{fetched:?}");
    };
    assert!(matches!(error, FrameError::LengthOutOfRange { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_blocks_than_asked_for_end_the_reply_with_an_error() {
    let reply = [chunk(b"a"), chunk(b"b"), chunk(b"c"), chunk(b"d")].concat();
    let expected = blocks(&[b"a", b"b", b"c"], Some(RequestError::TooManyBlocks { asked: 3 }));
    assert_eq!(fetch_from_reply_of(reply).await, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endless_reply_is_left_after_what_was_asked_for() {
    let (server, client) = raw_pair(|request| {
        Box::pin(async move { while request.reply.write(chunk(b"again")).await.is_ok() {} })
    })
    .await;
    let fetched = client.fetch(server.peer_id(), 1, 3).await;
    assert_eq!(fetched.error, Some(RequestError::TooManyBlocks { asked: 3 }));
    assert_eq!(fetched.blocks.len(), 3);
}
