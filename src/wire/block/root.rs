//! The identity of a block.

use std::slice;

use sha2::block_api::compress256;

use crate::types::BlockRoot;

/// The leaf size of the tree, and what a hash has. Unit: bytes.
const CHUNK_BYTES: usize = 32;

/// What is hashed at a node: two chunks, which is just one block of SHA-256. Unit: bytes.
const PAIR_BYTES: usize = 2 * CHUNK_BYTES;

/// The state of SHA-256 before the first block. Source: FIPS 180-4, section 5.3.3. Any other value
/// makes every root wrong.
const SHA256_INITIAL: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// The block that SHA-256 puts behind a message of 64 bytes: an end mark, zeros, and the length of
/// 512 bits. Source: FIPS 180-4, section 5.1.1. Any other value makes every root wrong.
const PADDING_AFTER_PAIR: [u8; PAIR_BYTES] = {
    let mut block = [0; PAIR_BYTES];
    block[0] = 0x80;
    block[PAIR_BYTES - 2] = 0x02;
    block
};

/// The root of an encoded message (a [`super::ConsensusBlock`]): the binary SHA-256 Merkle tree
/// over its bytes in chunks of 32, the last one and the number of chunks padded with zeros, the
/// latter to a power of two. Up to 32 bytes are their own root. The length is not mixed in.
///
/// It is at once the identity of the block, what its child names as parent and what its
/// authorities sign. It is defined over the canonical bytes only.
///
/// The compression function uses the CPU's SHA instructions where it has them (x86 SHA-NI, ARMv8
/// SHA-2, found out at run time) and is plain code elsewhere. A node is hashed as its two blocks,
/// the pair and a constant, past the buffer of an incremental hasher.
pub fn signing_root(message: &[u8]) -> BlockRoot {
    if message.len() <= CHUNK_BYTES {
        return BlockRoot::new(padded(message));
    }
    // The first level is hashed straight from the message; one buffer holds all levels above.
    let mut zeros = [0; CHUNK_BYTES];
    let (pairs, rest) = message.as_chunks();
    let mut nodes: Vec<[u8; CHUNK_BYTES]> = Vec::with_capacity(pairs.len() + 1);
    nodes.extend(pairs.iter().map(hash_pair));
    if !rest.is_empty() {
        nodes.push(hash_pair(&padded(rest)));
    }
    while nodes.len() > 1 {
        zeros = hash_pair(&pair(&zeros, &zeros));
        halve(&mut nodes, &zeros);
    }
    BlockRoot::new(nodes.first().copied().unwrap_or_default())
}

/// Replaces each two nodes by their parent; `zeros` is the sibling that an odd last one lacks.
fn halve(nodes: &mut Vec<[u8; CHUNK_BYTES]>, zeros: &[u8; CHUNK_BYTES]) {
    let parents = nodes.len().div_ceil(2);
    for parent in 0..parents {
        let left = nodes.get(2 * parent).unwrap_or(zeros);
        let right = nodes.get(2 * parent + 1).unwrap_or(zeros);
        let hash = hash_pair(&pair(left, right));
        if let Some(node) = nodes.get_mut(parent) {
            *node = hash;
        }
    }
    nodes.truncate(parents);
}

/// `bytes` (at most `N`) with zeros behind.
fn padded<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut chunk = [0; N];
    for (to, from) in chunk.iter_mut().zip(bytes) {
        *to = *from;
    }
    chunk
}

/// Two chunks side by side.
fn pair(left: &[u8; CHUNK_BYTES], right: &[u8; CHUNK_BYTES]) -> [u8; PAIR_BYTES] {
    let mut pair = [0; PAIR_BYTES];
    let (left_half, right_half) = pair.split_at_mut(CHUNK_BYTES);
    left_half.copy_from_slice(left);
    right_half.copy_from_slice(right);
    pair
}

/// The SHA-256 of a pair.
fn hash_pair(pair: &[u8; PAIR_BYTES]) -> [u8; CHUNK_BYTES] {
    let mut state = SHA256_INITIAL;
    compress256(&mut state, slice::from_ref(pair));
    compress256(&mut state, slice::from_ref(&PADDING_AFTER_PAIR));
    let mut hash = [0; CHUNK_BYTES];
    for (bytes, word) in hash.as_chunks_mut().0.iter_mut().zip(state) {
        *bytes = word.to_be_bytes();
    }
    hash
}
