//! Ours without what adapts: 256 blocks a request, two requests a peer.
//!
//! Who has least to do is asked next, so that all links are kept busy. A peer that failed rests
//! for a second. The window and the deadline are our defaults.

use std::{collections::BTreeMap, time::Duration};

use alys_sync::{
    flow::RequestId,
    scheduler::{
        ArrivedPiece, Assignment, DownloadPolicy, DownloadView, EndedReply, ReplyEnd, Settings,
    },
    types::PeerId,
};

use super::open::lowest;

/// Blocks of a request. Source: the size that is to be compared with.
const REQUEST_BLOCKS: u64 = 256;
/// Requests at a peer: one that it sends, one that follows.
const REQUESTS_OF_PEER: usize = 2;
/// How long a peer that failed rests.
const REST: Duration = Duration::from_secs(1);

/// The fixed policy. See the module.
#[derive(Debug, Default)]
pub(super) struct Fixed {
    settings: Settings,
    rests_until: BTreeMap<PeerId, Duration>,
}

impl DownloadPolicy for Fixed {
    fn window_blocks(&self) -> u64 {
        self.settings.window_blocks
    }

    fn joined(&mut self, now: Duration, peer: PeerId) {
        self.rests_until.insert(peer, now);
    }

    fn left(&mut self, peer: PeerId) {
        self.rests_until.remove(&peer);
    }

    fn assign(&mut self, now: Duration, view: &DownloadView<'_>) -> Option<Assignment> {
        let range = lowest(view, REQUEST_BLOCKS)?;
        let ready = view.peers.iter().filter(|(peer, work)| {
            let rests = self.rests_until.get(peer).is_some_and(|until| now < *until);
            work.requests < REQUESTS_OF_PEER && !rests
        });
        let (peer, _) = ready.min_by_key(|(peer, work)| (work.requests, work.blocks, **peer))?;
        Some(Assignment { peer: *peer, range, block_deadline: self.settings.block_deadline })
    }

    fn sent(&mut self, _: Duration, _: RequestId, _: &Assignment, _: bool) {}

    fn arrived(&mut self, _: Duration, _: &ArrivedPiece) {}

    fn ended(&mut self, now: Duration, reply: &EndedReply) {
        if reply.end == ReplyEnd::Failed {
            self.rests_until.insert(reply.peer, now.saturating_add(REST));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::Play, *};

    #[test]
    fn everybody_is_asked_for_256_twice_and_who_failed_rests() {
        let mut play = Play::new(Fixed::default(), 2, 10_000);
        assert!(play.ask().iter().all(|(_, asked)| asked.range.count() == 256));
        assert_eq!(play.requests(), [2; 2]);
        let (request, _) = play.ask().remove(0);
        play.end(request, 0, ReplyEnd::Failed);
        assert_eq!(play.ask().len(), 3);
        play.now += REST;
        assert_eq!(play.ask().len(), 4);
    }
}
