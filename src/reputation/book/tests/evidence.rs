//! What follows from single pieces of evidence.

use super::*;

#[test]
fn evidence_of_somebody_unknown_is_of_nobody() {
    let mut book = book();
    assert_eq!(book.observe(SECOND, peer(1), &lied()), None);
    assert!(book.view().peers.is_empty());
}

#[test]
fn gravest_fault_of_a_piece_counts_once() {
    let fault = |fault| Fault { height: Height::new(1), fault };
    assert!(Evidence::from_faults(Vec::new()).is_none());
    let both = vec![fault(no_lie()), fault(lie()), fault(lie())];
    assert!(matches!(Evidence::from_faults(both), Some(Evidence::Lied(_))));
    let only = vec![fault(no_lie()), fault(no_lie())];
    assert!(matches!(Evidence::from_faults(only), Some(Evidence::Useless(_))));
}

#[test]
fn our_own_cut_link_leaves_no_penalty() {
    let mut book = book();
    for index in 1..=2 {
        book.usable_peer(peer(index));
        for _ in 0..10 {
            let good = Evidence::Delivered { blocks: 32, failed: 0, bytes: 32_000 };
            book.observe(SECOND, peer(index), &good);
        }
    }
    book.observe(SECOND, peer(2), &Evidence::Failed(RequestError::Cut));
    let before = book.usable();
    let cut = 2 * SECOND;
    for second in 2..30 {
        let failed = Evidence::Failed(RequestError::TimedOut { waited: SECOND });
        for index in 1..=2 {
            book.observe(second * SECOND, peer(index), &failed);
        }
        // Verified after the cut, and sent before it.
        let late = Evidence::Delivered { blocks: 1, failed: 0, bytes: 1 };
        book.observe(second * SECOND, peer(1), &late);
    }
    assert!(book.score(peer(1)) + 100 < before[&peer(1)].score);
    assert_eq!(book.take_back(30 * SECOND, cut), 2);
    assert_eq!(book.usable(), before, "and what was before the cut stays");
    assert_eq!(book.take_back(30 * SECOND, cut), 0);
}

#[test]
fn what_is_no_fault_of_our_link_is_not_taken_back_with_it() {
    let (mut book, peer) = (book(), peer(1));
    book.usable_peer(peer);
    book.observe(SECOND, peer, &Evidence::Failed(RequestError::Cut));
    book.observe(SECOND, peer, &lied());
    let before = book.usable();
    assert_eq!(book.take_back(2 * SECOND, SECOND), 0);
    assert_eq!(book.usable(), before);
}

#[test]
fn sender_of_a_block_that_did_not_fit_is_acquitted_or_convicted_by_the_chain() {
    let mut book = book();
    for index in 1..=3 {
        book.usable_peer(peer(index));
    }
    let before = book.score(peer(3));
    book.observe(SECOND, peer(1), &not_linked(OURS));
    book.observe(SECOND, peer(2), &not_linked(THEIRS));
    assert!(book.score(peer(1)) < before);
    assert_eq!(book.score(peer(1)), book.score(peer(2)), "nobody knows yet who is right");
    assert_eq!(book.unsettled(), [Height::new(9)]);
    book.settle(SECOND, Height::new(9), OURS);
    assert_eq!(book.score(peer(1)), before);
    assert!(book.score(peer(2)) + 100 < before);
    assert_eq!(book.state(peer(2)), PeerState::Usable, "a fork is no lie");
    assert!(book.unsettled().is_empty());
}

#[test]
fn slow_and_quick_peers_are_told_apart_by_performance_alone() {
    let mut book = book();
    for index in 1..=2 {
        book.usable_peer(peer(index));
    }
    let reply = |first_ms, streamed_ms| {
        let first_after = Some(Duration::from_millis(first_ms));
        let streamed = Duration::from_millis(streamed_ms);
        Evidence::Replied(CleanReply {
            asked: 64,
            blocks: 64,
            bytes: 640_000,
            first_after,
            streamed,
        })
    };
    for _ in 0..10 {
        book.observe(SECOND, peer(1), &reply(10, 100));
        book.observe(SECOND, peer(2), &reply(900, 9_000));
    }
    let [quick, slow] = [1, 2].map(|index| {
        let name = peer(index).to_string();
        book.view().peers.into_iter().find(|peer| peer.peer == name).unwrap()
    });
    assert!(quick.performance > 700 && slow.performance < 300, "{quick:?} {slow:?}");
    assert_eq!((quick.reliability, quick.trust), (slow.reliability, slow.trust));
    assert!((slow.latency_seconds.unwrap() - 0.9).abs() < 1e-9);
    assert!(quick.bytes_per_second > slow.bytes_per_second);
}
