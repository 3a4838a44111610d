//! What is stored of peers, read and changed while no node runs.

use std::time::Duration;

use super::{BanStatus, PeerStatus, ReputationSettings, StoredPeer, book::PeerBook};
use crate::types::{BlockRoot, PeerId};

/// The peers of a node that does not run.
pub struct StoppedPeers {
    book: PeerBook,
    now: Duration,
}

impl StoppedPeers {
    /// What `stored` comes to at `now`, a time since the Unix epoch.
    pub fn new(now: Duration, settings: ReputationSettings, stored: Vec<StoredPeer>) -> Self {
        let mut book = PeerBook::new(BlockRoot::ZERO, settings);
        // Nobody is connected who would have to go.
        let _ = book.restore(now, stored);
        book.expire(now);
        Self { book, now }
    }

    /// Everybody known.
    pub fn peers(&self) -> Vec<PeerStatus> {
        self.book.view().peers
    }

    /// Keeps `peer` out for `length`, or as long as a liar.
    pub fn ban(&mut self, peer: PeerId, length: Option<Duration>) -> Option<BanStatus> {
        let _ = self.book.ban_by_hand(self.now, peer, length);
        self.book.ban_of(peer)
    }

    /// Lets `peer` in again; whether it was kept out.
    pub fn lift(&mut self, peer: PeerId) -> bool {
        self.book.lift(self.now, peer)
    }

    /// What is to be stored, and whose records are to go.
    pub fn into_changes(mut self) -> (Vec<StoredPeer>, Vec<PeerId>) {
        self.book.take_changes()
    }
}
