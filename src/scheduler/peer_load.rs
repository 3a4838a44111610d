//! What one peer is asked for: how many blocks at once, how many requests, and when again.
//!
//! The size of a request follows what the peer really delivers. A server that sends one block and
//! closes soon gets many small requests, a full server few large ones. Nothing here is a
//! judgement of the peer: that is reputation's.

use std::{collections::BTreeSet, time::Duration};

use super::{peer_rate::PeerRate, settings::Settings};
use crate::{
    flow::RequestId,
    types::{Height, PeerId},
};

/// First request to a peer nobody knows. Unit: blocks. Enough to tell a full server from a
/// one-block server. Too low: one more round trip before full speed. Too high: a liar or a silent
/// peer holds more of the window.
const FIRST_REQUEST_BLOCKS: u64 = 16;
/// Most bytes a peer has outstanding. Unit: bytes. Eight blocks of the largest size. Too low: links
/// that carry much over long ways are not used. Too high: one peer holds the memory budget.
const PIPELINE_BYTES: u64 = 8 << 20;
/// Requests that what is outstanding is spread over. Too low: the way is empty whenever one ends.
/// Too high: many small requests.
const REQUESTS_ON_THE_WAY: u64 = 4;
/// Full replies in a row before a larger request is tried. A one-block server pays one short
/// reply for each trial. Too low: such servers see many of them. Too high: slow ramp.
const FULL_REPLIES_TO_GROW: u32 = 2;
/// The same while requests are smaller than [`FIRST_REQUEST_BLOCKS`]: a peer that once answered
/// short is likely to do it again.
const FULL_REPLIES_TO_GROW_SMALL: u32 = 16;
/// How long a peer that had nothing at a height is not asked there again. Unit: time. About a
/// slot: by then its head may have moved.
const LACKS_FOR: Duration = Duration::from_secs(2);
/// First pause after a failed request; doubles with each failure in a row.
const PAUSE_FIRST: Duration = Duration::from_millis(250);
/// Longest pause after failures. Too low: a dead peer costs a deadline often. Too high: a peer
/// that came back is idle for long.
const PAUSE_MAX: Duration = Duration::from_secs(15);
/// Pause of a peer that another was quicker than at the front. Unit: time. Too low: it gets the
/// next front too. Too high: one lost packet costs a good peer's time.
const PAUSE_LATE: Duration = Duration::from_secs(1);
/// Pause of a peer that limits its requesters and does not say for how long. Unit: time. Source: a
/// tenth of the time over which the network's software counts. Too low: refusals. Too high: idle.
const PAUSE_LIMITED: Duration = Duration::from_secs(1);

/// How a reply ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplyEnd {
    /// The peer closed cleanly.
    Closed,
    /// The peer, or the way to it, failed.
    Failed,
    /// Our own limit or restart, nobody's fault: ask again soon.
    NotSent,
    /// The peer serves us no more before so much time has passed; it may not have said how much.
    Limited {
        /// How long to wait.
        wait: Option<Duration>,
    },
    /// We gave it up ourselves.
    Cancelled,
}

/// The scheduler's view of one usable peer.
#[derive(Debug, Clone)]
pub(crate) struct PeerLoad {
    /// Reputation's score in thousandths.
    pub(crate) score: u16,
    pub(crate) in_flight: BTreeSet<RequestId>,
    /// Blocks asked and not yet arrived.
    pub(crate) outstanding: u64,
    size: u64,
    full_replies: u32,
    proven: bool,
    failures: u32,
    paused_until: Duration,
    lacks: Option<(Height, Duration)>,
    rate: PeerRate,
}

impl PeerLoad {
    pub(crate) fn new(score: u16, settings: &Settings) -> Self {
        Self {
            score,
            in_flight: BTreeSet::new(),
            outstanding: 0,
            size: FIRST_REQUEST_BLOCKS.min(settings.batch_size_max),
            full_replies: 0,
            proven: false,
            failures: 0,
            paused_until: Duration::ZERO,
            lacks: None,
            rate: PeerRate::default(),
        }
    }

    /// How many blocks should be outstanding. At least 1.
    fn pipeline(&self, bytes_per_block: u64) -> u64 {
        self.rate.pipeline().min(PIPELINE_BYTES / bytes_per_block.max(1)).max(1)
    }

    /// How many blocks the next request should ask for. At least 1.
    pub(crate) fn request_size(&self, bytes_per_block: u64) -> u64 {
        self.size.min(self.pipeline(bytes_per_block).div_ceil(REQUESTS_ON_THE_WAY))
    }

    /// Whether one more request from `start` on may go to it now.
    pub(crate) fn accepts(
        &self,
        start: Height,
        now: Duration,
        bytes_per_block: u64,
        settings: &Settings,
    ) -> bool {
        let lacking = self.lacks.is_some_and(|(from, until)| start >= from && now < until);
        !lacking
            && now >= self.paused_until
            && self.in_flight.len() < self.requests_max(bytes_per_block, settings)
    }

