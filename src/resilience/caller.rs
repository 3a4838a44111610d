//! The one type that can send to a peer. Breakers, limits, deadlines and the span are inside it, so
//! that no request can go out without them.

use std::{
    collections::BTreeMap,
    num::NonZeroU64,
    sync::{
        Arc, Mutex, PoisonError, RwLock, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::StreamExt as _;
use tokio::time::timeout;
use tracing::Instrument as _;

use super::{
    activity::{Activity, RequestActivity},
    breaker::{BreakerState, CallEnd},
    breakers::{BreakerStatus, BreakerTotals, PeerBreakers, Ticket},
    call_span::CallSpan,
    download_limit::DownloadLimit,
    limit::PeerLimits,
    partition::Traffic,
};
use crate::{
    ports::{Clock, PeerNetwork, RangeStream, RequestError},
    types::{HeightRange, PeerId},
};

/// Requests open at one peer at once, probes included. Unit: requests. Today's nodes close a
/// connection at the 33rd open stream; two are left for what is just being closed. Too low: idle
/// one-block servers. Too high: dropped connections.
const REQUESTS_PER_PEER_MAX: u32 = 30;

/// Where the present incarnation of the network is found. It outlives all of them.
#[derive(Clone, Default)]
pub struct NetworkSlot {
    present: Arc<RwLock<Option<Weak<dyn PeerNetwork>>>>,
}

impl NetworkSlot {
    /// Makes `network` the present one. Only its owner keeps it alive.
    pub fn publish(&self, network: &Arc<dyn PeerNetwork>) {
        let mut present = self.present.write().unwrap_or_else(PoisonError::into_inner);
        *present = Some(Arc::downgrade(network));
    }

    fn get(&self) -> Option<Arc<dyn PeerNetwork>> {
        let present = self.present.read().unwrap_or_else(PoisonError::into_inner);
        present.as_ref().and_then(Weak::upgrade)
    }
}

/// Asks peers for blocks. Clones share their limits and breakers.
#[derive(Clone)]
pub struct PeerCaller {
    network: NetworkSlot,
    clock: Arc<dyn Clock>,
    breakers: Arc<PeerBreakers>,
    open: Arc<Mutex<BTreeMap<PeerId, u32>>>,
    limits: Arc<PeerLimits>,
    download_limit: DownloadLimit,
    received: Arc<AtomicU64>,
    activity: Activity,
}

impl PeerCaller {
    /// A caller over whatever network is present in `network`, whose replies together bring at most
    /// `bytes_per_second`; `None` for as much as there is. `seed` decides what is left to chance.
    /// Only the tree of a node makes one: all that ask in a node share its limits and breakers.
    pub(crate) fn new(
        network: NetworkSlot,
        clock: Arc<dyn Clock>,
        bytes_per_second: Option<NonZeroU64>,
        seed: u64,
    ) -> Self {
        let download_limit = DownloadLimit::new(Arc::clone(&clock), bytes_per_second);
        let activity = Activity::new(Arc::clone(&clock));
        let limits = Arc::new(PeerLimits::new(Arc::clone(&clock)));
        let breakers = Arc::new(PeerBreakers::new(Arc::clone(&clock), seed));
        let (open, received) = (Arc::default(), Arc::default());
        Self { network, clock, breakers, open, limits, download_limit, received, activity }
    }

    /// A caller outside a node, for benches and tests that ask a network by themselves. It has the
    /// limits and breakers of one, but for the limit of all downloads. No part of a node may make
    /// one: it would not know what the node's own caller knows.
    pub fn outside_a_node(network: NetworkSlot, clock: Arc<dyn Clock>) -> Self {
        Self::new(network, clock, None, 0)
    }

    /// The breakers of the peers that were asked lately, at most about a thousand, in order of the
    /// peers.
    pub fn breakers(&self) -> Vec<BreakerStatus> {
        self.breakers.status()
    }

    /// How often breakers of peers changed so far.
    pub fn breaker_totals(&self) -> BreakerTotals {
        self.breakers.totals()
    }

    /// All failures since `since`, a moment of this caller's [`Clock::now`], were our own: the
    /// breakers forget them, and those that opened since are closed.
    pub fn take_back(&self, since: Duration) {
        self.breakers.take_back(since);
    }

    /// The connection to `peer` is gone: until it is asked again, that it delivered keeps nobody
    /// else out.
    pub fn left(&self, peer: PeerId) {
        self.breakers.left(peer);
    }

    /// Bytes of all blocks that were received so far, whatever became of them.
    pub fn received_bytes(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Whom requests wait for now, and when anything last arrived.
    pub fn traffic(&self) -> Traffic {
        self.activity.traffic()
    }

    /// Asks `peer` for `range`. Each block, the first one too, must arrive within `deadline` of
    /// the one before. Dropping the call resets the request.
    ///
    /// # Errors
    /// See [`RequestError`]; [`RequestError::BreakerOpen`] where the peer has failed too often,
    /// [`RequestError::TooManyStreams`] at our own limit of open requests,
    /// [`RequestError::OverQuota`] where the peer would refuse so much now.
    pub async fn range(
        &self,
        peer: PeerId,
        range: HeightRange,
        deadline: Duration,
    ) -> Result<RangeCall, RequestError> {
        let ticket = self.breakers.admit(peer);
        let mut ticket = ticket.map_err(|wait| RequestError::BreakerOpen { wait })?;
        let open = OpenRequest::take(&self.open, peer)?;
        let network = self.network.get().ok_or(RequestError::Restarting)?;
        let admitted = self.limits.admit(peer, range.count());
        admitted.map_err(|wait| RequestError::OverQuota { wait })?;
        let activity = self.activity.request(peer);
        activity.waits();
        let breaker = if ticket.is_probe() { BreakerState::HalfOpen } else { BreakerState::Closed };
        let mut span = CallSpan::begin(Arc::clone(&self.clock), peer, range, breaker);
        let request = network.request_range(peer, range).instrument(span.span().clone());
        // The caller must not keep a network alive that its owner has let go.
        drop(network);
        let sent = timeout(deadline, request).await;
        let sent = sent.unwrap_or(Err(RequestError::TimedOut { waited: deadline }));
        let stream = match sent {
            Ok(stream) => stream,
            Err(error) => {
                span.span().in_scope(|| ticket.ended(says(&error)));
                span.failed(&error);
                return Err(error);
            }
        };
        let left = range.count();
        let caller = self.clone();
        Ok(RangeCall { stream, deadline, left, ticket, span, caller, peer, activity, _open: open })
    }
}

/// What a failed request says about the peer.
const fn says(error: &RequestError) -> CallEnd {
    match error {
        RequestError::TimedOut { .. }
        | RequestError::Cut
        | RequestError::Refused { .. }
        | RequestError::Framing(_)
        | RequestError::Unsupported
        | RequestError::TooManyBlocks { .. } => CallEnd::Failed,
        // Ours, or a limit that it is right to have.
        RequestError::NotConnected
        | RequestError::TooManyStreams
        | RequestError::Restarting
        | RequestError::RateLimited { .. }
        | RequestError::OverQuota { .. }
        | RequestError::BreakerOpen { .. } => CallEnd::NoNews,
    }
}

/// A reply in progress. The peer's breaker learns of its end once; of one that is dropped before,
/// it learns nothing.
pub struct RangeCall {
    stream: RangeStream,
    deadline: Duration,
    left: u64,
    // Before the span, which is open for as long as something may be said in it.
    ticket: Ticket,
    span: CallSpan,
    caller: PeerCaller,
    peer: PeerId,
    activity: RequestActivity,
    _open: OpenRequest,
}

impl RangeCall {
    /// The next block of the reply, or `None` at its clean end. After an error, and after as many
    /// blocks as were asked for, there is nothing more.
    ///
    /// # Errors
    /// See [`RequestError`].
    ///
    /// Cancel-safe: a dropped wait loses no block.
    pub async fn next(&mut self) -> Option<Result<Bytes, RequestError>> {
        if self.left == 0 {
            return None;
        }
        // No deadline runs meanwhile: the peer has sent what it may.
        self.caller.download_limit.ready().await;
        self.activity.waits();
        let next = match timeout(self.deadline, self.stream.next()).await {
            Ok(next) => {
                if !matches!(next, Some(Err(RequestError::Cut))) {
                    // Also an error: the link carries it.
                    self.activity.arrived();
                }
                next
            }
            Err(_) => Some(Err(RequestError::TimedOut { waited: self.deadline })),
        };
        match &next {
            Some(Ok(block)) => {
                self.left -= 1;
                let bytes = block.len() as u64;
                self.ticket.delivers();
                self.span.block(bytes);
                self.caller.download_limit.charge(bytes);
                self.caller.received.fetch_add(bytes, Ordering::Relaxed);
                if self.left == 0 {
                    self.ended_well();
                }
            }
            Some(Err(error)) => {
                self.left = 0;
                if let RequestError::RateLimited { .. } = error {
                    self.caller.limits.has_refused(self.peer);
                }
                tracing::debug!(parent: self.span.span(), %error, "reply failed");
                self.span.span().in_scope(|| self.ticket.ended(says(error)));
                self.span.failed(error);
            }
            None => {
                self.left = 0;
                self.ended_well();
            }
        }
        next
    }

    fn ended_well(&mut self) {
        self.span.span().in_scope(|| self.ticket.ended(CallEnd::Succeeded));
        self.span.ended();
    }
}

/// Counts one open request at a peer until it is dropped.
struct OpenRequest {
    open: Arc<Mutex<BTreeMap<PeerId, u32>>>,
    peer: PeerId,
}

impl OpenRequest {
    fn take(open: &Arc<Mutex<BTreeMap<PeerId, u32>>>, peer: PeerId) -> Result<Self, RequestError> {
        let mut counts = open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(peer).or_insert(0);
        if *count >= REQUESTS_PER_PEER_MAX {
            return Err(RequestError::TooManyStreams);
        }
        *count += 1;
        Ok(Self { open: Arc::clone(open), peer })
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        let mut counts = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.peer) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.peer);
            }
        }
    }
}

#[cfg(test)]
#[path = "caller_tests.rs"]
mod tests;
