//! When the front of the window is asked a second time.
//!
//! Everything waits for the lowest height that has not arrived. If its peer stalls, another one is
//! asked for the same blocks, and whoever delivers first has them; the other request is given up,
//! which is no fault of its peer. How long is too long follows from how long replies take here. A
//! peer that drips its blocks never stalls: there the question is whether one with nothing to do
//! would have all of them before the next drop.

use std::{collections::VecDeque, time::Duration};

/// How many blocks at the front a second peer is asked for. Unit: blocks. Source: one piece of a
/// reply, so that the race is over when the first piece is there. Too low: a round trip for few
/// blocks. Too high: more comes twice.
pub(in crate::scheduler) const HEDGE_BLOCKS: u64 = 32;

/// Waits that are remembered. Unit: replies. Too low: one outlier decides. Too high: a network that
/// became slow or quick is noticed late.
const SAMPLES_MAX: usize = 128;

/// Waits below which nothing is known. Source: as many as make the quantile more than the longest.
const SAMPLES_MIN: usize = 20;

/// The wait before anything is known. Unit: time. Too low: every first reply over a long way is
/// asked twice. Too high: a sync that begins with a silent peer loses so much.
const WAIT_UNKNOWN: Duration = Duration::from_secs(1);

/// The shortest wait. Unit: time. Too low: on quick networks a busy moment of ours looks like a
/// stall. Too high: each stall costs so much.
const WAIT_MIN: Duration = Duration::from_millis(250);

/// The quantile of waits, in hundredths, beyond which a reply is late. Source: "The Tail at Scale"
/// hedges at the 95th, which doubles one request in twenty.
const LATE_PERCENT: usize = 95;

/// A wait is too long at this many times the quantile: what is late may still come.
const LATE_FACTOR: u32 = 2;

/// A drip that is over within that is waited for. Unit: time. Too low: the ends of requests over
/// slow links come twice. Too high: each drip costs so much.
const DRIP_MIN: Duration = Duration::from_secs(2);

/// Of all blocks, one in so many may be asked twice. Too low: stalls that could be cured are not.
/// Too high: a way that drops much is loaded more.
const BLOCKS_PER_HEDGED: u64 = 20;

/// Blocks that may be asked twice before any arrived. Unit: blocks. Enough for a few stalls at the
/// start.
const HEDGED_AT_FIRST: u64 = 8 * HEDGE_BLOCKS;

/// Decides when the front is asked again.
#[derive(Debug, Default)]
pub(super) struct Hedging {
    /// How long pieces of replies took, each from its request or the piece before.
    waits: VecDeque<Duration>,
    /// Blocks that arrived.
    arrived: u64,
    /// Blocks that were asked twice.
    hedged: u64,
}

impl Hedging {
    /// A piece of `blocks` arrived after `wait`.
    pub(super) fn arrived(&mut self, blocks: u64, wait: Duration) {
        self.arrived = self.arrived.saturating_add(blocks);
        if self.waits.len() == SAMPLES_MAX {
            self.waits.pop_front();
        }
        self.waits.push_back(wait);
    }

    /// Whether a front that has waited for `waited` may be asked again for `blocks`.
    pub(super) fn is_due(&self, waited: Duration, blocks: u64) -> bool {
        waited >= WAIT_MIN && self.may_send(blocks) && waited >= self.patience()
    }

    /// Whether a front of `blocks` may be asked again whose peer needs `pace` for each, of one that
    /// would have all of them within `elsewhere`: before the next drop, which would end the race.
    pub(super) fn is_dripped(&self, pace: Duration, blocks: u64, elsewhere: Duration) -> bool {
        let rest = pace.saturating_mul(u32::try_from(blocks).unwrap_or(u32::MAX));
        self.may_send(blocks) && pace > elsewhere && rest > DRIP_MIN
    }

    fn may_send(&self, blocks: u64) -> bool {
        self.hedged + blocks <= self.arrived / BLOCKS_PER_HEDGED + HEDGED_AT_FIRST
    }

    /// It is asked again.
    pub(super) fn sent(&mut self, blocks: u64) {
        self.hedged = self.hedged.saturating_add(blocks);
    }

    /// How long the front may wait.
    fn patience(&self) -> Duration {
        if self.waits.len() < SAMPLES_MIN {
            return WAIT_UNKNOWN;
        }
        let mut waits: Vec<_> = self.waits.iter().copied().collect();
        waits.sort_unstable();
        let late = waits.get(waits.len() * LATE_PERCENT / 100).copied().unwrap_or_default();
        late.saturating_mul(LATE_FACTOR).max(WAIT_MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn after(waits: impl IntoIterator<Item = Duration>) -> Hedging {
        let mut hedging = Hedging::default();
        waits.into_iter().for_each(|wait| hedging.arrived(32, wait));
        hedging
    }

    #[test]
    fn patience_follows_the_slow_replies_not_the_slowest() {
        assert_eq!(after([]).patience(), WAIT_UNKNOWN);
        assert_eq!(after([5 * MS; SAMPLES_MIN - 1]).patience(), WAIT_UNKNOWN);
        assert_eq!(after([5 * MS; SAMPLES_MIN]).patience(), WAIT_MIN);
        let mut waits = vec![200 * MS; 100];
        waits.extend([8_000 * MS; 4]);
        assert_eq!(after(waits.clone()).patience(), 400 * MS);
        waits.extend([8_000 * MS; 20]);
        assert_eq!(after(waits).patience(), 16_000 * MS, "a slow network is no stall");
    }

    #[test]
    fn drip_is_noticed_by_how_much_earlier_another_would_be() {
        let hedging = after([MS; SAMPLES_MIN]);
        assert!(hedging.is_dripped(2_600 * MS, 16, 500 * MS), "41 s against half a second");
        assert!(!hedging.is_dripped(2_600 * MS, 16, 2_700 * MS), "that is how it is here");
        assert!(!hedging.is_dripped(150 * MS, 32, 300 * MS), "the next drop would be first");
        assert!(!hedging.is_dripped(50 * MS, 16, 10 * MS), "it is there soon");
        assert!(!hedging.is_dripped(2_600 * MS, HEDGED_AT_FIRST + 100, MS), "too much at once");
    }

    #[test]
    fn old_waits_are_forgotten() {
        let mut waits = vec![8_000 * MS; SAMPLES_MAX];
        waits.extend([100 * MS; SAMPLES_MAX]);
        assert_eq!(after(waits).patience(), WAIT_MIN);
    }

    #[test]
    fn no_more_than_a_part_of_all_blocks_is_asked_twice() {
        let mut hedging = after([MS; 1_000]);
        let mut asked = 0;
        while hedging.is_due(WAIT_UNKNOWN, HEDGE_BLOCKS) {
            hedging.sent(HEDGE_BLOCKS);
            asked += HEDGE_BLOCKS;
        }
        assert!(asked <= 32_000 / BLOCKS_PER_HEDGED + HEDGED_AT_FIRST, "{asked}");
        assert!(asked > 32_000 / BLOCKS_PER_HEDGED);
    }
}
