//! What several policies need: the requests that are open, and running averages.

use std::{collections::BTreeMap, time::Duration};

use alys_sync::{
    flow::RequestId,
    scheduler::{Assignment, DownloadView},
    types::{Height, HeightRange, PeerId},
};

/// A request that went out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Open {
    pub(super) peer: PeerId,
    pub(super) blocks: u64,
    pub(super) sent: Duration,
    /// When something of it arrived last; when it was sent before that.
    pub(super) heard: Duration,
}

/// All requests that are open.
#[derive(Debug, Default)]
pub(super) struct OpenRequests(BTreeMap<RequestId, Open>);

impl OpenRequests {
    pub(super) fn sent(&mut self, now: Duration, request: RequestId, assignment: &Assignment) {
        let (peer, blocks) = (assignment.peer, assignment.range.count());
        self.0.insert(request, Open { peer, blocks, sent: now, heard: now });
    }

    pub(super) fn arrived(&mut self, now: Duration, request: RequestId) -> Option<&Open> {
        let open = self.0.get_mut(&request)?;
        open.heard = now;
        Some(open)
    }

    pub(super) fn ended(&mut self, request: RequestId) -> Option<Open> {
        self.0.remove(&request)
    }

    /// A request that is `late`.
    pub(super) fn find(&self, late: impl Fn(&Open) -> bool) -> Option<RequestId> {
        self.0.iter().find(|(_, open)| late(open)).map(|(request, _)| *request)
    }
}

/// The lowest heights that are wanted, at most `blocks`.
pub(super) fn lowest(view: &DownloadView<'_>, blocks: u64) -> Option<HeightRange> {
    view.wanted.first_from(Height::GENESIS)?.split_at(blocks.max(1)).0
}

/// `old` moved towards `new` by `weight`.
pub(super) fn towards(old: f64, new: f64, weight: f64) -> f64 {
    old * (1.0 - weight) + new * weight
}

/// `count` as a number of blocks: whole, at least 1.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
pub(super) fn blocks(count: f64) -> u64 {
    count.max(1.0) as u64
}
