//! One request from the call to the verdicts: the task behind a planned range.
//!
//! Blocks go on to verification in pieces while the reply still streams, so that what came is
//! used whatever becomes of the rest. The task ends by itself, or is aborted by its scheduler;
//! dropping it resets the request and gives its bytes back.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use ractor::ActorRef;
use tokio::{
    sync::oneshot,
    task::JoinSet,
    time::{Instant, timeout_at},
};
use tracing::{Instrument as _, Span};

use super::{SchedulerMsg, message::FetchReport, policy::ReplyEnd, reply_meter::ReplyMeter};
use crate::{
    flow::{BytePermit, Origin, RawSegment, RequestId},
    ports::RequestError,
    reputation::{Evidence, ReputationHandle},
    resilience::{PeerCaller, RangeCall},
    types::{HeightRange, PeerId},
    validation::{Urgency, ValidatorHandle, Verdict},
};

/// Blocks that go to verification together. Unit: blocks. Too low: a message for few blocks. Too
/// high: verification waits for the network, and the last piece of a reply is late.
const PIECE_BLOCKS: usize = 32;
/// The same in bytes, for large blocks.
const PIECE_BYTES: u64 = 1 << 20;
/// How long blocks wait for others of their piece. Unit: time. Too low: a message for few blocks on
/// slow links. Too high: what a stalled reply has delivered is used late.
const PIECE_WAIT: Duration = Duration::from_millis(100);

/// What every fetch task needs.
#[derive(Clone)]
pub(super) struct FetchContext {
    pub(super) caller: PeerCaller,
    pub(super) validator: ValidatorHandle,
    pub(super) reputation: ReputationHandle,
}

/// What is fetched.
pub(super) struct Fetch {
    pub(super) request: RequestId,
    pub(super) peer: PeerId,
    pub(super) range: HeightRange,
    /// How long the first block, or the next one, may take.
    pub(super) block_deadline: Duration,
    pub(super) permit: BytePermit,
    pub(super) span: Span,
}

/// Runs one request to its end and reports to `scheduler`. When `stopped` resolves it receives no
/// more, and ends when what has gone to verification is verified.
pub(super) async fn run(
    context: FetchContext,
    fetch: Fetch,
    scheduler: ActorRef<SchedulerMsg>,
    stopped: oneshot::Receiver<()>,
) {
    let (request, span) = (fetch.request, fetch.span.clone());
    let report = Reporter { scheduler, request };
    let mut verdicts = JoinSet::new();
    let end = tokio::select! {
        biased;
        _ = stopped => ReplyEnd::Cancelled,
        end = receive(&context, fetch, &report, &mut verdicts).instrument(span) => end,
    };
    report.send(FetchReport::Ended { end });
    while verdicts.join_next().await.is_some() {}
    report.send(FetchReport::Settled);
}

/// Where a fetch task reports. A scheduler that is gone has aborted the task.
#[derive(Clone)]
struct Reporter {
    scheduler: ActorRef<SchedulerMsg>,
    request: RequestId,
}

impl Reporter {
    fn send(&self, report: FetchReport) {
        let _ = self.scheduler.cast(SchedulerMsg::Fetch { request: self.request, report });
    }
}

/// Blocks collected and not yet sent to verification.
struct Piece {
    rest: Option<HeightRange>,
    blocks: Vec<Bytes>,
    bytes: u64,
    /// When it goes on even if it is small; none while it is empty.
    due: Option<Instant>,
}

impl Piece {
    /// The next block of `call`, or nothing when the piece is due before.
    async fn next(&self, call: &mut RangeCall) -> Option<Option<Result<Bytes, RequestError>>> {
        match self.due {
            Some(due) => timeout_at(due, call.next()).await.ok(),
            None => Some(call.next().await),
        }
    }
}

