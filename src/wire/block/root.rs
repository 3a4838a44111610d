//! The identity of a block.

use sha2::{Digest, Sha256};

use crate::types::BlockRoot;

/// The leaf size of the tree. Unit: bytes.
const CHUNK_BYTES: usize = 32;

/// The root of an encoded message (a [`super::ConsensusBlock`]): the binary SHA-256 Merkle tree
/// over its bytes in chunks of 32, the last one and the number of chunks padded with zeros, the
/// latter to a power of two. Up to 32 bytes are their own root. The length is not mixed in.
///
/// It is at once the identity of the block, what its child names as parent and what its
/// authorities sign. It is defined over the canonical bytes only.
pub fn signing_root(message: &[u8]) -> BlockRoot {
    if message.len() <= CHUNK_BYTES {
        return BlockRoot::new(padded(message));
    }
    // The first level is hashed straight from the message; one buffer holds all levels above.
    let mut zeros = [0; CHUNK_BYTES];
    let mut nodes: Vec<[u8; CHUNK_BYTES]> = message
        .chunks(2 * CHUNK_BYTES)
        .map(|pair| match pair.split_at_checked(CHUNK_BYTES) {
            Some((left, right)) => hash_pair(left, &padded(right)),
            None => hash_pair(&padded(pair), &zeros),
        })
        .collect();
    while nodes.len() > 1 {
        zeros = hash_pair(&zeros, &zeros);
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
        let hash = hash_pair(left, right);
        if let Some(node) = nodes.get_mut(parent) {
            *node = hash;
        }
    }
    nodes.truncate(parents);
}

/// `bytes` (at most 32) with zeros behind.
fn padded(bytes: &[u8]) -> [u8; CHUNK_BYTES] {
    let mut chunk = [0; CHUNK_BYTES];
    for (to, from) in chunk.iter_mut().zip(bytes) {
        *to = *from;
    }
    chunk
}

fn hash_pair(left: &[u8], right: &[u8]) -> [u8; CHUNK_BYTES] {
    Sha256::new().chain_update(left).chain_update(right).finalize().into()
}
