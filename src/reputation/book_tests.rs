use proptest::prelude::*;

use super::*;
use crate::{
    consensus::BlockFault,
    doubles::peer,
    ports::Misuse,
    reputation::{CleanReply, ScoreWeights},
    resilience::ProvenBlock,
    types::{BlockRef, Height},
    validation::{Fault, ReplyFault},
    wire::block::BlockError,
};

const OURS: BlockRoot = BlockRoot::new([1; 32]);
const THEIRS: BlockRoot = BlockRoot::new([2; 32]);
const BAN: Duration = Duration::from_secs(3_600);
const SECOND: Duration = Duration::from_secs(1);

fn book() -> PeerBook {
    PeerBook::new(OURS, ReputationSettings { ban: BAN, ..ReputationSettings::default() })
}

fn address() -> Multiaddr {
    "/ip4/127.0.0.1/tcp/1".parse().unwrap()
}

/// A peer id that costs no key: for tests of many.
fn many(number: u64) -> PeerId {
    let mut digest = [0; 32];
    digest[..8].copy_from_slice(&number.to_be_bytes());
    PeerId::from_multihash(libp2p::multihash::Multihash::wrap(0x12, &digest).unwrap()).unwrap()
}

fn block(parent: BlockRoot) -> ProbeAnswer {
    ProbeAnswer::Block(ProvenBlock { height: Height::new(1), root: BlockRoot::ZERO, parent })
}

fn lie() -> ReplyFault {
    ReplyFault::Block(BlockFault::NoMajority { signers: 1, majority: 4 })
}

fn no_lie() -> ReplyFault {
    ReplyFault::OtherHeight { found: Height::new(9) }
}

fn lied() -> Evidence {
    Evidence::Lied(Fault { height: Height::new(1), fault: lie() })
}

fn useless() -> Evidence {
    Evidence::Useless(Fault { height: Height::new(1), fault: no_lie() })
}

fn not_linked(root: BlockRoot) -> Evidence {
    Evidence::NotLinked { block: BlockRef { height: Height::new(9), root } }
}

impl PeerBook {
    fn state(&self, peer: PeerId) -> PeerState {
        self.records[&peer].state.clone()
    }

    fn score(&self, peer: PeerId) -> u16 {
        self.records[&peer].score.overall(ScoreWeights::default())
    }

    /// Connects `peer` at `now` and answers its check.
    fn checked_as(&mut self, now: Duration, peer: PeerId, answer: ProbeAnswer) -> Option<Action> {
        assert_eq!(self.connected(now, peer, address()), None);
        assert_eq!(self.due_checks(now), [peer]);
        self.checked(now, peer, answer)
    }

    fn usable_peer(&mut self, peer: PeerId) {
        assert_eq!(self.checked_as(SECOND, peer, block(OURS)), None);
        assert_eq!(self.state(peer), PeerState::Usable);
    }

    fn banned_peer(&mut self, now: Duration, peer: PeerId) {
        let answer = ProbeAnswer::Fault { parent: None, fault: lie() };
        let action = self.checked_as(now, peer, answer);
        assert_eq!(action, Some(Action::Disconnect(peer)));
    }
}

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
        now += CHECK_AGAIN_MAX;
    }
    book.disconnected(now, peer);
    book.connected(now, peer, address());
    assert_eq!(book.due_checks(now), [peer], "a new connection is not made to wait");
    book.checked(now, peer, ProbeAnswer::NoVerdict);
    assert_eq!(book.due_checks(now + CHECK_AGAIN_FIRST), [peer], "nor are its pauses long");
}

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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Delivered(u64),
    Failed,
    Useless,
    NotLinked,
    Lied,
    Reconnected,
}

impl Seen {
    fn tell(self, book: &mut PeerBook, peer: PeerId) -> Option<Action> {
        let evidence = match self {
            Self::Delivered(blocks) => {
                Evidence::Delivered { blocks, failed: 0, bytes: blocks * 1_300 }
            }
            Self::Failed => Evidence::Failed(RequestError::Cut),
            Self::Useless => useless(),
            Self::NotLinked => not_linked(OURS),
            Self::Lied => lied(),
            Self::Reconnected => {
                book.disconnected(SECOND, peer);
                return book.connected(SECOND, peer, address());
            }
        };
        book.observe(SECOND, peer, &evidence)
    }
}

fn honest() -> impl Strategy<Value = Seen> {
    prop_oneof![
        (0_u64..200).prop_map(Seen::Delivered),
        Just(Seen::Failed),
        Just(Seen::Useless),
        Just(Seen::NotLinked),
        Just(Seen::Reconnected),
    ]
}

fn score_after(seen: &[Seen]) -> u16 {
    let (mut book, peer) = (book(), peer(1));
    book.usable_peer(peer);
    for seen in seen {
        seen.tell(&mut book, peer);
        assert!(book.score(peer) <= 1_000);
    }
    book.score(peer)
}

proptest! {
    #[test]
    fn evidence_that_proves_no_lie_never_bans(
        seen in prop::collection::vec(honest(), 0..300),
    ) {
        let (mut book, peer) = (book(), peer(1));
        book.usable_peer(peer);
        for seen in seen {
            prop_assert_eq!(seen.tell(&mut book, peer), None);
            prop_assert_ne!(book.state(peer), PeerState::Banned);
        }
    }

    #[test]
    fn third_lie_bans_whatever_lies_between(
        seen in prop::collection::vec(
            prop_oneof![3 => honest(), 1 => Just(Seen::Lied)],
            0..300,
        ),
    ) {
        let (mut book, peer, mut lies) = (book(), peer(1), 0);
        book.usable_peer(peer);
        for seen in seen {
            lies += u32::from(seen == Seen::Lied);
            seen.tell(&mut book, peer);
            prop_assert_eq!(book.state(peer) == PeerState::Banned, lies >= LIES_MAX);
        }
    }

    #[test]
    fn failure_more_never_raises_the_score(
        seen in prop::collection::vec(honest(), 0..60),
        at in any::<prop::sample::Index>(),
        failure in prop::sample::select(vec![Seen::Failed, Seen::Useless, Seen::NotLinked]),
    ) {
        let mut worse = seen.clone();
        worse.insert(at.index(seen.len() + 1), failure);
        prop_assert!(score_after(&worse) <= score_after(&seen));
    }

    #[test]
    fn delivery_more_never_lowers_the_score(
        seen in prop::collection::vec(honest(), 0..60),
        at in any::<prop::sample::Index>(),
    ) {
        let mut better = seen.clone();
        better.insert(at.index(seen.len() + 1), Seen::Delivered(1));
        prop_assert!(score_after(&better) >= score_after(&seen));
    }
}

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
        book.records[&peer(2)].probation > 0
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
