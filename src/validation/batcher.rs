//! Which blocks are verified together, and when: a decision without clock and threads.

use std::{collections::VecDeque, time::Duration};

use super::Urgency;

/// Waiting blocks that make a batch at once. Unit: blocks. Source: a block costs a quarter of a
/// single check from here on (`cargo bench --bench verification`). Too low: batches that cost more
/// for each block. Too high: blocks wait for others although workers idle.
pub(super) const BATCH_BLOCKS_MIN: usize = 64;

/// The most blocks of a batch. Unit: blocks. Source: the same; a batch of so many saves a fifth of
/// what one of 64 costs for each block, twice as many would save 4 % more. Too low: as above. Too
/// high: the part of a batch that one worker does alone (about a quarter) keeps the others waiting
/// at the end of a sync, and one bad block costs more good ones a second look.
pub(super) const BATCH_BLOCKS_MAX: usize = 256;

/// How long a block waits for others to share its batch. Unit: time. Source: about three single
/// verifications. Too low: new blocks at the head never share. Too high: each new block at the head
/// is late by this much.
pub(super) const BATCH_WAIT_MAX: Duration = Duration::from_millis(4);

/// Blocks that wait for a batch, in order of arrival.
#[derive(Debug)]
pub(super) struct Batcher<T> {
    urgent: VecDeque<T>,
    /// With the time each came.
    in_turn: VecDeque<(T, Duration)>,
}

impl<T> Default for Batcher<T> {
    fn default() -> Self {
        Self { urgent: VecDeque::new(), in_turn: VecDeque::new() }
    }
}

impl<T> Batcher<T> {
    /// Takes blocks in that came at `now`. `now` never falls.
    pub(super) fn push(
        &mut self,
        blocks: impl IntoIterator<Item = T>,
        urgency: Urgency,
        now: Duration,
    ) {
        match urgency {
            Urgency::AtOnce => self.urgent.extend(blocks),
            Urgency::InTurn => self.in_turn.extend(blocks.into_iter().map(|block| (block, now))),
        }
    }

    /// The next batch of urgent blocks. They never wait for others, and share with nobody who would
    /// make them wait.
    pub(super) fn cut_urgent(&mut self) -> Option<Vec<T>> {
        let count = self.urgent.len().min(BATCH_BLOCKS_MAX);
        (count > 0).then(|| self.urgent.drain(..count).collect())
    }

    /// The next batch in turn, if enough blocks wait or the first has waited long enough. To be
    /// asked when a worker is free: the longer none is, the larger the batch.
    pub(super) fn cut(&mut self, now: Duration) -> Option<Vec<T>> {
        let ripe =
            self.in_turn.len() >= BATCH_BLOCKS_MIN || self.ripe_at().is_some_and(|at| at <= now);
        if ripe { self.take() } else { None }
    }

    /// The next batch, ripe or not.
    pub(super) fn take(&mut self) -> Option<Vec<T>> {
        let count = self.in_turn.len().min(BATCH_BLOCKS_MAX);
        (count > 0).then(|| self.in_turn.drain(..count).map(|(block, _)| block).collect())
    }

    /// How long until the first block in turn has waited long enough. `None` if none waits, and
    /// if it has: [`Self::cut`] gives a batch then, so there is nothing to wait for but a worker.
    pub(super) fn ripens_in(&self, now: Duration) -> Option<Duration> {
        let wait = self.ripe_at()?.saturating_sub(now);
        (!wait.is_zero()).then_some(wait)
    }

    fn ripe_at(&self) -> Option<Duration> {
        self.in_turn.front().map(|(_, came)| came.saturating_add(BATCH_WAIT_MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1);

    fn waiting(blocks: usize) -> Batcher<usize> {
        let mut batcher = Batcher::default();
        batcher.push(0..blocks, Urgency::InTurn, NOW);
        batcher
    }

    #[test]
    fn few_blocks_wait_for_others_but_not_for_long() {
        let mut batcher = waiting(BATCH_BLOCKS_MIN - 1);
        assert_eq!(batcher.cut(NOW), None);
        let ripe = batcher.ripe_at().unwrap();
        assert_eq!(ripe, NOW + BATCH_WAIT_MAX);
        // One that comes later neither waits as long nor makes the others wait longer.
        batcher.push([99], Urgency::InTurn, ripe - Duration::from_nanos(1));
        assert_eq!(batcher.cut(ripe).map(|batch| batch.len()), Some(BATCH_BLOCKS_MIN));
        assert_eq!((batcher.cut(ripe), batcher.ripe_at()), (None, None));
    }

    #[test]
    fn who_gets_no_batch_is_told_to_come_back_later_and_then_gets_one() {
        for blocks in [1, BATCH_BLOCKS_MIN - 1] {
            for late in 0..=BATCH_WAIT_MAX.as_micros() + 1 {
                let now = NOW + Duration::from_micros(u64::try_from(late).unwrap());
                let mut batcher = waiting(blocks);
                let wait = batcher.ripens_in(now);
                assert_eq!(wait.is_none(), batcher.cut(now).is_some(), "{late} us");
                assert_eq!(batcher.cut(now + wait.unwrap_or_default()).is_some(), wait.is_some());
            }
        }
    }

    #[test]
    fn enough_blocks_are_a_batch_at_once_and_many_are_several() {
        let blocks = 2 * BATCH_BLOCKS_MAX + BATCH_BLOCKS_MIN;
        let mut batcher = waiting(blocks);
        let batches: Vec<_> = std::iter::from_fn(|| batcher.cut(NOW)).collect();
        let sizes: Vec<_> = batches.iter().map(Vec::len).collect();
        assert_eq!(sizes, [BATCH_BLOCKS_MAX, BATCH_BLOCKS_MAX, BATCH_BLOCKS_MIN]);
        assert_eq!(batches.concat(), (0..blocks).collect::<Vec<_>>(), "in order of arrival");
    }

    #[test]
    fn segments_share_a_batch() {
        let mut batcher = waiting(BATCH_BLOCKS_MIN / 2);
        batcher.push(100..100 + BATCH_BLOCKS_MIN, Urgency::InTurn, NOW);
        let batch = batcher.cut(NOW).unwrap();
        assert_eq!(batch.len(), BATCH_BLOCKS_MIN / 2 + BATCH_BLOCKS_MIN);
    }

    #[test]
    fn urgent_blocks_wait_for_nobody_and_share_with_each_other_only() {
        let mut batcher = waiting(10);
        assert_eq!(batcher.cut_urgent(), None);
        batcher.push([70], Urgency::AtOnce, NOW);
        batcher.push([71, 72], Urgency::AtOnce, NOW);
        assert_eq!(batcher.cut(NOW), None);
        assert_eq!(batcher.cut_urgent(), Some(vec![70, 71, 72]));
        assert_eq!(batcher.cut_urgent(), None);
        assert_eq!(batcher.take().map(|batch| batch.len()), Some(10));
    }
}
