//! How patient the tree is with each child: delays between restarts, a budget of its own, and how
//! soon one that hangs is noticed.
//!
//! A budget can only be exceeded if delays and period let it: a child that fails at each start
//! comes back ever later, and one that takes long to fail fails seldom. With ten seconds between
//! tries and a budget of thirty a minute, either would be tried for ever. So each period holds the
//! slowest way to spend its budget: every start times out, after the longest delay.

use std::time::Duration;

use supervisors::{Backoff, Heartbeat, Intensity};

use super::Child;

/// Restarts, over all children, that are taken for bad luck. More of them within the period mean
/// that restarting does not help, and the tree ends with the reason. Source: three times what one
/// child may have, and less than half of what all eight may have together. Too low: a bad minute
/// ends the sync. Too high: children that take each other down look like bad luck for long.
pub(super) const RESTARTS_MAX: Intensity =
    Intensity { max_restarts: 30, within: Duration::from_secs(60) };

/// How children are asked whether they hang. Source: handlers wait for nothing and answer within 50
/// ms under full load; a hundred times that is no load any more. Too low: on a machine that swaps,
/// healthy children are killed. Too high: a sync stands still for that long before anybody knows.
/// Asked once a second, so that a child that hangs is noticed within six.
pub(super) const HEARTBEAT: Heartbeat =
    Heartbeat { every: Duration::from_secs(1), within: Duration::from_secs(5) };

/// How long a start may take. Unit: time. Source: the network waits for sockets of the one before,
/// a store for the write under way of the one before; both end within seconds unless a disk hangs.
/// Too low: a slow disk becomes a storm. Too high: a start that hangs is found late.
pub(super) const STARTS_WITHIN: Duration = Duration::from_secs(30);

/// The patience with one child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Patience {
    pub(super) backoff: Backoff,
    pub(super) intensity: Intensity,
}

/// Delay before the first restart: back before anybody notices, within the 100 ms that are promised
/// up to the fourth failure in a row. Unit: time. Too low: what made the child fail is still there.
/// Too high: each crash is felt.
const FIRST: Duration = Duration::from_millis(10);

/// Time up after which a child counts as healthy: its next failure waits as short as its first.
/// Unit: time. Source: longer than any fault that passes by itself here (a peer's deadline, a
/// probe). Too low: one that fails in a slow rhythm never backs off. Too high: old failures are
/// held against it.
const HEALTHY_AFTER: Duration = Duration::from_secs(30);

impl Patience {
    /// What a child may cost before it ends the tree.
    pub(super) const fn with(child: Child) -> Self {
        match child {
            // Nothing outside of the process makes these fail for long, save a store, which ends
            // the tree at once. Ten restarts with delays of up to two seconds bear a fault of six
            // seconds; one that lasts longer lasts for good. Too few: a block that makes a worker
            // panic, asked of one liar after another, ends the node. Too many: it is tried for
            // ever.
            Child::ResourceMonitor
            | Child::CheckpointStore
            | Child::PeerReputation
            | Child::ValidatorPool
            | Child::BlockImporter
            | Child::DownloadScheduler
            | Child::SyncCoordinator => Self::new(Duration::from_secs(2), 10, 600),
            // Its faults are outside of the process: a port that another process still holds, an
            // interface that comes up late. Sixteen restarts with delays of up to half a minute
            // bear two and a half minutes of that. Too low: a node does not survive a restart of
            // the machine's network. Too high: a port that is taken for good is found late.
            Child::PeerNetwork => Self::new(Duration::from_secs(30), 16, 1_200),
        }
    }

    const fn new(longest_delay: Duration, max_restarts: u32, within_seconds: u64) -> Self {
        Self {
            backoff: Backoff { first: FIRST, max: longest_delay, reset_after: HEALTHY_AFTER },
            intensity: Intensity { max_restarts, within: Duration::from_secs(within_seconds) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_lasting_fault_spends_its_budget_however_slowly_it_fails() {
        for child in Child::ALL {
            let Patience { backoff, intensity } = Patience::with(child);
            let slowest = [STARTS_WITHIN, HEARTBEAT.every + HEARTBEAT.within].into_iter().max();
            let slowest = (slowest.unwrap() + backoff.max) * intensity.max_restarts;
            assert!(slowest <= intensity.within, "{child} is tried for ever");
            assert!(intensity.max_restarts < RESTARTS_MAX.max_restarts, "{child}");
        }
    }

    #[test]
    fn four_failures_in_a_row_are_made_up_for_within_a_tenth_of_a_second_each() {
        for child in Child::ALL {
            assert!(Patience::with(child).backoff.first * 8 < Duration::from_millis(100));
        }
    }
}
