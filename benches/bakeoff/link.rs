//! A peer's end of its link: requests are served in the order in which they arrive, one block
//! after the other, at the rate of the link.

use std::{collections::VecDeque, time::Duration};

use alys_sync::{flow::RequestId, types::HeightRange};

use super::mixes::{PeerPlan, Serving};

/// What a peer that hangs sends of a reply. Unit: bytes. Less than any block.
const SENT_OF_HANGING: u64 = 1_024;

/// A request that has arrived at a peer.
#[derive(Debug, Clone, Copy)]
struct Ask {
    request: RequestId,
    /// What was not sent yet.
    rest: HeightRange,
}

/// The block that is going over the link.
#[derive(Debug, Clone, Copy)]
struct Sending {
    began: Duration,
    until: Duration,
    bytes: u64,
}

/// A block that has gone out whole.
#[derive(Debug, Clone, Copy)]
pub(super) struct SentBlock {
    pub(super) request: RequestId,
    pub(super) bytes: u64,
    /// The reply ends with it.
    pub(super) last: bool,
}

/// A peer and its link.
#[derive(Debug)]
pub(super) struct PeerLink {
    pub(super) plan: PeerPlan,
    /// Counts what cut all replies: what was under way before is nothing any more.
    pub(super) epoch: u64,
    /// Names the block that is going out; others of an earlier name were given up.
    pub(super) turn: u64,
    /// All bytes that the link has carried, used or not.
    pub(super) carried: u64,
    queue: VecDeque<Ask>,
    sending: Option<Sending>,
}

impl PeerLink {
    pub(super) fn new(plan: PeerPlan) -> Self {
        let (queue, sending) = (VecDeque::new(), None);
        Self { plan, epoch: 0, turn: 0, carried: 0, queue, sending }
    }

    /// A request has arrived.
    pub(super) fn asked(&mut self, request: RequestId, range: HeightRange) {
        if self.plan.serving == Serving::Hanging {
            self.carried += SENT_OF_HANGING;
            return;
        }
        self.queue.push_back(Ask { request, rest: range });
    }

    /// Starts on the next block if the link is free; until when it takes, if it was started.
    pub(super) fn start(&mut self, now: Duration, sizes: &[u64]) -> Option<Duration> {
        if self.sending.is_some() {
            return None;
        }
        let ask = self.queue.front()?;
        let bytes = size(sizes, ask.rest);
        let busy = Duration::from_secs_f64(bytes as f64 / self.plan.rate);
        let until = past_stalls(&self.plan.stalls, now, busy);
        self.sending = Some(Sending { began: now, until, bytes });
        self.turn += 1;
        Some(until)
    }

    /// The block that is going out has gone out.
    pub(super) fn sent(&mut self) -> Option<SentBlock> {
        let sending = self.sending.take()?;
        let ask = self.queue.front_mut()?;
        self.carried += sending.bytes;
        let (request, rest) = (ask.request, ask.rest.split_at(1).1);
        match rest {
            Some(rest) if self.plan.serving == Serving::Full => ask.rest = rest,
            Some(_) | None => {
                self.queue.pop_front();
                return Some(SentBlock { request, bytes: sending.bytes, last: true });
            }
        }
        Some(SentBlock { request, bytes: sending.bytes, last: false })
    }

    /// Nobody wants the reply to `request` any more.
    pub(super) fn forget(&mut self, now: Duration, request: RequestId) {
        let going_out = self.queue.front().is_some_and(|ask| ask.request == request);
        self.queue.retain(|ask| ask.request != request);
        if going_out {
            self.break_off(now);
        }
    }

    /// All replies are lost.
    pub(super) fn cut(&mut self, now: Duration) {
        self.epoch += 1;
        self.queue.clear();
        self.break_off(now);
    }

