//! Who is put out, when, and for how long.

use super::*;

#[test]
fn third_lie_bans_and_not_one_before() {
    let (mut book, peer) = (book(), peer(1));
    book.usable_peer(peer);
    for _ in 1..LIES_MAX {
        assert_eq!(book.observe(SECOND, peer, &lied()), None);
        assert_eq!(book.state(peer), PeerState::Usable);
    }
    let action = book.observe(SECOND, peer, &lied());
    assert_eq!(action, Some(Action::Disconnect(peer)));
    assert_eq!(book.state(peer), PeerState::Banned);
    assert!(book.usable().is_empty());
}

#[test]
fn lies_are_remembered_over_a_reconnect() {
    let (mut book, peer) = (book(), peer(1));
    book.usable_peer(peer);
    book.observe(SECOND, peer, &lied());
    book.observe(SECOND, peer, &lied());
    book.disconnected(SECOND, peer);
    book.usable_peer(peer);
    assert_eq!(book.observe(SECOND, peer, &lied()), Some(Action::Disconnect(peer)));
}

#[test]
fn lies_of_replies_under_way_at_the_ban_do_not_count_again() {
    let (mut book, peer) = (book(), peer(1));
    book.usable_peer(peer);
    for _ in 0..LIES_MAX {
        book.observe(SECOND, peer, &lied());
    }
    for _ in 0..10 {
        assert_eq!(book.observe(2 * SECOND, peer, &lied()), None);
    }
    book.disconnected(2 * SECOND, peer);
    let over = SECOND + BAN;
    assert_eq!(book.connected(over, peer, address()), None, "the ban was made longer");
    book.due_checks(over);
    book.checked(over, peer, block(OURS));
    assert_eq!(book.observe(over, peer, &lied()), None, "old lies count after the ban");
}

#[test]
fn ban_ends_and_the_peer_is_checked_like_a_new_one() {
    let (mut book, peer) = (book(), peer(1));
    book.banned_peer(SECOND, peer);
    book.disconnected(SECOND, peer);
    assert_eq!(book.state(peer), PeerState::Banned, "a closed connection does not end a ban");
    let last = SECOND + BAN - Duration::from_nanos(1);
    assert_eq!(book.connected(last, peer, address()), Some(Action::Disconnect(peer)));
    assert_eq!(book.state(peer), PeerState::Banned);
    assert!(book.due_checks(last).is_empty());
    book.disconnected(last, peer);
    let over = SECOND + BAN;
    assert_eq!(book.connected(over, peer, address()), None);
    assert_eq!(book.state(peer), PeerState::Checking);
    assert_eq!(book.due_checks(over), [peer]);
    book.checked(over, peer, block(OURS));
    assert_eq!(book.state(peer), PeerState::Usable);
}

#[test]
fn ban_that_is_over_is_followed_by_probation_in_which_one_lie_is_enough() {
    let (mut book, peer) = (book(), peer(1));
    book.banned_peer(SECOND, peer);
    book.disconnected(SECOND, peer);
    let over = SECOND + BAN;
    book.expire(over - Duration::from_nanos(1));
    assert_eq!(book.state(peer), PeerState::Banned);
    assert_eq!(book.refused(over), BTreeSet::new());
    book.expire(over);
    assert_eq!(book.state(peer), PeerState::Gone);
    assert!(book.view().peers[0].probation && book.view().peers[0].trust < 500);
    book.connected(over, peer, address());
    book.due_checks(over);
    book.checked(over, peer, block(OURS));
    assert_eq!(book.observe(over, peer, &lied()), Some(Action::Disconnect(peer)));
    let ban = book.ban_of(peer).unwrap();
    assert_eq!((ban.until_unix_seconds, ban.offences), ((over + 4 * BAN).as_secs(), 2));
}

#[test]
fn probation_ends_with_enough_good_blocks() {
    let (mut book, peer) = (book(), peer(1));
    book.banned_peer(SECOND, peer);
    book.disconnected(SECOND, peer);
    let over = SECOND + BAN;
    book.expire(over);
    book.connected(over, peer, address());
    let blocks = PROBATION_BLOCKS;
    book.observe(over, peer, &Evidence::Delivered { blocks, failed: 0, bytes: 1 });
    assert!(!book.view().peers[0].probation);
    assert_eq!(book.observe(over, peer, &lied()), None);
}

#[test]
fn newcomer_at_a_banned_address_starts_under_probation_and_nothing_more() {
    let at =
        |ip: &str, port: u16| -> Multiaddr { format!("/ip4/{ip}/tcp/{port}").parse().unwrap() };
    let probation_of = |liars: &str, newcomers: &str| {
        let mut book = book();
        book.connected(SECOND, peer(1), at(liars, 1));
        for _ in 0..3 {
            book.observe(SECOND, peer(1), &lied());
        }
        assert_eq!(book.connected(SECOND, peer(2), at(newcomers, 2)), None, "it is let in");
        assert_eq!(book.state(peer(2)), PeerState::Checking);
        book.records[&peer(2)].figures.probation > 0
    };
    assert!(probation_of("10.1.1.1", "10.1.1.1"));
    assert!(!probation_of("10.1.1.1", "10.1.1.2"));
    assert!(!probation_of("127.0.0.1", "127.0.0.1"), "all of a machine share its loopback");
}

#[test]
fn operator_bans_anybody_and_lifts_any_ban() {
    let mut book = book();
    assert_eq!(book.ban_by_hand(SECOND, peer(1), Some(SECOND)), Action::Disconnect(peer(1)));
    let ban = book.ban_of(peer(1)).unwrap();
    assert_eq!((ban.reason, ban.until_unix_seconds), (BanReason::Operator, 2));
    assert_eq!(book.refused(SECOND), BTreeSet::from([peer(1)]));
    book.banned_peer(SECOND, peer(2));
    assert!(book.lift(SECOND, peer(1)) && book.lift(SECOND, peer(2)));
    assert!(!book.lift(SECOND, peer(2)) && !book.lift(SECOND, peer(3)));
    assert_eq!(book.refused(SECOND), BTreeSet::new());
    book.disconnected(SECOND, peer(2));
    assert_eq!(book.connected(SECOND, peer(2), address()), None);
    assert!(!book.view().peers.iter().any(|peer| peer.probation));
}

#[test]
fn peer_that_floods_us_is_out_soon_for_a_short_time_and_one_with_a_single_bug_is_not() {
    let flood = |times| Evidence::Misused { misuse: Misuse::TooManyRequests, times };
    let (mut book, peer) = (book(), peer(1));
    book.usable_peer(peer);
    assert_eq!(book.observe(SECOND, peer, &flood(1)), None);
    assert_eq!(book.observe(SECOND, peer, &flood(900)), Some(Action::Disconnect(peer)));
    let ban = book.ban_of(peer).unwrap();
    let first = ReputationSettings::default().misuse_ban;
    assert_eq!(
        (ban.reason, ban.until_unix_seconds),
        (BanReason::Misuse, (SECOND + first).as_secs())
    );
    assert_eq!(book.observe(SECOND, peer, &flood(900)), None, "once");
}
