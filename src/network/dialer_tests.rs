//! Whom the dialer dials, and when.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn dialer_of(seed: u64) -> Dialer {
    let settings = PeerSettings {
        redial_first: SECOND,
        redial_max: 4 * SECOND,
        redial_cut_max: 2 * SECOND,
        discovered_max: 3,
        ..PeerSettings::default()
    };
    Dialer::new(&settings, seed)
}

fn dialer() -> (Dialer, Multiaddr, PeerId) {
    let peer = PeerId::random();
    let address: Multiaddr = format!("/ip4/127.0.0.1/tcp/1/p2p/{peer}").parse().unwrap();
    let mut dialer = dialer_of(1);
    dialer.add(address.clone());
    (dialer, address, peer)
}

#[test]
fn dials_at_once_and_waits_longer_after_each_failure() {
    let (mut dialer, address, _) = dialer();
    let mut now = Duration::ZERO;
    for pause in [1, 2, 4, 4] {
        assert_eq!(dialer.due(now, |_| false), [[address.clone()]]);
        assert!(dialer.due(now, |_| false).is_empty(), "dialled twice");
        dialer.failed(now, std::slice::from_ref(&address), None);
        let half = SECOND * pause / 2;
        assert!(dialer.due(now + half - Duration::from_millis(1), |_| false).is_empty());
        now += 2 * half;
    }
}

#[test]
fn nodes_that_lost_a_host_at_once_come_back_at_different_times() {
    let returns = |seed| {
        let (_, address, peer) = dialer();
        let mut dialer = dialer_of(seed);
        dialer.add(address.clone());
        dialer.due(Duration::ZERO, |_| false);
        dialer.failed(Duration::ZERO, &[address], None);
        dialer.targets[&Whom::Peer(peer)].next
    };
    assert_eq!(returns(1), returns(1));
    assert_ne!(returns(1), returns(2));
}

#[test]
fn address_without_a_peer_id_learns_it_from_the_connection() {
    let mut dialer = dialer_of(1);
    dialer.add("/ip4/127.0.0.1/tcp/1".parse().unwrap());
    let peer = PeerId::random();
    let reached = format!("/ip4/127.0.0.1/tcp/1/p2p/{peer}").parse().unwrap();
    dialer.connected(&reached, peer);
    assert!(dialer.due(SECOND, |other| *other == peer).is_empty());
}

#[test]
fn connected_peer_is_not_dialled_and_soon_after_it_left_it_is() {
    let (mut dialer, address, peer) = dialer();
    for _ in 0..4 {
        dialer.failed(Duration::ZERO, std::slice::from_ref(&address), None);
    }
    let now = 10 * SECOND;
    assert!(dialer.due(now, |other| *other == peer).is_empty());
    let left = now + LASTING;
    dialer.disconnected(left, peer);
    assert_eq!(dialer.due(left + SECOND, |_| false), [[address]]);
}

#[test]
fn peer_that_lets_us_in_and_closes_is_dialled_ever_more_seldom() {
    let (mut dialer, _, peer) = dialer();
    let mut now = Duration::ZERO;
    let mut dials = 0;
    while now < 60 * SECOND {
        if !dialer.due(now, |_| false).is_empty() {
            dials += 1;
            now += SECOND / 4;
            assert!(dialer.due(now, |_| true).is_empty());
            dialer.disconnected(now, peer);
        }
        now += SECOND / 4;
    }
    assert!((14..=30).contains(&dials), "{dials} dials: pauses of 2 to 4 s");
}

#[test]
fn refused_peer_is_not_dialled_and_at_once_when_it_is_let_off() {
    let (mut dialer, address, peer) = dialer();
    let anonymous: Multiaddr = "/ip4/127.0.0.1/tcp/2".parse().unwrap();
    dialer.add(anonymous.clone());
    dialer.refuse(SECOND, [peer].into());
    // Who is at the other address is only known when it was tried.
    assert_eq!(dialer.due(SECOND, |_| false), [[anonymous.clone()]]);
    dialer.failed(SECOND, std::slice::from_ref(&anonymous), Some(peer));
    assert!(dialer.due(3_600 * SECOND, |_| false).is_empty());
    dialer.refuse(3_601 * SECOND, BTreeSet::new());
    assert_eq!(dialer.due(3_601 * SECOND, |_| false), [[address.clone()], [anonymous]]);
    dialer.failed(3_601 * SECOND, std::slice::from_ref(&address), None);
    let first_pause = 3_602 * SECOND;
    assert_eq!(dialer.due(first_pause, |_| false), [[address]], "refusals are no failures");
}

#[test]
fn while_the_link_is_cut_everybody_is_dialled_every_two_seconds_whatever_failed_before() {
    let (mut dialer, address, peer) = dialer();
    dialer.max = 60 * SECOND;
    let mut now = Duration::ZERO;
    for _ in 0..8 {
        dialer.failed(now, std::slice::from_ref(&address), None);
    }
    dialer.set_link_cut(now, true);
    for fails in [false, true, true, true, true, false, false] {
        assert_eq!(dialer.due(now, |_| false), [[address.clone()]], "at {now:?}");
        if fails {
            dialer.failed(now, std::slice::from_ref(&address), None);
        }
        now += 2 * SECOND;
    }
    dialer.set_link_cut(now, false);
    assert_eq!(dialer.due(now, |_| false), [[address.clone()]]);
    assert!(dialer.due(now + 2 * SECOND, |_| false).is_empty(), "it waits for the outcome");
    dialer.set_link_cut(now, true);
    assert!(dialer.due(now, |_| true).is_empty());
    dialer.disconnected(now, peer);
    assert_eq!(dialer.due(now, |_| false), [[address]]);
}

