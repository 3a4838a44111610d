//! Substrate's chain sync (`client/network/sync/src/strategy/chain_sync.rs`, `blocks.rs`).
//!
//! Published: 64 blocks a request, one request a peer, at most 2,048 blocks ahead; while far
//! behind, a range is asked of one peer only. 20 s are a timeout. A peer that goes with a request
//! open rests for 60 s times how often it did so; at the third time its reputation is at the
//! lowest, from where it takes 69 s to rise out of the ban, and is counted anew.
//!
//! Translated: a request that times out counts as gone with a request open, as the client lets the
//! peer go for it.

use std::{collections::BTreeMap, time::Duration};

use alys_sync::{
    flow::RequestId,
    scheduler::{ArrivedPiece, Assignment, DownloadPolicy, DownloadView, EndedReply, ReplyEnd},
    types::PeerId,
};

use super::open::{OpenRequests, lowest};

/// `MAX_BLOCKS_TO_REQUEST`.
const REQUEST_BLOCKS: u64 = 64;
/// `MAX_DOWNLOAD_AHEAD`.
const AHEAD_BLOCKS: u64 = 2_048;
/// The timeout of a block request.
const TIMEOUT: Duration = Duration::from_secs(20);
/// How long a peer rests for each time it went with a request open.
const REST: Duration = Duration::from_secs(60);
/// Times that ban it.
const STRIKES_MAX: u32 = 3;
/// How long a ban lasts: reputations rise by a two hundredth a second.
const BANNED: Duration = Duration::from_secs(69);

/// Substrate's policy. See the module.
#[derive(Debug, Default)]
pub(super) struct Substrate {
    open: OpenRequests,
    /// How often each went with a request open, and until when it rests. Kept when it is gone.
    strikes: BTreeMap<PeerId, (u32, Duration)>,
}

impl DownloadPolicy for Substrate {
    fn window_blocks(&self) -> u64 {
        AHEAD_BLOCKS
    }

    fn joined(&mut self, _: Duration, _: PeerId) {}

    fn left(&mut self, _: PeerId) {}

    fn assign(&mut self, now: Duration, view: &DownloadView<'_>) -> Option<Assignment> {
        let range = lowest(view, REQUEST_BLOCKS)?;
        let ready = view.peers.iter().find(|(peer, work)| {
            let rests = self.strikes.get(peer).is_some_and(|(_, until)| now < *until);
            work.requests == 0 && !rests
        });
        let (peer, _) = ready?;
        Some(Assignment { peer: *peer, range, block_deadline: TIMEOUT })
    }

    fn expired(&mut self, now: Duration) -> Option<RequestId> {
        self.open.find(|open| now.saturating_sub(open.sent) >= TIMEOUT)
    }

    fn sent(&mut self, now: Duration, request: RequestId, assignment: &Assignment, _: bool) {
        self.open.sent(now, request, assignment);
    }

    fn arrived(&mut self, now: Duration, piece: &ArrivedPiece) {
        self.open.arrived(now, piece.request);
    }

    fn ended(&mut self, now: Duration, reply: &EndedReply) {
        let Some(open) = self.open.ended(reply.request) else { return };
        // Nothing is cancelled but what is open at a peer that leaves.
        let gone = reply.end == ReplyEnd::Cancelled;
        if gone || now.saturating_sub(open.sent) >= TIMEOUT && reply.end == ReplyEnd::Failed {
            let (strikes, until) = self.strikes.entry(reply.peer).or_default();
            *strikes += 1;
            if *strikes >= STRIKES_MAX {
                (*strikes, *until) = (0, now.saturating_add(BANNED));
            } else {
                *until = now.saturating_add(REST.saturating_mul(*strikes));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::Play, *};

    #[test]
    fn each_peer_is_asked_for_64_blocks_and_rests_when_it_went_with_a_request_open() {
        let mut play = Play::new(Substrate::default(), 3, 1_000);
        assert!(play.ask().iter().all(|(_, asked)| asked.range.count() == 64));
        assert_eq!(play.requests(), [1; 3]);
        let peer = play.ask()[0].1.peer;
        for rest in [REST, REST * 2, BANNED, REST] {
            let (request, _) = play.ask().into_iter().find(|(_, of)| of.peer == peer).unwrap();
            play.end(request, 0, ReplyEnd::Cancelled);
            play.now += rest - Duration::from_nanos(1);
            assert_eq!(play.ask().len(), 2);
            play.now += Duration::from_nanos(1);
            assert_eq!(play.ask().len(), 3);
        }
    }
}