    /// Whether it may be asked for blocks that another peer is late with. A full pipeline does not
    /// matter then: the front is worth a place in front of the queue.
    pub(crate) fn accepts_hedge(&self, start: Height, now: Duration, settings: &Settings) -> bool {
        let lacking = self.lacks.is_some_and(|(from, until)| start >= from && now < until);
        let has_room = self.in_flight.len() < settings.requests_per_peer_max;
        self.proven && !lacking && now >= self.paused_until && has_room
    }

    fn requests_max(&self, bytes_per_block: u64, settings: &Settings) -> usize {
        if !self.proven {
            return 1;
        }
        let requests = self.pipeline(bytes_per_block).div_ceil(self.request_size(bytes_per_block));
        usize::try_from(requests.max(2)).unwrap_or(usize::MAX).min(settings.requests_per_peer_max)
    }

    /// How long it would take for the end of a request of `size` to arrive, by the measured
    /// rate. A peer never measured comes first: nothing is known before it was asked.
    pub(crate) fn cost(&self, size: u64) -> (u64, u64, u64) {
        let micros = self.rate.arrives_in_micros(self.outstanding + size);
        (micros, self.outstanding, u64::from(1000 - self.score.min(1000)))
    }

    pub(crate) fn sent(&mut self, request: RequestId, blocks: u64, now: Duration) {
        self.in_flight.insert(request);
        self.outstanding += blocks;
        self.rate.sent(request, now);
    }

    pub(crate) fn arrived(&mut self, request: RequestId, blocks: u64, now: Duration) {
        self.outstanding = self.outstanding.saturating_sub(blocks);
        self.rate.arrived(request, blocks, now);
    }

    /// A reply to a request of `asked` blocks ended after `got`; the next one missing is `next`.
    pub(crate) fn ended(
        &mut self,
        request: RequestId,
        (asked, got): (u64, u64),
        next: Height,
        end: ReplyEnd,
        now: Duration,
        settings: &Settings,
    ) {
        self.in_flight.remove(&request);
        self.rate.ended(request);
        self.outstanding = self.outstanding.saturating_sub(asked - got);
        if got > 0 {
            self.proven = true;
            self.failures = 0;
        }
        match end {
            ReplyEnd::Closed if got == asked => self.grow(settings),
            ReplyEnd::Closed if got == 0 => self.lacks = Some((next, now + LACKS_FOR)),
            ReplyEnd::Closed => {
                self.size = got;
                self.full_replies = 0;
            }
            ReplyEnd::Failed => {
                let pause = PAUSE_FIRST.saturating_mul(1 << self.failures.min(16)).min(PAUSE_MAX);
                self.failures += 1;
                self.paused_until = now + pause;
            }
            ReplyEnd::Limited { wait: Some(wait) } => {
                self.paused_until = self.paused_until.max(now.saturating_add(wait));
            }
            ReplyEnd::Limited { wait: None } => {
                // It says so of requests that are larger than it ever serves.
                self.size = (self.size / 2).max(1);
                self.full_replies = 0;
                self.paused_until = self.paused_until.max(now + PAUSE_LIMITED);
            }
            ReplyEnd::NotSent => self.paused_until = now + PAUSE_FIRST / 4,
            ReplyEnd::Cancelled => {}
        }
    }

    fn grow(&mut self, settings: &Settings) {
        self.full_replies += 1;
        let needed = if self.size < FIRST_REQUEST_BLOCKS {
            FULL_REPLIES_TO_GROW_SMALL
        } else {
            FULL_REPLIES_TO_GROW
        };
        if self.full_replies >= needed {
            self.full_replies = 0;
            self.size = (self.size * 2).min(settings.batch_size_max);
        }
    }

    /// Another peer was asked for the same later, and was first: ask it for no more for a moment.
    pub(crate) fn was_late(&mut self, now: Duration) {
        self.paused_until = self.paused_until.max(now + PAUSE_LATE);
    }

    /// Its blocks did not fit our chain: prefer others for a while.
    pub(crate) fn set_back(&mut self, now: Duration) {
        self.paused_until = self.paused_until.max(now + PAUSE_MAX);
    }
}

/// The peer among `peers` that should get the blocks from `start` on, if any may.
pub(crate) fn choose<'a>(
    peers: impl Iterator<Item = (&'a PeerId, &'a PeerLoad)>,
    start: Height,
    now: Duration,
    bytes_per_block: u64,
    settings: &Settings,
) -> Option<PeerId> {
    peers
        .filter(|(_, load)| load.accepts(start, now, bytes_per_block, settings))
        .min_by_key(|(peer, load)| (load.cost(load.request_size(bytes_per_block)), **peer))
        .map(|(peer, _)| *peer)
}
