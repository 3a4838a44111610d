use super::*;
use crate::{doubles::peer, ports::SystemClock};
use tokio::time::advance;

fn breakers() -> Arc<PeerBreakers> {
    Arc::new(PeerBreakers::new(Arc::new(SystemClock::start()), 1))
}

fn fail(breakers: &Arc<PeerBreakers>, peer: PeerId, times: usize) {
    for _ in 0..times {
        breakers.admit(peer).expect("closed").ended(CallEnd::Failed);
    }
}

fn deliver(breakers: &Arc<PeerBreakers>, peer: PeerId) {
    let mut ticket = breakers.admit(peer).expect("closed");
    ticket.delivers();
    ticket.ended(CallEnd::Succeeded);
}

fn state(breakers: &Arc<PeerBreakers>, peer: PeerId) -> BreakerState {
    breakers.status().into_iter().find(|status| status.peer == peer).unwrap().state
}

#[tokio::test(start_paused = true)]
async fn peer_that_failed_five_times_is_left_alone_while_another_delivers() {
    let breakers = breakers();
    fail(&breakers, peer(1), 5);
    for _ in 0..59 {
        deliver(&breakers, peer(2));
        assert_eq!(breakers.admit(peer(1)).err(), Some(EARLY_EVERY), "worth a look, no more");
        advance(Duration::from_secs(5)).await;
    }
    let status = breakers.status();
    let of_1 = status.iter().find(|status| status.peer == peer(1)).unwrap();
    assert_eq!((of_1.state, of_1.failures_in_row), (BreakerState::Open, 5));
    assert_eq!(of_1.open_for, Duration::from_secs(5));
    deliver(&breakers, peer(2));
    advance(Duration::from_secs(5)).await;
    deliver(&breakers, peer(2));
    let mut probe = breakers.admit(peer(1)).expect("300 s have passed");
    assert!(probe.is_probe());
    assert!(breakers.admit(peer(1)).is_err(), "exactly one");
    probe.ended(CallEnd::Succeeded);
    let totals = BreakerTotals { opened: 1, half_opened: 1, closed: 1 };
    assert_eq!((state(&breakers, peer(1)), breakers.totals()), (BreakerState::Closed, totals));
}

#[tokio::test(start_paused = true)]
async fn last_peers_are_never_shut_out() {
    let breakers = breakers();
    for peer in [peer(1), peer(2)] {
        fail(&breakers, peer, 5);
        assert!(breakers.admit(peer).is_err());
    }
    for _ in 0..100 {
        advance(EARLY_EVERY).await;
        for peer in [peer(1), peer(2)] {
            let mut probe = breakers.admit(peer).expect("nobody else delivers");
            assert!(breakers.admit(peer).is_err(), "one at a time");
            probe.ended(CallEnd::Failed);
            assert!(breakers.admit(peer).is_err(), "and one each two seconds");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn peer_that_answers_and_delivers_nothing_keeps_nobody_out() {
    let breakers = breakers();
    fail(&breakers, peer(1), 5);
    advance(EARLY_EVERY).await;
    breakers.admit(peer(2)).expect("closed").ended(CallEnd::Succeeded);
    assert!(breakers.admit(peer(1)).is_ok());
    let mut delivering = breakers.admit(peer(2)).expect("closed");
    delivering.delivers();
    advance(Duration::from_secs(60)).await;
    assert!(breakers.admit(peer(1)).is_err(), "a reply that brings blocks is under way");
    drop(delivering);
    advance(DELIVERS_FOR).await;
    assert!(breakers.admit(peer(1)).is_err());
    advance(Duration::from_millis(1)).await;
    assert!(breakers.admit(peer(1)).is_ok());
}

#[tokio::test(start_paused = true)]
async fn peer_that_delivered_and_left_keeps_nobody_out() {
    let breakers = breakers();
    fail(&breakers, peer(1), 5);
    advance(EARLY_EVERY).await;
    deliver(&breakers, peer(2));
    assert!(breakers.admit(peer(1)).is_err());
    breakers.left(peer(2));
    drop(breakers.admit(peer(1)).expect("nobody is there who delivers"));
    advance(EARLY_EVERY).await;
    let mut under_way = breakers.admit(peer(2)).expect("closed");
    under_way.delivers();
    assert!(breakers.admit(peer(1)).is_err(), "it is back, and delivers");
    breakers.left(peer(2));
    drop(under_way);
    assert!(breakers.admit(peer(1)).is_ok(), "its last reply is over because it left");
}

#[tokio::test(start_paused = true)]
async fn dropped_ticket_is_no_news_and_frees_the_place_of_a_probe() {
    let breakers = breakers();
    (0..20).for_each(|_| drop(breakers.admit(peer(1))));
    assert_eq!(breakers.status()[0].failures_in_row, 0);
    fail(&breakers, peer(1), 5);
    advance(BREAKER_OPEN.first).await;
    for _ in 0..3 {
        let probe = breakers.admit(peer(1)).expect("free");
        assert!(probe.is_probe());
        drop(probe);
    }
    assert_eq!(state(&breakers, peer(1)), BreakerState::HalfOpen);
}

#[tokio::test(start_paused = true)]
async fn all_peers_breakers_close_when_the_failures_were_ours() {
    let breakers = breakers();
    fail(&breakers, peer(1), 5);
    advance(Duration::from_secs(1)).await;
    let since = breakers.clock.now();
    (2..10).for_each(|seed| fail(&breakers, peer(seed), 5));
    advance(Duration::from_secs(1)).await;
    breakers.take_back(since);
    for seed in 2..10 {
        assert_eq!(state(&breakers, peer(seed)), BreakerState::Closed);
    }
    assert_eq!(state(&breakers, peer(1)), BreakerState::Open, "it failed before");
    assert_eq!(breakers.totals().closed, 8);
}

#[tokio::test(start_paused = true)]
async fn memory_is_bounded_and_what_is_closed_and_least_used_goes_first() {
    let breakers = breakers();
    fail(&breakers, peer(1), 5);
    let used = breakers.admit(peer(2)).expect("closed");
    advance(Duration::from_millis(1)).await;
    for _ in 0..PEERS_MAX + 50 {
        drop(breakers.admit(PeerId::random()));
        advance(Duration::from_millis(1)).await;
    }
    assert_eq!(breakers.status().len(), PEERS_MAX);
    assert_eq!(state(&breakers, peer(1)), BreakerState::Open, "an open one is kept");
    drop(used);
    assert_eq!(state(&breakers, peer(2)), BreakerState::Closed, "and one in use");
    drop(breakers.admit(PeerId::random()));
    assert!(breakers.status().iter().all(|status| status.peer != peer(2)), "which it is no more");
    for _ in 0..2 * PEERS_MAX {
        fail(&breakers, PeerId::random(), 5);
        advance(Duration::from_millis(1)).await;
    }
    assert_eq!(breakers.status().len(), PEERS_MAX, "also when all of them are open");
}
