use super::*;
use crate::{
    ports::ChainError,
    types::{BlockRef, BlockRoot},
};

/// A chain from genesis on.
#[derive(Clone)]
struct Chain(Vec<Bytes>);

impl BlockSource for Chain {
    fn head(&self) -> BlockRef {
        let height = Height::new(self.0.len() as u64 - 1);
        BlockRef { height, root: BlockRoot::ZERO }
    }

    fn oldest(&self) -> Height {
        Height::GENESIS
    }

    fn read(&self, start: Height, blocks: usize, bytes: usize) -> Result<Vec<Bytes>, ChainError> {
        let mut read = 0;
        let start = usize::try_from(start.get()).unwrap();
        let blocks = self.0.iter().skip(start).take(blocks).take_while(|block| {
            let fits = read < bytes;
            read += block.len();
            fits
        });
        Ok(blocks.cloned().collect())
    }
}

/// Blocks of different lengths, of which no two are alike.
fn chain(count: u8) -> Chain {
    let block = |n: u8| {
        let filling = (0..=u8::MAX).cycle().map(|i| n ^ i.wrapping_mul(i));
        filling.take(40 + usize::from(n) * 37 % 300).collect()
    };
    Chain((0..count).map(block).collect())
}

fn start(blocks: u64) -> Position {
    Position::start(Height::new(1), blocks)
}

fn whole(chain: &Chain, blocks: u64) -> Vec<u8> {
    let sent = chain.0.iter().skip(1).take(usize::try_from(blocks).unwrap());
    sent.flat_map(|block| encode_block_chunk(block).unwrap()).collect()
}

/// A reply of which `takes` of each piece is sent, and what all of it costs.
fn reply(chain: &Chain, blocks: u64, takes: impl Fn(usize) -> usize) -> (Vec<u8>, Cost) {
    let (mut sent, mut cost) = (Vec::new(), Cost::default());
    let mut position = Some(start(blocks));
    while let Some(at) = position {
        let (bytes, map) = read_piece(chain, at, 5, 900);
        if bytes.is_empty() {
            break;
        }
        let count = takes(bytes.len()).clamp(1, bytes.len());
        sent.extend_from_slice(&bytes[..count]);
        let [all, back] = [0, count].map(|sent| map.cost_behind(bytes.len(), sent));
        cost = cost.and(all.without(back));
        position = map.after(&bytes, count);
    }
    (sent, cost)
}

#[test]
fn reply_goes_on_at_any_byte() {
    let chain = chain(30);
    for blocks in [1, 7, 29, 1000] {
        let expected = whole(&chain, blocks);
        let count = blocks.min(29) as u32;
        let bytes = expected.len() as u64;
        for step in [1, 2, 41, 97, 150, 333, 700, usize::MAX] {
            let (sent, cost) = reply(&chain, blocks, |_| step);
            assert!(sent == expected, "{blocks} blocks, {step} bytes at once");
            assert_eq!(cost, Cost { requests: 0, blocks: count, bytes });
        }
        for short in (1..300).step_by(7) {
            let (sent, _) = reply(&chain, blocks, |bytes| bytes.saturating_sub(short));
            assert!(sent == expected, "{blocks} blocks, each piece cut by {short} bytes");
        }
    }
}

#[test]
fn reply_ends_where_the_block_sent_last_is_another_now() {
    let chain = chain(30);
    let (bytes, map) = read_piece(&chain, start(20), 5, usize::MAX as u64);
    assert_eq!(map.blocks.len(), 5);
    for sent in 1..=bytes.len() {
        let position = map.after(&bytes, sent).unwrap();
        let last = usize::try_from(position.next.get()).unwrap() - 1;
        // What lies below the block sent last and above it may change with it.
        for changed in 1..30 {
            let mut other = chain.clone();
            other.0[changed..].iter_mut().for_each(|block| *block = Bytes::from(vec![9; 50]));
            let (more, _) = read_piece(&other, position, 5, usize::MAX as u64);
            assert_eq!(more.is_empty(), changed <= last, "{sent} sent, other from {changed} on");
        }
        let mut shorter = chain.clone();
        shorter.0.truncate(last);
        assert!(read_piece(&shorter, position, 5, usize::MAX as u64).0.is_empty());
    }
}

#[test]
fn no_refusal_is_put_into_the_middle_of_a_block() {
    let chain = chain(3);
    let (bytes, map) = read_piece(&chain, start(2), 5, usize::MAX as u64);
    let within = map.after(&bytes, 5).unwrap();
    assert!(refused(within, ResponseCode::ServerError, "no").0.is_empty());
    let between = map.after(&bytes, map.blocks[0].end).unwrap();
    assert!(!refused(between, ResponseCode::ServerError, "no").0.is_empty());
}
