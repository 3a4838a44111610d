//! How peers behave that are not full, prompt and honest: one function each.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use alys_sync::{
    adapters::libp2p::raw_server::{RawReply, RawRequest},
    wire::{
        request::{BlocksByRangeRequest, FixedMessage as _},
        response::{ErrorChunk, ErrorText, ResponseCode, encode_block_chunk, encode_error_chunk},
    },
};
use bytes::Bytes;
use futures::{FutureExt as _, future::BoxFuture};
#[cfg(feature = "quic")]
use tokio::sync::watch;

use super::TestChain;

/// Counts requests, and the most that were open at once.
#[derive(Default)]
pub struct Counter {
    pub requests: AtomicUsize,
    pub open: AtomicUsize,
    pub open_max: AtomicUsize,
}

impl Counter {
    fn enter(&self) {
        self.requests.fetch_add(1, Ordering::SeqCst);
        let open = self.open.fetch_add(1, Ordering::SeqCst) + 1;
        self.open_max.fetch_max(open, Ordering::SeqCst);
    }

    fn leave(&self) {
        self.open.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The blocks an honest peer would send.
fn honest(chain: &TestChain, request: &RawRequest) -> Vec<Bytes> {
    let asked = BlocksByRangeRequest::decode_request(&request.body).unwrap();
    let start = usize::try_from(asked.start.get()).unwrap();
    let count = usize::try_from(asked.count).unwrap();
    chain.blocks.iter().skip(start).take(count).cloned().collect()
}

async fn send(reply: &RawReply, block: &[u8]) {
    // A peer that no longer listens is the end of this reply.
    let _ = reply.write(encode_block_chunk(block).unwrap()).await;
}

/// Today's servers: one block a request, however many are asked.
pub fn one_block(
    chain: Arc<TestChain>,
    counter: Arc<Counter>,
) -> impl Fn(RawRequest) -> BoxFuture<'static, ()> + Send + Sync + 'static {
    move |request| {
        let (chain, counter) = (Arc::clone(&chain), Arc::clone(&counter));
        async move {
            counter.enter();
            // Requests really overlap: a reply takes a few turns.
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
            if let Some(block) = honest(&chain, &request).first() {
                send(&request.reply, block).await;
            }
            drop(request);
            counter.leave();
        }
        .boxed()
    }
}

/// Answers single blocks at once, and ranges when `gate` is open; tells how many have waited.
#[cfg(feature = "quic")]
pub fn gated(
    chain: Arc<TestChain>,
    gate: watch::Receiver<bool>,
    waits: watch::Sender<usize>,
) -> impl Fn(RawRequest) -> BoxFuture<'static, ()> + Send + Sync + 'static {
    let waits = Arc::new(waits);
    move |request| {
        let (chain, mut gate) = (Arc::clone(&chain), gate.clone());
        let waits = Arc::clone(&waits);
        async move {
            let blocks = honest(&chain, &request);
            if blocks.len() > 1 {
                waits.send_modify(|waits| *waits += 1);
                // A test that has ended lets them go.
                let _ = gate.wait_for(|open| *open).await;
            }
            for block in &blocks {
                send(&request.reply, block).await;
            }
        }
        .boxed()
    }
}

/// Sends what `change` makes of each honest block at its height.
pub fn changing<F>(
    chain: Arc<TestChain>,
    change: F,
) -> impl Fn(RawRequest) -> BoxFuture<'static, ()> + Send + Sync + 'static
where
    F: Fn(u64, Vec<u8>) -> Vec<u8> + Send + Sync + 'static,
{
    let change = Arc::new(change);
    move |request| {
        let (chain, change) = (Arc::clone(&chain), Arc::clone(&change));
        async move {
            let start = BlocksByRangeRequest::decode_request(&request.body).unwrap().start.get();
            for (height, block) in (start..).zip(honest(&chain, &request)) {
                send(&request.reply, &change(height, block.to_vec())).await;
            }
        }
        .boxed()
    }
}

/// Answers block 1 honestly, as a peer must to be asked anything, and nothing else, ever.
pub fn silent(
    chain: Arc<TestChain>,
) -> impl Fn(RawRequest) -> BoxFuture<'static, ()> + Send + Sync + 'static {
    move |request| {
        let chain = Arc::clone(&chain);
        async move {
            let blocks = honest(&chain, &request);
            if let [only] = &blocks[..] {
                send(&request.reply, only).await;
            } else {
                request.reply.gone().await;
            }
        }
        .boxed()
    }
}

/// Sends a quarter of the blocks asked for, and then hangs until nobody waits for more.
pub fn hanging(
    chain: Arc<TestChain>,
) -> impl Fn(RawRequest) -> BoxFuture<'static, ()> + Send + Sync + 'static {
    move |request| {
        let chain = Arc::clone(&chain);
        async move {
            let blocks = honest(&chain, &request);
            let sent = blocks.len().div_ceil(4);
            for block in &blocks[..sent] {
                send(&request.reply, block).await;
            }
            if sent < blocks.len() {
                request.reply.gone().await;
            }
        }
        .boxed()
    }
}

/// Serves so many blocks, then nobody for a while, which it says, and then everybody.
pub fn limiting(
    chain: Arc<TestChain>,
    blocks_max: usize,
    refusals: Arc<AtomicUsize>,
) -> impl Fn(RawRequest) -> BoxFuture<'static, ()> + Send + Sync + 'static {
    const CLOSED_FOR: Duration = Duration::from_millis(300);
    // What was served, and since when it is closed.
    let state = Arc::new(Mutex::new((0, None::<Instant>)));
    move |request| {
        let (chain, state) = (Arc::clone(&chain), Arc::clone(&state));
        let refusals = Arc::clone(&refusals);
        async move {
            let blocks = honest(&chain, &request);
            let wait = {
                let (served, closed_at) = &mut *state.lock().unwrap();
                *served += blocks.len();
                if *served > blocks_max {
                    closed_at.get_or_insert_with(Instant::now);
                }
                closed_at.map(|at| CLOSED_FOR.saturating_sub(at.elapsed()))
            };
            let Some(wait) = wait.filter(|wait| !wait.is_zero()) else {
                for block in &blocks {
                    send(&request.reply, block).await;
                }
                return;
            };
            refusals.fetch_add(1, Ordering::SeqCst);
            let text = ErrorText::new(&format!("Wait {wait:?}"));
            let refusal = ErrorChunk { code: ResponseCode::RateLimited, text };
            // A peer that no longer listens is the end of this reply.
            let _ = request.reply.write(encode_error_chunk(&refusal)).await;
        }
        .boxed()
    }
}

/// Sends half of the blocks asked for, then half a chunk, then closes.
pub fn cut(
    chain: Arc<TestChain>,
) -> impl Fn(RawRequest) -> BoxFuture<'static, ()> + Send + Sync + 'static {
    move |request| {
        let chain = Arc::clone(&chain);
        async move {
            let blocks = honest(&chain, &request);
            let half = blocks.len().div_ceil(2);
            for block in &blocks[..half] {
                send(&request.reply, block).await;
            }
            if let Some(block) = blocks.get(half) {
                let chunk = encode_block_chunk(block).unwrap();
                let _ = request.reply.write(chunk[..chunk.len() / 2].to_vec()).await;
            }
        }
        .boxed()
    }
}

/// Closes every stream without a word.
pub fn empty() -> impl Fn(RawRequest) -> BoxFuture<'static, ()> + Send + Sync + 'static {
    |request| async move { drop(request) }.boxed()
}
