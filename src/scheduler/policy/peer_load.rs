//! What one peer is asked for: how many blocks at once, how many requests, and when again.
//!
//! The size of a request follows what the peer really delivers. A server that sends one block and
//! closes soon gets many small requests, a full server few large ones. Nothing here is a
//! judgement of the peer: that is reputation's.

use std::time::Duration;

use super::{
    ArrivedPiece, EndedReply, PeerWork, ReplyEnd, allocation::Allotment, patience::Patience,
    peer_rate::PeerRate,
};
use crate::{flow::RequestId, resilience::ASK_AGAIN, scheduler::Settings, types::Height};

/// First request to a peer nobody knows. Unit: blocks. Enough to tell a full server from a
/// one-block server. Too low: one more round trip before full speed. Too high: a liar or a silent
/// peer holds more of the window.
const FIRST_REQUEST_BLOCKS: u64 = 16;
/// Most bytes a peer has outstanding. Unit: bytes. Eight blocks of the largest size. Too low: links
/// that carry much over long ways are not used. Too high: one peer holds the memory budget.
const PIPELINE_BYTES: u64 = 8 << 20;
/// The same while its speed is not known. Unit: bytes. Source: what a link of 20 Mbit/s carries in
/// two round trips of 200 ms. Too low: one more round trip before full speed. Too high: what is
/// needed first waits behind it on a slow link.
const FIRST_PIPELINE_BYTES: u64 = 1 << 20;
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
/// Pause of a peer that another was quicker than at the front. Unit: time. Too low: it gets the
/// next front too. Too high: one lost packet costs a good peer's time.
const PAUSE_LATE: Duration = Duration::from_secs(1);
/// Pause of a peer that limits its requesters and does not say for how long. Unit: time. Source: a
/// tenth of the time over which the network's software counts. Too low: refusals. Too high: idle.
const PAUSE_LIMITED: Duration = Duration::from_secs(1);
/// Pause after a request that never went out, for want of a place on our side. Unit: time. Source:
/// about a tick. Too low: the same refusal again and again. Too high: idle.
const PAUSE_NOT_SENT: Duration = Duration::from_millis(60);

/// What is known of one usable peer, and what follows for the next request to it.
#[derive(Debug, Clone)]
pub(super) struct PeerLoad {
    size: u64,
    full_replies: u32,
    proven: bool,
    failures: u32,
    failed_at: Option<Duration>,
    /// How often in a row another was quicker, without that it delivered anything in between.
    late_in_row: u32,
    paused_until: Duration,
    lacks: Option<(Height, Duration)>,
    rate: PeerRate,
    patience: Patience,
    allotment: Allotment,
}

impl PeerLoad {
    pub(super) fn new(now: Duration, settings: &Settings) -> Self {
        Self {
            size: FIRST_REQUEST_BLOCKS.min(settings.batch_size_max),
            full_replies: 0,
            proven: false,
            failures: 0,
            failed_at: None,
            late_in_row: 0,
            paused_until: Duration::ZERO,
            lacks: None,
            rate: PeerRate::default(),
            patience: Patience::default(),
            allotment: Allotment::new(now),
        }
    }

    /// How many blocks should be outstanding. At least 1.
    fn pipeline(&self, bytes_per_block: u64) -> u64 {
        let most = if self.rate.is_known() { PIPELINE_BYTES } else { FIRST_PIPELINE_BYTES };
        self.rate.pipeline().min(most / bytes_per_block.max(1)).max(1)
    }

    /// How many blocks the next request should ask for. At least 1.
    pub(super) fn request_size(&self, bytes_per_block: u64) -> u64 {
        self.size.min(self.pipeline(bytes_per_block).div_ceil(REQUESTS_ON_THE_WAY))
    }

    /// Whether a request from `start` on may go to it now, were nothing open at it.
    pub(super) fn is_ready(&self, start: Height, now: Duration) -> bool {
        let lacking = self.lacks.is_some_and(|(from, until)| start >= from && now < until);
        !lacking && now >= self.paused_until
    }

    /// Whether it has room for one more request beside `work`.
    pub(super) fn has_room(&self, work: PeerWork, bytes_per_block: u64, most: usize) -> bool {
        let wants = match work.requests {
            0 => true,
            // With a second one waiting at the peer, the way is not empty between two replies.
            1 => self.proven,
            _ => self.proven && work.blocks < self.pipeline(bytes_per_block),
        };
        wants && work.requests < most
    }

    /// How long it takes to answer, if that was measured.
    pub(super) fn latency(&self) -> Option<Duration> {
        self.rate.latency()
    }

    /// What it delivers, if that was measured. Unit: bytes a second.
    pub(super) fn bytes_per_second(&self, bytes_per_block: u64) -> Option<u64> {
        let bytes = self.rate.rate()? * bytes_per_block as f64;
        // More than a `u64` holds is as many as it holds.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
        let bytes = bytes as u64;
        Some(bytes)
    }

