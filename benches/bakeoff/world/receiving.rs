//! Our end of requests: what arrives of them, and what verification makes of it.

use std::{sync::Arc, time::Duration};

use alys_sync::{
    flow::RequestId,
    scheduler::{DownloadEvent, ReplyEnd},
    types::{HeightRange, PeerId},
};
use rand::Rng as _;

use super::{
    super::fetch::{OpenFetch, Progress, ReadyPiece},
    Happening, Imports, VERIFYING, Verified, Verifying, World,
};

impl World {
    pub(super) fn fetch(
        &mut self,
        (request, peer): (RequestId, PeerId),
        range: HeightRange,
        bytes: u64,
        block_deadline: Duration,
    ) {
        let granted = self.budget.try_reserve(range.start(), bytes);
        let known = self.ids.get(&peer).and_then(|at| Some((*at, self.links.get(*at)?)));
        let Some((permit, (at, link))) = granted.zip(known) else {
            self.core.not_sent(self.now, request);
            return;
        };
        let (epoch, delay) = (link.epoch, link.plan.delay);
        let fetch = OpenFetch::new((at, peer), range, block_deadline, permit, self.now);
        let range = (range.start(), range.count());
        self.after(delay, Happening::Asked { at, epoch, request, range });
        self.after(block_deadline, Happening::Late { request });
        self.fetches.insert(request, fetch);
    }

    /// Tells the peer of a reply that is still received that nobody wants it.
    pub(super) fn forget(&mut self, request: RequestId) {
        let Some(fetch) = self.fetches.get(&request).filter(|fetch| fetch.receiving) else {
            return;
        };
        let at = fetch.at;
        if let Some(delay) = self.links.get(at).map(|link| link.plan.delay) {
            self.after(delay, Happening::Forgotten { at, request });
        }
    }

    /// Receives no more of `request`; the core is told if there is an `end`.
    pub(super) fn end(&mut self, request: RequestId, end: Option<ReplyEnd>) {
        let Some(fetch) = self.fetches.get_mut(&request).filter(|fetch| fetch.receiving) else {
            return;
        };
        fetch.end();
        self.starved.remove(&request);
        self.told.extend(end.map(|end| DownloadEvent::Ended { request, end }));
        self.settle(request);
    }

    pub(super) fn settle(&mut self, request: RequestId) {
        let done = |fetch: &OpenFetch| !fetch.receiving && fetch.verifying == 0;
        if self.fetches.get(&request).is_some_and(done) {
            self.fetches.remove(&request);
            self.told.push(DownloadEvent::Settled { request });
        }
    }

    /// Something of a reply arrived.
    pub(super) fn fetched(
        &mut self,
        request: RequestId,
        read: impl FnOnce(&mut OpenFetch, Duration) -> Progress,
    ) {
        let Some(fetch) = self.fetches.get_mut(&request).filter(|fetch| fetch.receiving) else {
            return;
        };
        let Progress { pieces, over, due } = read(fetch, self.now);
        if fetch.is_starved() {
            self.starved.insert(request);
        }
        pieces.into_iter().for_each(|piece| self.verify(request, piece));
        if let Some(due) = due {
            self.at(due, Happening::PieceDue { request });
        }
        if over {
            self.end(request, Some(ReplyEnd::Closed));
        }
    }

    pub(super) fn late(&mut self, request: RequestId) {
        let Some(fetch) = self.fetches.get_mut(&request).filter(|fetch| fetch.receiving) else {
            return;
        };
        let late_at = fetch.late_at(self.now);
        if late_at > self.now {
            self.at(late_at, Happening::Late { request });
            return;
        }
        self.fail(request);
    }

    /// A request has failed; what has arrived of it goes on.
    pub(super) fn fail(&mut self, request: RequestId) {
        let piece = self.fetches.get_mut(&request).and_then(OpenFetch::piece);
        piece.into_iter().for_each(|piece| self.verify(request, piece));
        self.forget(request);
        self.end(request, Some(ReplyEnd::Failed));
    }

    pub(super) fn verify(&mut self, request: RequestId, piece: ReadyPiece) {
        let Some(fetch) = self.fetches.get(&request) else { return };
        let ReadyPiece { range, bytes, .. } = piece;
        self.told.push(DownloadEvent::Arrived { request, range, bytes });
        let takes = VERIFYING * u32::try_from(range.count()).unwrap_or(u32::MAX);
        self.verified_until = self.verified_until.max(self.now) + takes;
        self.pieces += 1;
        let (at, peer) = (fetch.at, fetch.peer);
        self.verifying.insert(self.pieces, Verifying { request, at, peer, piece });
        self.at(self.verified_until, Happening::Verified { piece: self.pieces });
    }

    pub(super) fn verified(&mut self, piece: u64) {
        let Some(Verifying { request, at, peer, piece }) = self.verifying.remove(&piece) else {
            return;
        };
        let ReadyPiece { range, mut permit, .. } = piece;
        let lie = self.links.get(at).map_or(0.0, |link| link.plan.lie);
        let (mut segments, mut good, mut lied) = (Vec::new(), None, false);
        for height in range.heights() {
            if lie == 0.0 || !self.chance.random_bool(lie) {
                let start = good.map_or(height, HeightRange::start);
                good = HeightRange::inclusive(start, height);
                continue;
            }
            lied = true;
            segments.extend(good.take());
        }
        segments.extend(good);
        let bytes = permit.bytes() / range.count();
        let segment = |range: HeightRange| {
            let permit = permit.split(bytes * range.count(), range.last().saturating_add(1));
            Verified(Arc::new(Imports { range, peer, _permit: permit }))
        };
        let segments = segments.into_iter().map(segment).collect();
        self.told.push(DownloadEvent::Verified { request, range, segments });
        if let Some(fetch) = self.fetches.get_mut(&request) {
            fetch.verifying -= 1;
        }
        self.settle(request);
        if lied && self.bad_replies.entry(at).or_default().insert(request) && self.is_banned(at) {
            self.told.push(DownloadEvent::PeerUnusable { peer });
            self.told.push(DownloadEvent::PeerBanned { peer });
        }
    }
}
