//! How the bytes a second that all downloads together may use are divided between the peers. Pure.

use std::time::Duration;

use crate::types::PeerId;

/// How much more than it delivers a peer may be given. Source: enough to double in a few seconds.
/// Too low: a peer that could give more never shows it. Too high: others are held back for nothing.
const HEADROOM: f64 = 1.25;

/// What is asked for beyond a share. Source: the limit itself is kept by reading no more, and some
/// of a share is lost to rounding. Too low: the limit is not used. Too high: shares are not kept.
const BEYOND_SHARE: f64 = 1.1;
/// What a peer may save up of its share. Unit: time at its share. Too low: far peers idle. Too
/// high: one that was away takes all for that long.
const SAVED_MAX: Duration = Duration::from_secs(1);
/// The least that is asked for. Unit: time at the peer's share. Too low: many small requests. Too
/// high: blocks come in bursts.
const REQUEST_MIN: Duration = Duration::from_millis(100);

/// How the overall limit is divided between peers. Without a limit it only orders them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Allocation {
    /// The same for each: nobody is asked for more than others, and what one cannot give is not
    /// used.
    EqualShare,
    /// In proportion to what each was measured to deliver.
    #[default]
    Performance,
    /// The peers with the best scores first, as much as they deliver.
    Priority,
    /// The same for each, and what one cannot give goes to those who can.
    Dynamic,
}

/// A peer as far as a division has to know it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Claimant {
    pub(super) peer: PeerId,
    /// What it was measured to deliver, if it was. Unit: that of the limit.
    pub(super) rate: Option<f64>,
    /// Unit: thousandths.
    pub(super) score: u16,
}

impl Claimant {
    /// The most that it could be given to any use; without bound for one never measured.
    fn could_use(&self) -> f64 {
        self.rate.map_or(f64::INFINITY, |rate| rate * HEADROOM)
    }
}

/// What of `limit` `peer` gets, one of `claimants`. Unit: that of the limit.
pub(super) fn share(
    allocation: Allocation,
    limit: f64,
    claimants: &[Claimant],
    peer: PeerId,
) -> f64 {
    let Some(own) = claimants.iter().find(|claimant| claimant.peer == peer) else { return 0.0 };
    let equal = limit / claimants.len() as f64;
    match allocation {
        Allocation::EqualShare => equal,
        Allocation::Performance => {
            let known: Vec<f64> = claimants.iter().filter_map(|claimant| claimant.rate).collect();
            let all: f64 = known.iter().sum();
            // One that was never measured counts as an average one.
            let average = if known.is_empty() { 1.0 } else { all / known.len() as f64 };
            let all = all + average * (claimants.len() - known.len()) as f64;
            if all > 0.0 { limit * own.rate.unwrap_or(average) / all } else { equal }
        }
        Allocation::Priority => {
            let before = |other: &&Claimant| {
                (other.score, std::cmp::Reverse(other.peer))
                    > (own.score, std::cmp::Reverse(own.peer))
            };
            let taken: f64 = claimants.iter().filter(before).map(Claimant::could_use).sum();
            (limit - taken).max(0.0)
        }
        Allocation::Dynamic => {
            let mut claims: Vec<f64> = claimants.iter().map(Claimant::could_use).collect();
            claims.sort_by(f64::total_cmp);
            let mut left = limit;
            for (at, claim) in claims.iter().enumerate() {
                let each = left / (claims.len() - at) as f64;
                if *claim > each {
                    return each;
                }
                if *claim >= own.could_use() {
                    return own.could_use();
                }
                left -= claim;
            }
            equal
        }
    }
}

/// What one peer may be asked for by its share, as it grows with time. What is asked for is what
/// counts: how much is outstanding at once says little of what a peer brings a second.
#[derive(Debug, Clone)]
pub(super) struct Allotment {
    /// Unit: blocks; less than none when more was asked for than was there.
    saved: f64,
    /// The share when it grew last. Unit: blocks a second.
    share: f64,
    grown_at: Duration,
}

impl Allotment {
    pub(super) fn new(now: Duration) -> Self {
        Self { saved: 0.0, share: 0.0, grown_at: now }
    }

    /// It is `now`, and the share is so many blocks a second.
    pub(super) fn grow(&mut self, now: Duration, share: f64) {
        let passed = now.saturating_sub(self.grown_at).as_secs_f64();
        let most = (share * SAVED_MAX.as_secs_f64()).max(1.0);
        self.saved = (self.saved + share * BEYOND_SHARE * passed).min(most);
        (self.share, self.grown_at) = (share, now);
    }

