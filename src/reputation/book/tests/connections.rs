//! Who is connected, and what the check of its chain comes to.

use super::*;

#[test]
fn answer_to_the_check_decides_the_state() {
    use PeerState::{Banned, Checking, OtherChain, Unsupported, Usable};
    let fault = |parent, fault| ProbeAnswer::Fault { parent, fault };
    let other = OtherChain { genesis: THEIRS };
    let table = [
        (block(OURS), Usable, false),
        (block(THEIRS), other.clone(), true),
        (ProbeAnswer::Nothing, Usable, false),
        (fault(Some(THEIRS), lie()), other.clone(), true),
        (fault(Some(THEIRS), no_lie()), other, true),
        (fault(Some(OURS), lie()), Banned, true),
        (fault(None, ReplyFault::Encoding(BlockError::TooLarge { bytes: 2 })), Banned, true),
        (fault(Some(OURS), no_lie()), Checking, false),
        (ProbeAnswer::Failed(RequestError::Unsupported), Unsupported, false),
        (ProbeAnswer::Failed(RequestError::Cut), Checking, false),
        (ProbeAnswer::Failed(RequestError::Restarting), Checking, false),
        (ProbeAnswer::NoVerdict, Checking, false),
    ];
    for (answer, state, disconnects) in table {
        let (mut book, peer, said) = (book(), peer(1), format!("{answer:?}"));
        let action = book.checked_as(SECOND, peer, answer);
        assert_eq!(book.state(peer), state, "{said}");
        assert_eq!(action, disconnects.then_some(Action::Disconnect(peer)), "{said}");
        assert_eq!(book.usable().contains_key(&peer), state == Usable, "{said}");
    }
}

#[test]
fn answer_that_nobody_waits_for_changes_nothing() {
    let (mut book, peer) = (book(), peer(1));
    assert_eq!(book.checked(SECOND, peer, block(THEIRS)), None);
    assert!(book.view().peers.is_empty(), "unknown peers are not made up");
    book.usable_peer(peer);
    assert_eq!(book.checked(SECOND, peer, block(THEIRS)), None);
    assert_eq!(book.state(peer), PeerState::Usable);
    book.disconnected(SECOND, peer);
    assert_eq!(book.checked(SECOND, peer, block(OURS)), None);
    assert_eq!(book.state(peer), PeerState::Gone);
}

#[test]
fn check_is_due_once_until_it_is_answered() {
    let (mut book, peer) = (book(), peer(1));
    book.connected(SECOND, peer, address());
    assert_eq!(book.due_checks(SECOND), [peer]);
    assert!(book.due_checks(100 * SECOND).is_empty(), "its check is under way");
    book.connected(2 * SECOND, peer, address());
    assert!(book.due_checks(100 * SECOND).is_empty(), "a second connection is no second check");
    book.disconnected(3 * SECOND, peer);
    book.connected(3 * SECOND, peer, address());
    assert_eq!(book.due_checks(3 * SECOND), [peer], "it came back: checked anew");
}

#[test]
fn failed_checks_are_repeated_after_pauses_that_double_to_a_limit() {
    let (mut book, peer, mut now) = (book(), peer(1), SECOND);
    book.connected(now, peer, address());
    for pause_ms in [500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000] {
        assert_eq!(book.due_checks(now), [peer], "{pause_ms}");
        book.checked(now, peer, ProbeAnswer::Failed(RequestError::Cut));
        now += Duration::from_millis(pause_ms);
        assert!(book.due_checks(now - Duration::from_millis(1)).is_empty(), "{pause_ms}");
    }
    for _ in 0..100 {
        assert_eq!(book.due_checks(now), [peer]);
        book.checked(now, peer, ProbeAnswer::NoVerdict);
        now += CHECK_AGAIN.longest;
    }
    book.disconnected(now, peer);
    book.connected(now, peer, address());
    assert_eq!(book.due_checks(now), [peer], "a new connection is not made to wait");
    book.checked(now, peer, ProbeAnswer::NoVerdict);
    assert_eq!(book.due_checks(now + CHECK_AGAIN.first), [peer], "nor are its pauses long");
}

#[test]
fn peer_of_another_chain_stays_shown_as_such_while_it_is_kept_out() {
    let (mut book, peer) = (book(), peer(1));
    book.checked_as(SECOND, peer, block(THEIRS));
    assert_eq!(book.view().other_chain, Some((peer, THEIRS)));
    book.disconnected(SECOND, peer);
    // It is dialled again, as a boot node is.
    assert_eq!(book.connected(2 * SECOND, peer, address()), Some(Action::Disconnect(peer)));
    assert_eq!(book.view().other_chain, Some((peer, THEIRS)));
    assert_eq!(book.connected(SECOND + BAN, peer, address()), None);
    assert_eq!(book.state(peer), PeerState::Checking);
}

#[test]
fn peer_without_the_protocol_is_left_alone_until_it_reconnects() {
    let (mut book, peer) = (book(), peer(1));
    book.checked_as(SECOND, peer, ProbeAnswer::Failed(RequestError::Unsupported));
    assert_eq!(book.state(peer), PeerState::Unsupported);
    assert!(book.due_checks(1_000 * SECOND).is_empty());
    book.connected(SECOND, peer, address());
    assert_eq!(book.state(peer), PeerState::Unsupported, "a second connection changes nothing");
    book.disconnected(SECOND, peer);
    assert_eq!(book.state(peer), PeerState::Gone);
    book.connected(SECOND, peer, address());
    assert_eq!(book.state(peer), PeerState::Checking);
}

#[test]
fn reset_keeps_who_stayed_loses_who_left_and_checks_who_is_new() {
    let mut book = book();
    let [stayed, left, banned, fresh] = [1, 2, 3, 4].map(peer);
    book.usable_peer(stayed);
    book.usable_peer(left);
    book.banned_peer(SECOND, banned);
    let connected = [stayed, banned, fresh].map(|peer| (peer, address())).to_vec();
    assert_eq!(book.reset(2 * SECOND, connected), [Action::Disconnect(banned)]);
    assert_eq!(book.state(stayed), PeerState::Usable);
    assert_eq!(book.state(left), PeerState::Gone);
    assert_eq!(book.state(banned), PeerState::Banned);
    assert_eq!(book.due_checks(2 * SECOND), [fresh]);
    assert!(book.reset(3 * SECOND, Vec::new()).is_empty());
    assert!(book.usable().is_empty());
    assert_eq!(book.view().checking, 0);
    assert_eq!(book.state(banned), PeerState::Banned, "nobody connected ends no ban");
}

#[test]
fn view_counts_what_was_delivered_and_failed() {
    let (mut book, peer) = (book(), peer(1));
    book.usable_peer(peer);
    book.observe(SECOND, peer, &Evidence::Delivered { blocks: 3, failed: 0, bytes: 700 });
    book.observe(SECOND, peer, &Evidence::Delivered { blocks: 0, failed: 2, bytes: 50 });
    book.observe(SECOND, peer, &Evidence::Failed(RequestError::Cut));
    let view = book.view();
    let shown = &view.peers[0];
    assert_eq!((shown.blocks, shown.failed_blocks), (3, 2));
    assert_eq!((shown.bytes, shown.failures), (750, 1));
    assert_eq!(shown.score, book.usable()[&peer].score);
    assert_eq!(shown.address, address().to_string());
}
