use std::future::pending;

use futures::{FutureExt as _, stream};
use tokio::time::{Instant, sleep};

use super::*;
use crate::{
    doubles::{NetworkDouble, peer, stream_of},
    ports::SystemClock,
    types::Height,
    wire::response::{ChunkError, ResponseCode},
};

const DEADLINE: Duration = Duration::from_secs(8);

fn range(count: u64) -> HeightRange {
    HeightRange::new(Height::new(1), count).unwrap()
}

fn block(number: u8) -> Bytes {
    vec![number].into()
}

/// A caller over `network`, which the test keeps alive.
fn over(network: &Arc<NetworkDouble>) -> PeerCaller {
    let slot = NetworkSlot::default();
    slot.publish(&(Arc::clone(network) as Arc<dyn PeerNetwork>));
    PeerCaller::outside_a_node(slot, Arc::new(SystemClock::start()))
}

/// A network whose every reply has block after block, each after `pause`, without an end.
fn endless(pause: Duration) -> Arc<NetworkDouble> {
    NetworkDouble::new(move |_, _| {
        Ok(stream::unfold(0_u8, move |number| async move {
            sleep(pause).await;
            Some((Ok(block(number)), number.wrapping_add(1)))
        })
        .boxed())
    })
}

/// A network whose replies never say anything.
fn silent() -> Arc<NetworkDouble> {
    NetworkDouble::new(|_, _| Ok(stream::pending().boxed()))
}

const TIMED_OUT: RequestError = RequestError::TimedOut { waited: DEADLINE };

#[tokio::test(start_paused = true)]
async fn reply_arrives_in_order_and_ends_cleanly() {
    let network = NetworkDouble::new(|_, _| Ok(stream_of([Ok(block(1)), Ok(block(2))])));
    let mut call = over(&network).range(peer(1), range(5), DEADLINE).await.unwrap();
    assert_eq!(call.next().await, Some(Ok(block(1))));
    assert_eq!(call.next().await, Some(Ok(block(2))));
    assert_eq!(call.next().await, None);
    assert_eq!(call.next().await, None, "the end stays the end");
    assert_eq!(network.asked(), [(peer(1), range(5))]);
}

#[tokio::test(start_paused = true)]
async fn request_that_is_not_sent_in_time_has_failed() {
    let network = NetworkDouble::later(|_, _| pending().boxed());
    let begun = Instant::now();
    let call = over(&network).range(peer(1), range(5), DEADLINE).await;
    assert_eq!(call.err(), Some(TIMED_OUT));
    assert_eq!(begun.elapsed(), DEADLINE);
}

#[tokio::test(start_paused = true)]
async fn first_block_must_arrive_within_the_deadline() {
    let network = silent();
    let mut call = over(&network).range(peer(1), range(5), DEADLINE).await.unwrap();
    let begun = Instant::now();
    assert_eq!(call.next().await, Some(Err(TIMED_OUT)));
    assert_eq!(begun.elapsed(), DEADLINE);
    assert_eq!(call.next().await, None, "nothing after an error");
    assert_eq!(begun.elapsed(), DEADLINE, "and no second wait");
}

#[tokio::test(start_paused = true)]
async fn each_next_block_has_the_whole_deadline_and_no_more() {
    let just_in_time = DEADLINE - Duration::from_millis(1);
    let network = endless(just_in_time);
    let mut call = over(&network).range(peer(1), range(10), DEADLINE).await.unwrap();
    for number in 0..10 {
        assert_eq!(call.next().await, Some(Ok(block(number))));
    }
    let network =
        NetworkDouble::new(|_, _| Ok(stream_of([Ok(block(1))]).chain(stream::pending()).boxed()));
    let mut call = over(&network).range(peer(1), range(2), DEADLINE).await.unwrap();
    assert_eq!(call.next().await, Some(Ok(block(1))));
    let begun = Instant::now();
    assert_eq!(call.next().await, Some(Err(TIMED_OUT)));
    assert_eq!(begun.elapsed(), DEADLINE);
}

#[tokio::test(start_paused = true)]
async fn time_between_two_waits_is_not_the_peers() {
    let network = endless(Duration::from_secs(1));
    let mut call = over(&network).range(peer(1), range(10), DEADLINE).await.unwrap();
    for number in 0..3 {
        assert_eq!(call.next().await, Some(Ok(block(number))));
        sleep(10 * DEADLINE).await;
    }
}

