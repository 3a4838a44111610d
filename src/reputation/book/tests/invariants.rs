//! What holds whatever a peer does.

use proptest::prelude::*;

use super::*;

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
