//! Each adversary does what it says, seen from the bytes it sends.

use std::time::Duration;

use alys_sync::{
    types::Height,
    wire::{
        block::EncodedBlock,
        request::BlocksByRangeRequest,
        response::{Chunk, ChunkDecoder, ChunkProgress},
    },
};
use rand::{SeedableRng as _, rngs::StdRng};

use super::{Ask, Role};
use crate::{
    fixture::{Fixture, Lie, Second},
    world::{Part, Reply},
};

/// What a reader gets of a reply.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Closed,
    InsideAChunk,
    Cut,
    Silence,
}

fn read(reply: &Reply) -> (Vec<bytes::Bytes>, End) {
    let (mut decoder, mut blocks) = (ChunkDecoder::for_blocks(), Vec::new());
    for part in &reply.parts {
        match part {
            Part::Pause(_) => {}
            Part::Cut => return (blocks, End::Cut),
            Part::Silence => return (blocks, End::Silence),
            Part::Bytes(bytes) => {
                let mut input = bytes.as_ref();
                while let Some(progress) = decoder.advance(&mut input).unwrap() {
                    if let ChunkProgress::Chunk(Chunk::Body(block)) = progress {
                        blocks.push(block);
                    }
                }
            }
        }
    }
    let end = if decoder.finish().is_ok() { End::Closed } else { End::InsideAChunk };
    (blocks, end)
}

/// The reply of `role` to a request on a chain of 12 blocks.
fn reply(role: Role, start: u64, count: u64) -> (Fixture, Reply) {
    let fixture = Fixture::new(12).unwrap();
    let request = BlocksByRangeRequest { start: Height::new(start), count };
    let mut rng = StdRng::seed_from_u64(7);
    let ask = Ask { fixture: &fixture, head: fixture.head.height, request };
    let reply = role.behaviour().answer(&ask, &mut rng);
    (fixture, reply)
}

fn heights(blocks: &[bytes::Bytes]) -> Vec<u64> {
    let height = |raw: &bytes::Bytes| EncodedBlock::decode(raw.clone()).unwrap().height().get();
    blocks.iter().map(height).collect()
}

#[test]
fn honest_peer_sends_what_is_asked_up_to_its_head() {
    let (blocks, end) = read(&reply(Role::Honest, 3, 4).1);
    assert_eq!((heights(&blocks), end), (vec![3, 4, 5, 6], End::Closed));
    let (blocks, end) = read(&reply(Role::Honest, 11, 100).1);
    assert_eq!((heights(&blocks), end), (vec![11, 12], End::Closed));
    assert_eq!(read(&reply(Role::Honest, 13, u64::MAX).1), (Vec::new(), End::Closed));
}

#[test]
fn one_block_server_sends_one_and_closes() {
    let (blocks, end) = read(&reply(Role::OneBlock, 3, 9).1);
    assert_eq!((heights(&blocks), end), (vec![3], End::Closed));
}

#[test]
fn silent_peer_sends_a_few_and_never_closes() {
    let (blocks, end) = read(&reply(Role::Silent { after_blocks: 2 }, 3, 9).1);
    assert_eq!((heights(&blocks), end), (vec![3, 4], End::Silence));
    let (blocks, end) = read(&reply(Role::Silent { after_blocks: 2 }, 1, 1).1);
    assert_eq!((heights(&blocks), end), (vec![1], End::Closed));
}

#[test]
fn cutter_breaks_off_inside_the_last_block() {
    let (blocks, end) = read(&reply(Role::Cutter { one_in: 1 }, 3, 3).1);
    assert_eq!((heights(&blocks), end), (vec![3, 4], End::Cut));
}

#[test]
fn stale_peer_has_the_true_chain_up_to_its_head() {
    let (blocks, end) = read(&reply(Role::Stale { head: Height::new(5) }, 3, 9).1);
    assert_eq!((heights(&blocks), end), (vec![3, 4, 5], End::Closed));
}

#[test]
fn liar_sends_provable_lies_where_it_says_and_a_true_first_block() {
    for lie in Lie::ALL {
        let (fixture, reply) = reply(Role::Liar { lie, one_in: 2 }, 1, 12);
        let (blocks, end) = read(&reply);
        assert_eq!((blocks.len(), end), (12, End::Closed));
        assert!(!reply.lies.is_empty() && !reply.lies.contains(&0), "{:?}", reply.lies);
        for (at, raw) in blocks.into_iter().enumerate() {
            let passes =
                EncodedBlock::decode(raw).is_ok_and(|block| fixture.verifier.verify(block).is_ok());
            assert_eq!(passes, !reply.lies.contains(&at), "{lie:?} at {at}");
        }
    }
}