fn found(number: u16) -> Multiaddr {
    format!("/ip4/10.0.0.1/tcp/{number}/p2p/{}", PeerId::random()).parse().unwrap()
}

#[test]
fn peers_that_were_found_are_bounded_and_the_first_that_is_not_connected_goes() {
    let (mut dialer, named, _) = dialer();
    let all: Vec<_> = (1..=5).map(found).collect();
    let held = peer_of(&all[0]);
    for address in &all {
        dialer.discovered(address.clone());
        dialer.due(SECOND, |peer| Some(*peer) == held);
    }
    let mut due: Vec<_> =
        dialer.due(60 * SECOND, |_| false).into_iter().flatten().collect::<Vec<_>>();
    due.sort();
    let mut kept = vec![named, all[0].clone(), all[3].clone(), all[4].clone()];
    kept.sort();
    assert_eq!(due, kept);
    dialer.due(60 * SECOND, |_| true);
    dialer.discovered(found(6));
    assert_eq!(dialer.targets.len(), 4, "nobody who is connected goes");
}

#[test]
fn peer_that_is_heard_of_no_more_is_forgotten_unless_connected_or_named() {
    let (mut dialer, named, _) = dialer();
    let (left, connected) = (found(1), found(2));
    for address in [&named, &left, &connected] {
        dialer.discovered(address.clone());
    }
    let peer = peer_of(&connected).unwrap();
    dialer.due(SECOND, |other| *other == peer);
    for address in [&named, &left, &connected] {
        dialer.expired(address);
    }
    assert_eq!(dialer.targets.len(), 2);
    dialer.discovered(connected.clone());
    dialer.disconnected(SECOND, peer);
    assert_eq!(dialer.targets.len(), 2, "it was heard of again");
    dialer.due(60 * SECOND, |other| *other == peer);
    dialer.expired(&connected);
    dialer.disconnected(60 * SECOND, peer);
    assert_eq!(dialer.targets.keys().collect::<Vec<_>>(), [&whom(&named)]);
}

#[test]
fn of_the_peers_that_were_found_few_are_dialled_at_once() {
    let (mut dialer, named, _) = dialer();
    dialer.found_max = 64;
    (1..=30).for_each(|number| dialer.discovered(found(number)));
    let first = dialer.due(SECOND, |_| false);
    assert!(first.contains(&vec![named]));
    assert_eq!(first.len(), 1 + FOUND_AT_ONCE_MAX);
    assert_eq!(dialer.due(SECOND, |_| false).len(), FOUND_AT_ONCE_MAX);
}

#[test]
fn what_nobody_can_dial_is_not_taken_for_a_peer_that_was_found() {
    let (mut dialer, ..) = dialer();
    let peer = PeerId::random();
    for address in ["/ip4/10.0.0.1/tcp/1".to_owned(), format!("/ip4/10.0.0.1/udp/1/p2p/{peer}")] {
        dialer.discovered(address.parse().unwrap());
    }
    assert_eq!(dialer.targets.len(), 1);
}

#[test]
fn addresses_of_one_peer_are_dialled_together_and_fail_together() {
    let (mut dialer, tcp, peer) = dialer();
    let quic: Multiaddr = format!("/ip4/127.0.0.1/udp/1/quic-v1/p2p/{peer}").parse().unwrap();
    let other: Multiaddr = "/ip4/127.0.0.1/tcp/2".parse().unwrap();
    for address in [&quic, &other, &tcp] {
        dialer.add(address.clone());
    }
    let both = vec![tcp, quic];
    assert_eq!(dialer.due(Duration::ZERO, |_| false), [both.clone(), vec![other]]);
    dialer.failed(Duration::ZERO, &both, None);
    assert_eq!(dialer.due(SECOND, |_| false), [both]);
}

#[test]
fn another_address_of_a_connected_peer_is_dialled_once_for_each_time_it_connects() {
    let (mut dialer, tcp, peer) = dialer();
    dialer.due(Duration::ZERO, |_| false);
    let quic: Multiaddr = format!("/ip4/127.0.0.1/udp/1/quic-v1/p2p/{peer}").parse().unwrap();
    dialer.add(quic.clone());
    let both = vec![tcp, quic];
    for _ in 0..2 {
        assert_eq!(dialer.due(SECOND, |_| true), std::slice::from_ref(&both));
        assert!(dialer.due(SECOND, |_| true).is_empty());
        dialer.disconnected(SECOND, peer);
    }
}

#[test]
fn addresses_kept_of_a_peer_are_bounded() {
    let (mut dialer, _, peer) = dialer();
    for port in 1..100 {
        dialer.add(format!("/ip4/127.0.0.1/tcp/{port}/p2p/{peer}").parse().unwrap());
    }
    assert_eq!(dialer.due(Duration::ZERO, |_| false)[0].len(), ADDRESSES_MAX);
}
