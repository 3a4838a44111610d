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
    ports::BlockSource,
    wire::{
        request::{BlocksByRangeRequest, FixedMessage as _},
        response::{ErrorChunk, ErrorText, ResponseCode, encode_block_chunk, encode_error_chunk},
    },
};
use bytes::Bytes;
use futures::{FutureExt as _, future::BoxFuture};
use tokio::{sync::watch, time::timeout};

use super::{DEADLINE, TestChain};

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

/// Today's servers: one block a request, however many are asked; ranges as `barrier` lets them.
pub fn one_block(
    chain: Arc<TestChain>,
    counter: Arc<Counter>,
    barrier: &Arc<Barrier>,
) -> impl Fn(RawRequest) -> BoxFuture<'static, ()> + Send + Sync + 'static {
    let barrier = Arc::clone(barrier);
    move |request| {
        let (chain, counter, barrier) =
            (Arc::clone(&chain), Arc::clone(&counter), Arc::clone(&barrier));
        async move {
            counter.enter();
            let asked = BlocksByRangeRequest::decode_request(&request.body).unwrap();
            if asked.count > 1 {
                barrier.pass(asked.start.get()).await;
            }
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

/// How far servers serve ranges, as a test has it: a sync comes so far, and no further before the
/// test says so, however long that takes.
pub struct Barrier {
    highest: watch::Sender<u64>,
    waiting: watch::Sender<usize>,
}

impl Barrier {
    /// Ranges are served up to this height. What goes beyond waits.
    pub fn at(height: u64) -> Arc<Self> {
        let highest = watch::Sender::new(height);
        Arc::new(Self { highest, waiting: watch::Sender::default() })
    }

    /// From now on it is at this height.
    pub fn move_to(&self, height: u64) {
        self.highest.send_replace(height);
    }

    /// From now on everything is served.
    pub fn open(&self) {
        self.move_to(u64::MAX);
    }

    /// Where it is.
    pub fn height(&self) -> u64 {
        *self.highest.borrow()
    }

    /// Waits until a request has met it.
    pub async fn until_met(&self) {
        let mut waiting = self.waiting.subscribe();
        let met = timeout(DEADLINE, waiting.wait_for(|waiting| *waiting > 0)).await;
        assert!(met.expect("no request comes to the barrier").is_ok());
    }

    async fn pass(&self, height: u64) {
        let mut highest = self.highest.subscribe();
        if *highest.borrow_and_update() < height {
            self.waiting.send_modify(|waiting| *waiting += 1);
            // The sender lives as long as this does.
            let _ = highest.wait_for(|highest| *highest >= height).await;
        }
    }
}

/// Answers single blocks at once, as for probes, and ranges as far as `barrier` lets it.
pub fn gated(
    source: Arc<dyn BlockSource>,
    barrier: &Arc<Barrier>,
) -> impl Fn(RawRequest) -> BoxFuture<'static, ()> + Send + Sync + 'static {
    let barrier = Arc::clone(barrier);
    move |request| {
        let (source, barrier) = (Arc::clone(&source), Arc::clone(&barrier));
        async move {
            let asked = BlocksByRangeRequest::decode_request(&request.body).unwrap();
            let count = usize::try_from(asked.count).unwrap();
            let blocks = source.read(asked.start, count, usize::MAX).unwrap();
            for (height, block) in (asked.start.get()..).zip(&blocks) {
                if blocks.len() > 1 {
                    barrier.pass(height).await;
                }
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
