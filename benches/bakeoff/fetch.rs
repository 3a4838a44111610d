//! Our end of one request: blocks become pieces, under a permit of the one budget, as in the fetch
//! task of the scheduler, whose constants these are.

use std::{collections::VecDeque, time::Duration};

use alys_sync::{
    flow::BytePermit,
    types::{Height, HeightRange, PeerId},
};
use futures::FutureExt as _;

/// Blocks that go to verification together. Unit: blocks. Source: the fetch task, as for the next
/// two. Lower or higher: not what a sync does.
const PIECE_BLOCKS: u64 = 32;
/// The same in bytes.
const PIECE_BYTES: u64 = 1 << 20;
/// How long blocks wait for others of their piece. Unit: time.
const PIECE_WAIT: Duration = Duration::from_millis(100);

/// Blocks that go to verification together.
pub(super) struct ReadyPiece {
    pub(super) range: HeightRange,
    pub(super) bytes: u64,
    pub(super) permit: BytePermit,
}

/// A request that is open at our end, or whose blocks are still being verified.
pub(super) struct OpenFetch {
    pub(super) at: usize,
    pub(super) peer: PeerId,
    /// How long the next block may take.
    pub(super) block_deadline: Duration,
    /// Blocks are still received.
    pub(super) receiving: bool,
    /// Pieces at verification.
    pub(super) verifying: usize,
    permit: BytePermit,
    /// What did not go to verification yet.
    rest: Option<HeightRange>,
    /// Blocks and bytes that wait to go.
    waiting: (u64, u64),
    /// When they go even if they are few.
    due: Option<Duration>,
    /// Since when the next block is waited for; not while memory is short.
    since: Option<Duration>,
    /// Sizes of blocks that lie in the stream because memory is short. The first was taken out.
    unread: VecDeque<u64>,
    /// The reply ended behind what lies in the stream.
    closed: bool,
}

/// What reading from the stream came to.
#[derive(Default)]
pub(super) struct Progress {
    pub(super) pieces: Vec<ReadyPiece>,
    /// The reply is over: all that was asked for is there, or the peer closed.
    pub(super) over: bool,
    /// Blocks wait for others since now.
    pub(super) due: Option<Duration>,
}

impl OpenFetch {
    pub(super) fn new(
        (at, peer): (usize, PeerId),
        range: HeightRange,
        block_deadline: Duration,
        permit: BytePermit,
        now: Duration,
    ) -> Self {
        Self {
            at,
            peer,
            block_deadline,
            receiving: true,
            verifying: 0,
            permit,
            rest: Some(range),
            waiting: (0, 0),
            due: None,
            since: Some(now),
            unread: VecDeque::new(),
            closed: false,
        }
    }

    /// Whether blocks lie in the stream because memory is short.
    pub(super) fn is_starved(&self) -> bool {
        self.receiving && !self.unread.is_empty()
    }

    /// When the next block is late; later than now also while memory is short.
    pub(super) fn late_at(&self, now: Duration) -> Duration {
        self.since.unwrap_or(now).saturating_add(self.block_deadline)
    }

    /// A block is there.
    pub(super) fn block(&mut self, now: Duration, bytes: u64) -> Progress {
        self.unread.push_back(bytes);
        // Those before it are waited for already.
        if self.unread.len() > 1 { Progress::default() } else { self.read(now) }
    }

    /// The peer has closed the reply.
    pub(super) fn close(&mut self, now: Duration) -> Progress {
        self.closed = true;
        if self.is_starved() { Progress::default() } else { self.read(now) }
    }

    /// Reads what lies in the stream, as far as memory allows.
    pub(super) fn read(&mut self, now: Duration) -> Progress {
        let mut progress = Progress::default();
        let due_before = self.due;
        while let Some(bytes) = self.unread.front().copied() {
            let all = self.waiting.1 + bytes;
            if self.permit.grow_to(all).now_or_never().is_none() {
                self.since = None;
                break;
            }
            self.unread.pop_front();
            self.since = Some(now);
            self.waiting = (self.waiting.0 + 1, all);
            let due = *self.due.get_or_insert(now.saturating_add(PIECE_WAIT));
            let full = self.waiting.0 >= PIECE_BLOCKS || all >= PIECE_BYTES;
            let complete = self.rest.is_none_or(|rest| rest.count() == self.waiting.0);
            if full || complete || due <= now {
                progress.pieces.extend(self.piece());
            }
        }
        progress.over = self.rest.is_none() || self.closed && self.unread.is_empty();
        if progress.over {
            progress.pieces.extend(self.piece());
        }
        progress.due = self.due.filter(|_| self.due != due_before);
        progress
    }