#[tokio::test(start_paused = true)]
async fn error_ends_the_reply() {
    let network = NetworkDouble::new(|_, _| {
        Ok(stream_of([Ok(block(1)), Err(RequestError::Cut), Ok(block(2))]))
    });
    let mut call = over(&network).range(peer(1), range(5), DEADLINE).await.unwrap();
    assert_eq!(call.next().await, Some(Ok(block(1))));
    assert_eq!(call.next().await, Some(Err(RequestError::Cut)));
    assert_eq!(call.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn more_blocks_than_asked_for_are_not_read() {
    let network = endless(Duration::from_millis(1));
    let mut call = over(&network).range(peer(1), range(3), DEADLINE).await.unwrap();
    for number in 0..3 {
        assert_eq!(call.next().await, Some(Ok(block(number))));
    }
    let begun = Instant::now();
    assert_eq!(call.next().await, None);
    assert_eq!(begun.elapsed(), Duration::ZERO, "the stream was not asked again");
}

#[tokio::test(start_paused = true)]
async fn wait_that_is_dropped_loses_no_block() {
    let network = endless(Duration::from_secs(2));
    let mut call = over(&network).range(peer(1), range(3), DEADLINE).await.unwrap();
    for number in 0..3 {
        assert!(timeout(Duration::from_secs(1), call.next()).await.is_err());
        assert_eq!(call.next().await, Some(Ok(block(number))));
    }
}

#[tokio::test(start_paused = true)]
async fn request_beyond_the_limit_of_a_peer_is_refused_here_and_not_sent() {
    let network = silent();
    let caller = over(&network);
    let mut calls = Vec::new();
    for _ in 0..REQUESTS_PER_PEER_MAX {
        // Clones share the limit.
        calls.push(caller.clone().range(peer(1), range(1), DEADLINE).await.unwrap());
    }
    for _ in 0..3 {
        let refused = caller.range(peer(1), range(1), DEADLINE).await;
        assert_eq!(refused.err(), Some(RequestError::TooManyStreams));
    }
    assert_eq!(network.asked().len(), calls.len());
    let other = caller.range(peer(2), range(1), DEADLINE).await;
    assert!(other.is_ok(), "the limit is each peer's own");
    calls.pop();
    let again = caller.range(peer(1), range(1), DEADLINE).await;
    assert!(again.is_ok(), "a dropped call gives its place free");
    let refused = caller.range(peer(1), range(1), DEADLINE).await;
    assert_eq!(refused.err(), Some(RequestError::TooManyStreams));
    drop((calls, again, other));
    assert!(caller.open.lock().unwrap().is_empty(), "nothing is remembered of peers not asked");
}

#[tokio::test(start_paused = true)]
async fn failed_and_dropped_requests_give_their_place_free() {
    let refusing = NetworkDouble::new(|_, _| Err(RequestError::NotConnected));
    let caller = over(&refusing);
    for _ in 0..2 * REQUESTS_PER_PEER_MAX {
        let refused = caller.range(peer(1), range(1), DEADLINE).await;
        assert_eq!(refused.err(), Some(RequestError::NotConnected));
    }
    let unsent = NetworkDouble::later(|_, _| pending().boxed());
    let caller = over(&unsent);
    for _ in 0..2 * REQUESTS_PER_PEER_MAX {
        let sending = caller.range(peer(1), range(1), DEADLINE);
        assert!(timeout(Duration::from_secs(1), sending).await.is_err());
    }
    assert!(caller.open.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn without_a_network_it_is_restarting_and_the_next_one_is_found() {
    let slot = NetworkSlot::default();
    let caller = PeerCaller::outside_a_node(slot.clone(), Arc::new(SystemClock::start()));
    let ask = || caller.range(peer(1), range(1), DEADLINE);
    assert_eq!(ask().await.err(), Some(RequestError::Restarting));
    let first: Arc<dyn PeerNetwork> = silent();
    slot.publish(&first);
    assert!(ask().await.is_ok());
    drop(first);
    assert_eq!(ask().await.err(), Some(RequestError::Restarting));
    let second: Arc<dyn PeerNetwork> = silent();
    slot.publish(&second);
    assert!(ask().await.is_ok());
    assert!(caller.open.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn neither_callers_nor_calls_keep_a_network_alive() {
    let network = NetworkDouble::later(|_, _| {
        async {
            sleep(Duration::from_secs(1)).await;
            Ok(stream::pending().boxed())
        }
        .boxed()
    });
    let alive = Arc::downgrade(&network);
    let caller = over(&network);
    let call = caller.range(peer(1), range(1), DEADLINE).await.unwrap();
    let sending = tokio::spawn({
        let caller = caller.clone();
        async move { caller.range(peer(1), range(1), DEADLINE).await.is_ok() }
    });
    while network.asked().len() < 2 {
        tokio::task::yield_now().await;
    }
    drop(network);
    assert!(alive.upgrade().is_none(), "kept by a request or a reply under way");
    drop((call, sending));
}

#[tokio::test(start_paused = true)]
async fn peer_that_limits_its_requesters_is_not_asked_before_it_serves_again() {
    let wait = Duration::from_millis(2_500);
    let network = NetworkDouble::new(move |_, range| {
        let limited = RequestError::RateLimited { wait: Some(wait) };
        Ok(if range.count() > 500 { stream_of([Err(limited)]) } else { stream_of([]) })
    });
    let caller = over(&network);
    let mut call = caller.range(peer(1), range(600), DEADLINE).await.unwrap();
    let refused = call.next().await.unwrap().unwrap_err();
    assert_eq!(refused, RequestError::RateLimited { wait: Some(wait) });
    assert!(call.next().await.is_none());
    let Err(RequestError::OverQuota { wait }) = caller.range(peer(1), range(128), DEADLINE).await
    else {
        panic!("it would refuse");
    };
    assert_eq!(network.asked().len(), 1, "it was not asked");
    assert!(caller.range(peer(2), range(128), DEADLINE).await.is_ok(), "others are not concerned");
    sleep(wait).await;
    assert!(caller.range(peer(1), range(128), DEADLINE).await.is_ok());
}

/// A network where each request fails with `error`, at once or in its reply.
fn failing(error: RequestError, at_once: bool) -> Arc<NetworkDouble> {
    NetworkDouble::new(move |_, _| {
        let error = error.clone();
        if at_once { Err(error) } else { Ok(stream_of([Err(error)])) }
    })
}

async fn ask(caller: &PeerCaller, number: u8) -> Option<RequestError> {
    match caller.range(peer(number), range(1), DEADLINE).await {
        Ok(mut call) => call.next().await.and_then(Result::err),
        Err(error) => Some(error),
    }
}

fn is_open(error: Option<&RequestError>) -> bool {
    matches!(error, Some(RequestError::BreakerOpen { .. }))
}

#[tokio::test(start_paused = true)]
async fn peer_that_fails_is_not_asked_a_sixth_time() {
    let text = String::new();
    let failures = [
        RequestError::Cut,
        RequestError::Unsupported,
        RequestError::TooManyBlocks { asked: 1 },
        RequestError::Refused { code: ResponseCode::ServerError, text },
        RequestError::Framing(ChunkError::Cut),
        TIMED_OUT,
    ];
    for (failure, at_once) in failures.into_iter().flat_map(|f| [(f.clone(), true), (f, false)]) {
        let network = failing(failure.clone(), at_once);
        let caller = over(&network);
        for _ in 0..5 {
            assert_eq!(ask(&caller, 1).await.as_ref(), Some(&failure));
        }
        assert!(is_open(ask(&caller.clone(), 1).await.as_ref()), "{failure}");
        assert_eq!(network.asked().len(), 5, "{failure}");
        assert_eq!(ask(&caller, 2).await.as_ref(), Some(&failure), "another peer");
        caller.take_back(Duration::ZERO);
        assert_eq!(ask(&caller, 1).await.as_ref(), Some(&failure), "taken back");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_no_fault_of_the_peer_opens_no_breaker() {
    let ours = [
        RequestError::NotConnected,
        RequestError::TooManyStreams,
        RequestError::Restarting,
        RequestError::OverQuota { wait: Duration::ZERO },
    ];
    for error in ours {
        let caller = over(&failing(error.clone(), true));
        for _ in 0..50 {
            assert!(ask(&caller, 1).await.is_some());
        }
        let breakers = caller.breakers();
        let counted = (breakers[0].state, breakers[0].failures_in_row);
        assert_eq!(counted, (BreakerState::Closed, 0), "{error}");
    }
    let network = silent();
    let caller = over(&network);
    for _ in 0..50 {
        let mut call = caller.range(peer(1), range(1), DEADLINE).await.unwrap();
        assert!(timeout(DEADLINE / 2, call.next()).await.is_err(), "given up before its deadline");
    }
    assert_eq!(caller.breakers()[0].failures_in_row, 0);
}

#[tokio::test(start_paused = true)]
async fn requests_that_time_out_together_count_once() {
    let network = silent();
    let caller = over(&network);
    let asking = (0..24).map(|_| ask(&caller, 1));
    let ends = futures::future::join_all(asking).await;
    assert!(ends.iter().all(|end| end.as_ref() == Some(&TIMED_OUT)), "{ends:?}");
    assert_eq!(caller.breakers()[0].failures_in_row, 1);
}

#[tokio::test(start_paused = true)]
async fn probe_that_delivers_closes_the_breaker() {
    let healed = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let network = NetworkDouble::new({
        let healed = Arc::clone(&healed);
        move |_, _| {
            if healed.load(Ordering::Relaxed) {
                Ok(stream_of([Ok(block(1))]))
            } else {
                Err(RequestError::Cut)
            }
        }
    });
    let caller = over(&network);
    for _ in 0..5 {
        assert_eq!(ask(&caller, 1).await, Some(RequestError::Cut));
    }
    healed.store(true, Ordering::Relaxed);
    let Some(RequestError::BreakerOpen { wait }) = ask(&caller, 1).await else {
        panic!("not open");
    };
    sleep(wait).await;
    assert_eq!(ask(&caller, 1).await, None, "nobody else delivers: it may try");
    assert_eq!(caller.breakers()[0].state, BreakerState::Closed);
    assert_eq!(caller.breaker_totals(), BreakerTotals { opened: 1, half_opened: 1, closed: 1 });
}