    /// So many blocks were asked for.
    pub(super) fn spend(&mut self, blocks: u64) {
        self.saved -= blocks as f64;
    }

    /// How many blocks may be asked for; 0 while they are too few for a request.
    pub(super) fn blocks(&self) -> u64 {
        let least = (self.share * REQUEST_MIN.as_secs_f64()).max(1.0);
        if self.saved < least {
            return 0;
        }
        // More than a `u64` holds is as many as it holds.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
        let blocks = self.saved as u64;
        blocks
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doubles::peer;

    fn claimants(peers: &[(Option<f64>, u16)]) -> Vec<Claimant> {
        let seeds = 1..=u8::try_from(peers.len()).unwrap();
        let ids = seeds.map(peer);
        ids.zip(peers).map(|(peer, &(rate, score))| Claimant { peer, rate, score }).collect()
    }

    fn shares(allocation: Allocation, peers: &[(Option<f64>, u16)]) -> Vec<f64> {
        let claimants = claimants(peers);
        claimants.iter().map(|own| share(allocation, 100.0, &claimants, own.peer)).collect()
    }

    #[test]
    fn equal_shares_are_equal_whatever_peers_give() {
        let peers = [(Some(1.0), 900), (Some(500.0), 100), (None, 500), (Some(0.0), 0)];
        assert_eq!(shares(Allocation::EqualShare, &peers), [25.0; 4]);
    }

    #[test]
    fn by_performance_each_gets_in_proportion_and_an_unknown_one_as_an_average_one() {
        let peers = [(Some(10.0), 500), (Some(30.0), 500), (None, 500)];
        let shares = shares(Allocation::Performance, &peers);
        for (share, expected) in shares.iter().zip([100.0 / 6.0, 50.0, 100.0 / 3.0]) {
            assert!((share - expected).abs() < 1e-9, "{shares:?}");
        }
    }

    #[test]
    fn by_priority_the_best_come_first_and_leave_what_they_cannot_use() {
        let peers = [(Some(40.0), 100), (Some(40.0), 900), (Some(40.0), 500), (Some(40.0), 50)];
        let shares = shares(Allocation::Priority, &peers);
        assert_eq!(shares, [0.0, 100.0, 50.0, 0.0]);
    }

    #[test]
    fn dynamic_shares_are_the_fairest_that_use_the_limit() {
        let peers = [(Some(8.0), 500), (Some(400.0), 500), (None, 500), (Some(16.0), 500)];
        assert_eq!(shares(Allocation::Dynamic, &peers), [10.0, 35.0, 35.0, 20.0]);
        let idle = [(Some(8.0), 500), (Some(16.0), 500)];
        assert_eq!(shares(Allocation::Dynamic, &idle), [10.0, 20.0]);
    }

    #[test]
    fn what_is_asked_for_follows_the_share_whenever_it_is_asked_for() {
        for every in [10, 70, 400] {
            let mut allotment = Allotment::new(Duration::ZERO);
            let mut asked = 0;
            for millis in (0..20_000).step_by(every) {
                allotment.grow(Duration::from_millis(millis), 30.0);
                let blocks = allotment.blocks();
                assert!(blocks == 0 || (3..=30).contains(&blocks), "{blocks}");
                allotment.spend(blocks);
                asked += blocks;
            }
            assert!((620..=665).contains(&asked), "20 s at 30 a second and a tenth more: {asked}");
        }
        let mut allotment = Allotment::new(Duration::ZERO);
        allotment.grow(Duration::from_secs(3_600), 30.0);
        assert_eq!(allotment.blocks(), 30, "an hour saves up no more than a second");
        allotment.spend(90);
        allotment.grow(Duration::from_secs(3_601), 30.0);
        assert_eq!(allotment.blocks(), 0, "what was asked for beyond it is paid back first");
    }

    #[test]
    fn no_division_gives_more_than_there_is_to_anybody_or_less_than_nothing() {
        let rates = [None, Some(0.0), Some(1.0), Some(1e9)];
        for allocation in [
            Allocation::EqualShare,
            Allocation::Performance,
            Allocation::Priority,
            Allocation::Dynamic,
        ] {
            for first in rates {
                for second in rates {
                    let shares = shares(allocation, &[(first, 500), (second, 500), (None, 0)]);
                    let fits = shares.iter().all(|share| (0.0..=100.0).contains(share));
                    assert!(fits, "{allocation:?} {first:?} {second:?}: {shares:?}");
                }
            }
        }
    }
}
