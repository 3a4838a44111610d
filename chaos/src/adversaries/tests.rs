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
    fixture::{Fixture, Lie},
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
    let reply = role.behaviour().answer(&Ask { fixture: &fixture, request }, &mut rng);
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
fn leaver_answers_in_full_and_leaves() {
    let role = Role::Leaver { one_in: 1, away: Duration::from_secs(3) };
    assert_eq!(heights(&read(&reply(role, 3, 2).1).0), [3, 4]);
    let mut rng = StdRng::seed_from_u64(7);
    assert_eq!(role.behaviour().leaves(&mut rng), Some(Duration::from_secs(3)));
    assert_eq!(Role::Honest.behaviour().leaves(&mut rng), None);
}
