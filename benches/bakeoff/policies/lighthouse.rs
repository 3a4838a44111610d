//! Lighthouse's range sync (`network/src/sync/range_sync`).
//!
//! Published: batches of one epoch, one at a time for each idle peer, chosen at random among those
//! that did not fail this batch before. At most five batches are under way or wait beyond the one
//! that is processed. Five downloads of a batch may fail, then the chain is given up. 15 s of
//! silence are a failure, which costs a peer 5 of its score; at -20 it is let go.
//!
//! Translated: an epoch is 32 slots, and here each has a block, so a batch is 32 blocks. A chain
//! that was given up begins anew a slot of 12 s later, as peers tell their status again. The
//! score's half life of 600 s is longer than a run and left out. Of a failed batch what has come
//! is kept, where Lighthouse would drop it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use alys_sync::{
    flow::RequestId,
    scheduler::{ArrivedPiece, Assignment, DownloadPolicy, DownloadView, EndedReply, ReplyEnd},
    types::{Height, PeerId},
};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

use super::open::{OpenRequests, lowest};

/// Blocks of a batch: `EPOCHS_PER_BATCH` of 1 with 32 slots.
const BATCH_BLOCKS: u64 = 32;
/// `BATCH_BUFFER_SIZE`.
const BUFFERED_BATCHES: u64 = 5;
/// `MAX_BATCH_DOWNLOAD_ATTEMPTS`.
const ATTEMPTS_MAX: u32 = 5;
/// `RESP_TIMEOUT`, of each chunk.
const SILENCE: Duration = Duration::from_secs(15);
/// Timeouts that let a peer go: -5 each, out at -20.
const TIMEOUTS_MAX: u32 = 4;
/// How long until a chain that was given up begins anew.
const SLOT: Duration = Duration::from_secs(12);

/// Failed downloads of a batch.
#[derive(Debug, Default)]
struct Attempts {
    failed: u32,
    by: BTreeSet<PeerId>,
}

/// Lighthouse's policy. See the module.
#[derive(Debug)]
pub(super) struct Lighthouse {
    chance: StdRng,
    open: OpenRequests,
    attempts: BTreeMap<u64, Attempts>,
    timeouts: BTreeMap<PeerId, u32>,
    given_up_until: Duration,
}

/// The batch that `height` belongs to.
fn batch(height: Height) -> u64 {
    height.get().saturating_sub(1) / BATCH_BLOCKS
}

impl Lighthouse {
    /// A policy whose choices among equals `seed` decides.
    pub(super) fn new(seed: u64) -> Self {
        Self {
            chance: StdRng::seed_from_u64(seed),
            open: OpenRequests::default(),
            attempts: BTreeMap::new(),
            timeouts: BTreeMap::new(),
            given_up_until: Duration::ZERO,
        }
    }
}

impl DownloadPolicy for Lighthouse {
    fn window_blocks(&self) -> u64 {
        (BUFFERED_BATCHES + 2) * BATCH_BLOCKS
    }

    fn joined(&mut self, _: Duration, peer: PeerId) {
        self.timeouts.insert(peer, 0);
    }

    fn left(&mut self, peer: PeerId) {
        self.timeouts.remove(&peer);
    }

    fn assign(&mut self, now: Duration, view: &DownloadView<'_>) -> Option<Assignment> {
        if now < self.given_up_until {
            return None;
        }
        let range = lowest(view, BATCH_BLOCKS)?;
        let (front, batch) = (batch(view.front), batch(range.start()));
        self.attempts = self.attempts.split_off(&front);
        if batch > front + BUFFERED_BATCHES {
            return None;
        }
        let (range, _) = range.split_at((batch + 1) * BATCH_BLOCKS + 1 - range.start().get());
        let failed = self.attempts.get(&batch);
        let idle = view.peers.iter().filter(|(peer, work)| {
            work.requests == 0 && self.timeouts.get(peer).is_some_and(|n| *n < TIMEOUTS_MAX)
        });
        let chance = &mut self.chance;
        let ranked = idle.map(|(peer, _)| {
            let failed = failed.is_some_and(|attempts| attempts.by.contains(peer));
            (failed, chance.random::<u64>(), *peer)
        });
        let (_, _, peer) = ranked.min()?;
        Some(Assignment { peer, range: range?, block_deadline: SILENCE })
    }

    fn sent(&mut self, now: Duration, request: RequestId, assignment: &Assignment, _: bool) {
        self.open.sent(now, request, assignment);
    }

    fn arrived(&mut self, now: Duration, piece: &ArrivedPiece) {
        self.open.arrived(now, piece.request);
    }

    fn ended(&mut self, now: Duration, reply: &EndedReply) {
        let Some(open) = self.open.ended(reply.request) else { return };
        // Nothing is cancelled but what is open at a peer that leaves, which is a failure, too.
        if !matches!(reply.end, ReplyEnd::Failed | ReplyEnd::Cancelled) {
            return;
        }
        if now.saturating_sub(open.heard) >= SILENCE
            && let Some(timeouts) = self.timeouts.get_mut(&reply.peer)
        {
            *timeouts += 1;
        }
        let attempts = self.attempts.entry(batch(reply.next)).or_default();
        attempts.failed += 1;
        attempts.by.insert(reply.peer);
        if attempts.failed >= ATTEMPTS_MAX {
            self.attempts.clear();
            self.given_up_until = now.saturating_add(SLOT);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::Play, *};

    #[test]
    fn each_idle_peer_has_one_batch_of_32_and_no_more_than_the_buffer_holds() {
        let mut play = Play::new(Lighthouse::new(1), 4, 1_000);
        let asked: Vec<_> = play.ask().iter().map(|(_, asked)| asked.range.count()).collect();
        assert_eq!((asked, play.requests()), (vec![32; 4], vec![1; 4]));
        let mut play = Play::new(Lighthouse::new(1), 9, 1_000);
        assert_eq!(play.ask().len(), 6, "the one at the front and five");
        play.front = Height::new(33);
        assert_eq!(play.ask().len(), 7);
    }

    #[test]
    fn failed_batch_goes_to_another_peer_and_the_fifth_failure_ends_the_chain() {
        let mut play = Play::new(Lighthouse::new(1), 8, 32);
        let mut seen = BTreeSet::new();
        for _ in 0..ATTEMPTS_MAX {
            let (request, assignment) = play.ask().remove(0);
            assert!(seen.insert(assignment.peer), "who failed it is asked again");
            play.end(request, 0, ReplyEnd::Failed);
        }
        assert!(play.ask().is_empty());
        play.now += SLOT;
        assert_eq!(play.ask().len(), 1);
    }
}