#[test]
fn empty_peer_closes_with_nothing() {
    assert_eq!(read(&reply(Role::Empty, 1, 9).1), (Vec::new(), End::Closed));
}

#[test]
fn reordering_peer_sends_every_block_in_another_order() {
    let (blocks, end) = read(&reply(Role::Reordered, 3, 9).1);
    let mut found = heights(&blocks);
    assert_ne!(found, (3..12).collect::<Vec<_>>());
    found.sort_unstable();
    assert_eq!((found, end), ((3..12).collect(), End::Closed));
    assert_eq!(heights(&read(&reply(Role::Reordered, 1, 1).1).0), [1]);
}

#[test]
fn forked_peer_has_the_true_chain_below_its_own_and_both_are_signed() {
    let role = Role::Forked { fork: 2, head: Height::new(8) };
    let (fixture, reply) = reply(role, 1, 100);
    let (blocks, end) = read(&reply);
    assert_eq!((heights(&blocks), end), ((1..=8).collect(), End::Closed));
    let parts_above = fixture.fork_parts_above(2);
    for raw in blocks {
        let block = EncodedBlock::decode(raw.clone()).unwrap();
        let height = block.height();
        fixture.verifier.verify(block).unwrap();
        assert_eq!(fixture.block(height) == Some(raw), height <= parts_above, "{height}");
    }
    assert!(reply.lies.is_empty());
}

#[test]
fn equivocating_peer_has_two_blocks_for_a_height_and_proves_its_lie_with_the_second() {
    for second in Second::ALL {
        let fixture = Fixture::new(12).unwrap();
        let request = BlocksByRangeRequest { start: Height::new(1), count: 12 };
        let ask = Ask { fixture: &fixture, head: fixture.head.height, request };
        let mut rng = StdRng::seed_from_u64(7);
        let mut peer = Role::Equivocating { second, one_in: 2 }.behaviour();
        let replies: Vec<_> = (0..20).map(|_| peer.answer(&ask, &mut rng)).collect();
        let (lying, true_ones): (Vec<_>, Vec<_>) =
            replies.iter().partition(|reply| !reply.lies.is_empty());
        let (first, second) = (read(true_ones[0]).0, read(lying[0]).0);
        assert_eq!((heights(&first), heights(&second)), ((1..=12).collect(), (1..=12).collect()));
        assert_eq!(first[0], second[0]);
        assert!(first[1..].iter().zip(&second[1..]).all(|(first, second)| first != second));
        assert_eq!(lying[0].lies, (1..12).collect());
    }
}

#[test]
fn slow_peer_pauses_before_each_block() {
    let pause = Duration::from_millis(900);
    let reply = reply(Role::Slow { pause }, 3, 4).1;
    assert_eq!(heights(&read(&reply).0), [3, 4, 5, 6]);
    let pauses = reply.parts.iter().filter(|part| **part == Part::Pause(pause)).count();
    assert_eq!((pauses, &reply.parts[0]), (4, &Part::Pause(pause)));
}

#[test]
fn nobody_has_what_the_network_has_not_made_yet() {
    let fixture = Fixture::new(12).unwrap();
    let request = BlocksByRangeRequest { start: Height::new(7), count: 5 };
    let ask = Ask { fixture: &fixture, head: Height::new(6), request };
    let mut rng = StdRng::seed_from_u64(7);
    for role in [Role::Honest, Role::OneBlock, Role::Silent { after_blocks: 9 }, Role::Reordered] {
        let reply = role.behaviour().answer(&ask, &mut rng);
        assert_eq!(read(&reply), (Vec::new(), End::Closed), "{role:?}");
    }
}

#[test]
fn leaver_answers_in_full_and_leaves() {
    let role = Role::Leaver { one_in: 1, away: Duration::from_secs(3) };
    assert_eq!(heights(&read(&reply(role, 3, 2).1).0), [3, 4]);
    let mut rng = StdRng::seed_from_u64(7);
    assert_eq!(role.behaviour().leaves(&mut rng), Some(Duration::from_secs(3)));
    assert_eq!(Role::Honest.behaviour().leaves(&mut rng), None);
}