    /// What waits goes if its time has come.
    pub(super) fn piece_due(&mut self, now: Duration) -> Option<ReadyPiece> {
        if !self.receiving || self.is_starved() || self.due.is_none_or(|due| now < due) {
            return None;
        }
        self.piece()
    }

    /// What waits goes to verification.
    pub(super) fn piece(&mut self) -> Option<ReadyPiece> {
        self.due = None;
        let (blocks, bytes) = std::mem::take(&mut self.waiting);
        let (range, rest) = self.rest?.split_at(blocks);
        let range = range?;
        self.rest = rest;
        self.verifying += 1;
        let permit = self.permit.split(bytes, range.last().saturating_add(1));
        Some(ReadyPiece { range, bytes, permit })
    }

    /// Receives no more: what has not gone to verification is lost, and its memory free.
    pub(super) fn end(&mut self) {
        self.receiving = false;
        self.unread.clear();
        self.waiting = (0, 0);
        self.rest = None;
        drop(self.permit.split(u64::MAX, Height::GENESIS));
    }
}

#[cfg(test)]
mod tests {
    use alys_sync::flow::ByteBudget;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn fetch(budget: &ByteBudget, blocks: u64, reserved: u64) -> OpenFetch {
        let peer = super::super::run::peer_ids(1)[0];
        let range = HeightRange::new(Height::new(5), blocks).unwrap();
        let permit = budget.try_reserve(range.start(), reserved).unwrap();
        OpenFetch::new((0, peer), range, 1_000 * MS, permit, Duration::ZERO)
    }

    #[test]
    fn piece_goes_when_it_is_full_when_it_is_due_and_at_the_end() {
        let budget = ByteBudget::new(1 << 30);
        let mut fetch = fetch(&budget, 40, 40);
        let first = fetch.block(MS, 1);
        assert!(first.pieces.is_empty() && first.due == Some(101 * MS));
        for _ in 1..31 {
            assert!(fetch.block(2 * MS, 1).pieces.is_empty());
        }
        assert_eq!(fetch.block(3 * MS, 1).pieces[0].range.count(), 32);
        assert_eq!(fetch.block(4 * MS, 1).due, Some(104 * MS));
        assert!(fetch.piece_due(101 * MS).is_none());
        assert_eq!(fetch.piece_due(104 * MS).unwrap().range.count(), 1);
        fetch.block(200 * MS, 1);
        let end = fetch.close(201 * MS);
        assert!(end.over && end.pieces[0].range.count() == 1);
    }

    #[test]
    fn reply_that_is_larger_than_memory_waits_unread_and_without_a_deadline() {
        let budget = ByteBudget::new(100);
        let held = budget.try_reserve(Height::new(9), 90).unwrap();
        let mut fetch = fetch(&budget, 2, 10);
        assert!(fetch.block(MS, 20).pieces.is_empty() && fetch.is_starved());
        assert_eq!(fetch.late_at(700 * MS), 1_700 * MS);
        drop(held);
        fetch.read(800 * MS);
        assert_eq!((fetch.is_starved(), fetch.late_at(900 * MS)), (false, 1_800 * MS));
        let piece = fetch.block(900 * MS, 20).pieces.remove(0);
        assert_eq!((piece.bytes, piece.range.count(), budget.gauge().used), (40, 2, 40));
    }

    #[test]
    fn request_that_ends_gives_its_memory_back() {
        let budget = ByteBudget::new(100);
        let mut fetch = fetch(&budget, 10, 50);
        fetch.block(MS, 5);
        fetch.end();
        assert_eq!(budget.gauge().used, 0);
    }
}