async fn receive(
    context: &FetchContext,
    mut fetch: Fetch,
    report: &Reporter,
    verdicts: &mut JoinSet<()>,
) -> ReplyEnd {
    let peer = fetch.peer;
    let mut meter = ReplyMeter::begin(fetch.range.count());
    let mut call = match context.caller.range(peer, fetch.range, fetch.block_deadline).await {
        Ok(call) => call,
        Err(error) => return failed(context, peer, error),
    };
    let mut piece = Piece { rest: Some(fetch.range), blocks: Vec::new(), bytes: 0, due: None };
    let end = loop {
        let reads = Instant::now();
        let next = piece.next(&mut call).await;
        meter.read_for(reads.elapsed());
        match next {
            None => send_piece(context, &mut fetch, &mut piece, report, verdicts),
            Some(None) => {
                context.reputation.evidence(peer, Evidence::Replied(meter.ended()));
                break ReplyEnd::Closed;
            }
            Some(Some(Err(error))) => break failed(context, peer, error),
            Some(Some(Ok(block))) => {
                meter.arrived(block.len());
                piece.due.get_or_insert_with(|| Instant::now() + PIECE_WAIT);
                piece.bytes += block.len() as u64;
                piece.blocks.push(block);
                // While memory is short the stream is simply not read: no deadline runs.
                fetch.permit.grow_to(piece.bytes).await;
                if piece.blocks.len() >= PIECE_BLOCKS || piece.bytes >= PIECE_BYTES {
                    send_piece(context, &mut fetch, &mut piece, report, verdicts);
                }
            }
        }
    };
    // The connection's slot is free before the verdicts are in.
    drop(call);
    send_piece(context, &mut fetch, &mut piece, report, verdicts);
    end
}

fn send_piece(
    context: &FetchContext,
    fetch: &mut Fetch,
    piece: &mut Piece,
    report: &Reporter,
    verdicts: &mut JoinSet<()>,
) {
    piece.due = None;
    let Some(rest) = piece.rest else { return };
    let (Some(range), rest) = rest.split_at(piece.blocks.len() as u64) else { return };
    piece.rest = rest;
    let (blocks, bytes) = (std::mem::take(&mut piece.blocks), std::mem::take(&mut piece.bytes));
    let permit = fetch.permit.split(bytes, range.last().saturating_add(1));
    let origin = Origin { peer: fetch.peer, request: fetch.request };
    let span = fetch.span.clone();
    let segment = RawSegment { range, blocks, origin, permit, span: span.clone() };
    report.send(FetchReport::Arrived { range, bytes });
    let (context, report, peer) = (context.clone(), report.clone(), fetch.peer);
    verdicts.spawn(
        async move {
            let segments = match context.validator.verify(segment, Urgency::InTurn).await {
                Ok(Verdict { good, faults }) => {
                    let blocks = good.iter().map(|segment| segment.range.count()).sum::<u64>();
                    let failed = range.count().saturating_sub(blocks);
                    context
                        .reputation
                        .evidence(peer, Evidence::Delivered { blocks, failed, bytes });
                    if let Some(evidence) = Evidence::from_faults(faults) {
                        context.reputation.evidence(peer, evidence);
                    }
                    good.into_iter().map(Arc::new).collect()
                }
                // The pool lost the segment: its heights are asked again.
                Err(error) => {
                    tracing::debug!(%error, "verdict lost");
                    Vec::new()
                }
            };
            report.send(FetchReport::Verified { range, segments });
        }
        .instrument(span),
    );
}

fn failed(context: &FetchContext, peer: PeerId, error: RequestError) -> ReplyEnd {
    match error {
        RequestError::NotConnected | RequestError::TooManyStreams | RequestError::Restarting => {
            ReplyEnd::NotSent
        }
        // To ask again as soon as it allows is what it wants: nothing to hold against it.
        RequestError::RateLimited { wait } => ReplyEnd::Limited { wait },
        // It was not asked: what there is to hold against it was held when it failed.
        RequestError::OverQuota { wait } | RequestError::BreakerOpen { wait } => {
            ReplyEnd::Limited { wait: Some(wait) }
        }
        RequestError::Unsupported
        | RequestError::Refused { .. }
        | RequestError::Framing(_)
        | RequestError::Cut
        | RequestError::TooManyBlocks { .. }
        | RequestError::TimedOut { .. } => {
            context.reputation.evidence(peer, Evidence::Failed(error));
            ReplyEnd::Failed
        }
    }
}

#[cfg(test)]
#[path = "fetch_tests.rs"]
mod tests;
