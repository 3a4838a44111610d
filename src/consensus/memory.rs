//! Signatures that were found valid, so that the same one need not be checked twice.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use super::majority::SignerSet;
use crate::{types::BlockRoot, wire::block::EncodedBlock};

/// What a verdict depends on. The authorities are those of the height, and the root fixes that.
type Known = (BlockRoot, SignerSet, [u8; 96]);

/// The signatures found valid of late. It forgets the older half when it is full.
#[derive(Debug)]
pub(super) struct SignatureMemory {
    half: usize,
    younger_and_older: Mutex<[BTreeSet<Known>; 2]>,
}

impl SignatureMemory {
    /// A memory for at least half of `capacity`, and for no more. Unit: signatures.
    pub(super) fn new(capacity: usize) -> Self {
        Self { half: (capacity / 2).max(1), younger_and_older: Mutex::default() }
    }

    fn key(block: &EncodedBlock, signers: SignerSet) -> Known {
        (block.root(), signers, *block.approval().signature.as_bytes())
    }

    /// The signature of `block` by `signers` is valid.
    pub(super) fn remember(&self, block: &EncodedBlock, signers: SignerSet) {
        let mut halves = self.younger_and_older.lock().unwrap_or_else(PoisonError::into_inner);
        let [younger, older] = &mut *halves;
        if younger.len() >= self.half {
            *older = std::mem::take(younger);
        }
        younger.insert(Self::key(block, signers));
    }

    /// Whether this very signature over this very block was found valid.
    pub(super) fn knows(&self, block: &EncodedBlock, signers: SignerSet) -> bool {
        let key = Self::key(block, signers);
        let halves = self.younger_and_older.lock().unwrap_or_else(PoisonError::into_inner);
        halves.iter().any(|half| half.contains(&key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doubles::blocks;

    #[test]
    fn memory_holds_at_least_half_of_its_capacity_and_no_more_than_all_of_it() {
        let memory = SignatureMemory::new(4);
        let known = |upto: u64| {
            let knows = |height: &u64| {
                let block = blocks().at(*height);
                memory.knows(&block, block.signers())
            };
            (1..=upto).filter(knows).collect::<Vec<_>>()
        };
        for height in 1..=6 {
            let block = blocks().at(height);
            memory.remember(&block, block.signers());
            let held = known(height);
            assert!(held.contains(&height) && held.len() <= 4, "{held:?}");
            assert!(held.len() as u64 >= height.min(2), "{held:?}");
        }
    }

    #[test]
    fn only_this_signature_by_these_signers_over_this_block_is_known() {
        let memory = SignatureMemory::new(4);
        let (block, other) = (blocks().at(1), blocks().at(2));
        memory.remember(&block, block.signers());
        assert!(memory.knows(&block, block.signers()));
        assert!(!memory.knows(&block, SignerSet::EMPTY));
        assert!(!memory.knows(&other, other.signers()));
    }
}