    fn break_off(&mut self, now: Duration) {
        let Some(Sending { began, until, bytes }) = self.sending.take() else { return };
        self.turn += 1;
        let part = now.saturating_sub(began).as_secs_f64() / (until - began).as_secs_f64();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part")]
        let carried = (bytes as f64 * part.clamp(0.0, 1.0)) as u64;
        self.carried += carried;
    }
}

/// The size of the first block of `range`.
fn size(sizes: &[u64], range: HeightRange) -> u64 {
    let at = usize::try_from(range.start().get()).ok().and_then(|height| height.checked_sub(1));
    at.and_then(|at| sizes.get(at)).copied().unwrap_or(1)
}

/// When work that takes `busy` ends if it begins at `now` and rests during `stalls`.
fn past_stalls(stalls: &[(Duration, Duration)], now: Duration, busy: Duration) -> Duration {
    let (mut at, mut left) = (now, busy);
    let first = stalls.partition_point(|(_, to)| *to <= now);
    for (from, to) in stalls.get(first..).unwrap_or_default() {
        let free = from.saturating_sub(at);
        if left <= free {
            break;
        }
        left -= free;
        at = *to;
    }
    at + left
}

#[cfg(test)]
mod tests {
    use alys_sync::types::Height;

    use super::super::mixes::Mix;
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn link(serving: Serving) -> PeerLink {
        let mut plan = Mix::Uniform.scenario(1).peers.remove(0);
        plan.rate = 1_000_000.0;
        plan.serving = serving;
        PeerLink::new(plan)
    }

    fn blocks(start: u64, count: u64) -> HeightRange {
        HeightRange::new(Height::new(start), count).unwrap()
    }

    #[test]
    fn work_rests_while_the_link_stalls() {
        let stalls = [(10 * MS, 20 * MS), (25 * MS, 26 * MS)];
        assert_eq!(past_stalls(&stalls, MS, 9 * MS), 10 * MS);
        assert_eq!(past_stalls(&stalls, MS, 10 * MS), 21 * MS);
        assert_eq!(past_stalls(&stalls, 15 * MS, 6 * MS), 27 * MS);
        assert_eq!(past_stalls(&stalls, 30 * MS, MS), 31 * MS);
    }

    #[test]
    fn replies_follow_each_other_and_share_the_link() {
        let mut link = link(Serving::Full);
        link.asked(RequestId(1), blocks(1, 2));
        link.asked(RequestId(2), blocks(9, 1));
        let (sizes, mut now, mut seen) = ([1_000; 10], Duration::ZERO, Vec::new());
        while let Some(until) = link.start(now, &sizes) {
            now = until;
            let sent = link.sent().unwrap();
            seen.push((until, sent.request.0, sent.last));
        }
        assert_eq!(seen, [(MS, 1, false), (2 * MS, 1, true), (3 * MS, 2, true)]);
        assert_eq!(link.carried, 3_000);
    }

    #[test]
    fn reply_that_nobody_wants_frees_the_link_at_once() {
        let mut link = link(Serving::Full);
        link.asked(RequestId(1), blocks(1, 10));
        link.asked(RequestId(2), blocks(1, 1));
        let turn = (link.start(Duration::ZERO, &[1_000; 10]), link.turn);
        link.forget(MS / 2, RequestId(1));
        assert_ne!(link.turn, turn.1, "what was going out is given up");
        assert_eq!(link.carried, 500);
        assert_eq!(link.start(MS / 2, &[1_000; 10]), Some(MS / 2 + MS));
    }

    #[test]
    fn one_block_server_closes_after_one_and_one_that_hangs_sends_none() {
        let mut one = link(Serving::OneBlock);
        one.asked(RequestId(1), blocks(1, 10));
        one.start(Duration::ZERO, &[1_000; 10]);
        assert!(one.sent().unwrap().last);
        assert_eq!(one.start(MS, &[1_000; 10]), None);
        let mut hanging = link(Serving::Hanging);
        hanging.asked(RequestId(1), blocks(1, 10));
        assert_eq!((hanging.start(MS, &[1_000; 10]), hanging.carried), (None, 1_024));
    }
}