    /// Whether it ever delivered.
    pub(super) fn is_proven(&self) -> bool {
        self.proven
    }

    /// Blocks a second, if any were measured and it may be asked now.
    pub(super) fn rate(&self, now: Duration) -> Option<f64> {
        self.rate.rate().filter(|_| now >= self.paused_until)
    }

    /// How long it would take for the end of `blocks` to arrive, behind what `work` says, by the
    /// measured rate. Zero for a peer never measured: nothing is known before it was asked.
    pub(super) fn arrives_in(&self, work: PeerWork, blocks: u64) -> Duration {
        self.rate.arrives_in(work.blocks.saturating_add(blocks))
    }

    /// How long the next block of a request that goes out now may take. Unit: time, at most
    /// `longest`.
    pub(super) fn block_deadline(&self, work: PeerWork, longest: Duration) -> Duration {
        self.patience.block_deadline(self.rate.arrives_in(work.blocks), longest)
    }

    /// Time has passed, and its share of the overall limit is so many blocks a second.
    pub(super) fn allot(&mut self, now: Duration, share: f64) {
        self.allotment.grow(now, share);
    }

    /// How many blocks it may be asked for by its share; 0 while that is too few for a request.
    pub(super) fn allotment(&self) -> u64 {
        self.allotment.blocks()
    }

    /// How many blocks it delivers in `time`, at least 1; `None` if it was never measured.
    pub(super) fn delivers_in(&self, time: Duration) -> Option<u64> {
        self.rate.delivers_in(time)
    }

    pub(super) fn sent(&mut self, request: RequestId, blocks: u64, now: Duration) {
        self.allotment.spend(blocks);
        self.rate.sent(request, now);
    }

    pub(super) fn arrived(&mut self, piece: &ArrivedPiece, now: Duration) {
        self.rate.arrived(piece.request, piece.blocks, now);
        self.patience.arrived(piece.waited);
        // A server that sends one block a request shows that by the end of its first reply.
        if piece.got > 1 {
            self.is_proven_now();
        }
    }

    pub(super) fn ended(&mut self, reply: &EndedReply, now: Duration, settings: &Settings) {
        let sent_at = self.rate.ended(reply.request).unwrap_or(now);
        if reply.got > 0 {
            self.is_proven_now();
        }
        match reply.end {
            ReplyEnd::Closed if reply.got == reply.asked => self.grow(settings),
            ReplyEnd::Closed if reply.got == 0 => {
                self.lacks = Some((reply.next, now.saturating_add(LACKS_FOR)));
            }
            ReplyEnd::Closed => {
                self.size = reply.got;
                self.full_replies = 0;
            }
            // A connection that breaks fails all that was open at once: that is one failure.
            ReplyEnd::Failed if self.failed_at.is_some_and(|failed_at| sent_at <= failed_at) => {}
            ReplyEnd::Failed => {
                self.failed_at = Some(now);
                let pause = ASK_AGAIN
                    .first
                    .saturating_mul(1 << self.failures.min(16))
                    .min(ASK_AGAIN.longest);
                self.failures += 1;
                if self.failures > 1 {
                    // What it was asked for before may still be on its way, and keep what it is
                    // asked for now from coming: one small request shows when it is over.
                    self.proven = false;
                    self.size = (self.size / 2).max(1);
                    self.full_replies = 0;
                }
                self.pause(now, pause);
            }
            ReplyEnd::Limited { wait: Some(wait) } => self.pause(now, wait),
            ReplyEnd::Limited { wait: None } => {
                // It says so of requests that are larger than it ever serves.
                self.size = (self.size / 2).max(1);
                self.full_replies = 0;
                self.pause(now, PAUSE_LIMITED);
            }
            ReplyEnd::NotSent => self.pause(now, PAUSE_NOT_SENT),
            ReplyEnd::Cancelled => {}
        }
    }

    fn is_proven_now(&mut self) {
        self.proven = true;
        self.failures = 0;
        self.late_in_row = 0;
    }

    fn pause(&mut self, now: Duration, pause: Duration) {
        self.paused_until = self.paused_until.max(now.saturating_add(pause));
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

    /// Another peer was asked for the same later, and was first: ask it for no more for a moment;
    /// for longer each time until it delivers something.
    pub(super) fn was_late(&mut self, now: Duration) {
        let pause = PAUSE_LATE.saturating_mul(1 << self.late_in_row.min(16)).min(ASK_AGAIN.longest);
        self.late_in_row += 1;
        self.pause(now, pause);
    }

    /// Its blocks did not fit our chain: prefer others for a while.
    pub(super) fn set_back(&mut self, now: Duration) {
        self.pause(now, ASK_AGAIN.longest);
    }
}
