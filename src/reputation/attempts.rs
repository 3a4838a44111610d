//! Blocks that a majority signed and that did not fit: who sent which, until the chain shows who
//! was right. Pure.

use std::collections::VecDeque;

use super::evidence::EvidenceKind;
use crate::types::{BlockRef, BlockRoot, Height, PeerId};

/// Attempts remembered; the oldest go. Unit: attempts. Too low: forked servers get away with it.
/// Too high: memory that anybody with a fork can fill.
const ATTEMPTS_MAX: usize = 1_024;

/// What one peer sent for one height.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Attempt {
    peer: PeerId,
    height: Height,
    root: BlockRoot,
    /// As what it was counted against the peer.
    kind: EvidenceKind,
    /// How often.
    times: u32,
}

/// What the chain says to the attempts at a height.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Settled {
    /// Who had sent the block that was imported, as what that was counted, and how often.
    pub(super) acquitted: Vec<(PeerId, EvidenceKind, u32)>,
    /// Who had sent another.
    pub(super) convicted: Vec<PeerId>,
}

/// All attempts, oldest first.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    attempts: VecDeque<Attempt>,
}

impl Attempts {
    /// `peer` sent `block`, which did not fit and was counted against it as `kind`.
    pub(super) fn remember(&mut self, peer: PeerId, block: BlockRef, kind: EvidenceKind) {
        let BlockRef { height, root } = block;
        let same = |known: &&mut Attempt| {
            (known.peer, known.height, known.root, known.kind) == (peer, height, root, kind)
        };
        if let Some(known) = self.attempts.iter_mut().find(same) {
            known.times = known.times.saturating_add(1);
            return;
        }
        if self.attempts.len() >= ATTEMPTS_MAX {
            self.attempts.pop_front();
        }
        self.attempts.push_back(Attempt { peer, height, root, kind, times: 1 });
    }

    /// The heights of attempts, each once.
    pub(super) fn heights(&self) -> Vec<Height> {
        let mut heights: Vec<_> = self.attempts.iter().map(|attempt| attempt.height).collect();
        heights.sort_unstable();
        heights.dedup();
        heights
    }

    /// The block at `height` was imported, and this is its root.
    pub(super) fn settle(&mut self, height: Height, root: BlockRoot) -> Settled {
        let mut settled = Settled::default();
        self.attempts.retain(|attempt| {
            if attempt.height != height {
                return true;
            }
            if attempt.root == root {
                settled.acquitted.push((attempt.peer, attempt.kind, attempt.times));
            } else {
                settled.convicted.push(attempt.peer);
            }
            false
        });
        settled
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doubles::peer;

    const OURS: BlockRoot = BlockRoot::new([1; 32]);
    const THEIRS: BlockRoot = BlockRoot::new([2; 32]);

    fn h(height: u64) -> Height {
        Height::new(height)
    }

    fn block(height: u64, root: BlockRoot) -> BlockRef {
        BlockRef { height: h(height), root }
    }

    #[test]
    fn imported_block_acquits_its_senders_and_convicts_the_others() {
        let mut attempts = Attempts::default();
        for (sender, height, root) in
            [(1, 7, OURS), (2, 7, THEIRS), (1, 7, OURS), (2, 8, OURS), (3, 7, THEIRS)]
        {
            attempts.remember(peer(sender), block(height, root), EvidenceKind::NotLinked);
        }
        assert_eq!(attempts.heights(), [h(7), h(8)]);
        let settled = attempts.settle(h(7), OURS);
        assert_eq!(settled.acquitted, [(peer(1), EvidenceKind::NotLinked, 2)]);
        assert_eq!(settled.convicted, [peer(2), peer(3)]);
        assert_eq!(attempts.settle(h(7), OURS), Settled::default(), "once is enough");
        assert_eq!(attempts.heights(), [h(8)]);
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_go() {
        let mut attempts = Attempts::default();
        for height in 0..ATTEMPTS_MAX as u64 + 10 {
            attempts.remember(peer(1), block(height, THEIRS), EvidenceKind::Useless);
        }
        assert_eq!(attempts.attempts.len(), ATTEMPTS_MAX);
        assert_eq!(attempts.heights()[0], h(10));
    }
}
