//! What is remembered, and how much of it.

use super::*;

#[test]
fn memory_is_bounded_and_the_least_useful_are_forgotten_first() {
    let mut book = book();
    let count = REMEMBERED_MAX as u64 + 50;
    let mut all = Vec::new();
    for number in 0..count {
        let peer = many(number);
        book.connected(SECOND, peer, address());
        // The later, the less useful.
        book.observe(
            SECOND,
            peer,
            &Evidence::Delivered { blocks: count - number, failed: 0, bytes: 1 },
        );
        all.push(peer);
    }
    assert_eq!(book.records.len(), all.len(), "who is connected is never forgotten");
    for &peer in &all {
        book.disconnected(SECOND, peer);
    }
    assert_eq!(book.records.len(), REMEMBERED_MAX);
    // Those forgotten were the least useful of the ones gone at that moment: the first 50 to go.
    let kept = |peer: &PeerId| book.records.contains_key(peer);
    assert!(all[50..].iter().all(kept));
    book.connected(SECOND, many(count), address());
    book.disconnected(SECOND, many(count));
    assert!(!book.records.contains_key(&many(count)), "it delivered nothing");
    book.connected(SECOND, many(count), address());
    book.observe(SECOND, many(count), &Evidence::Delivered { blocks: count, failed: 0, bytes: 1 });
    book.disconnected(SECOND, many(count));
    assert!(book.records.contains_key(&many(count)));
    assert!(!book.records.contains_key(&all[all.len() - 1]), "now the least useful");
}

#[test]
fn banned_are_forgotten_last_and_those_first_who_are_let_in_soonest() {
    let mut book = book();
    let count = REMEMBERED_MAX as u64 + 50;
    for number in 0..count {
        let now = SECOND + Duration::from_millis(number);
        book.banned_peer(now, many(number));
        book.disconnected(now, many(number));
        assert!(book.records.len() <= REMEMBERED_MAX, "nobody can fill the memory with liars");
    }
    assert!(!book.records.contains_key(&many(0)) && book.records.contains_key(&many(50)));
    book.usable_peer(peer(1));
    book.disconnected(SECOND, peer(1));
    assert!(!book.records.contains_key(&peer(1)), "who is gone is forgotten before them");
    let (_, forgotten) = book.take_changes();
    assert_eq!(forgotten.len(), 51, "and out of the store, too");
}

#[test]
fn peers_of_other_chains_do_not_fill_the_memory() {
    let mut book = book();
    for number in 0..REMEMBERED_MAX as u64 + 50 {
        book.checked_as(SECOND, many(number), block(THEIRS));
        book.disconnected(SECOND, many(number));
    }
    assert_eq!(book.records.len(), REMEMBERED_MAX);
}

#[test]
fn stored_records_come_back_with_the_time_that_passed() {
    let mut before = book();
    let [liar, good, stranger] = [1, 2, 3].map(peer);
    before.banned_peer(SECOND, liar);
    for index in [good, stranger] {
        before.usable_peer(index);
    }
    for _ in 0..20 {
        let blocks = Evidence::Delivered { blocks: 32, failed: 0, bytes: 32_000 };
        before.observe(SECOND, good, &blocks);
    }
    let (stored, forgotten) = before.take_changes();
    assert!(forgotten.is_empty() && stored.len() == 3);
    assert!(before.take_changes().0.is_empty(), "each change once");
    before.not_stored(&[good]);
    assert_eq!(before.take_changes().0.len(), 1, "unless it was not stored");

    let later = SECOND + BAN / 2;
    let mut after = book();
    assert_eq!(after.connected(later, liar, address()), None, "nothing is known yet");
    assert_eq!(after.restore(later, stored.clone()), [Action::Disconnect(liar)]);
    assert_eq!(after.state(liar), PeerState::Banned);
    assert_eq!(after.ban_of(liar), before.ban_of(liar));
    let status = |book: &PeerBook| book.view().peers.into_iter().find(|peer| peer.blocks > 0);
    let (was, is) = (status(&before).unwrap(), status(&after).unwrap());
    assert_eq!((is.blocks, is.bytes), (was.blocks, was.bytes));
    assert!(is.trust < was.trust && is.trust > 500, "{} {}", is.trust, was.trust);

    let mut long_after = book();
    long_after.restore(SECOND + 100 * BAN, stored);
    assert!(long_after.refused(SECOND + 100 * BAN).is_empty());
}
