//! What the owner of the network was told last.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::types::PeerId;

/// Orders that hold until others come. They outlive the owner of the network, so that the next one
/// obeys them from its start. Clones are the same.
#[derive(Clone, Default)]
pub struct NetworkOrders {
    orders: Arc<Mutex<Orders>>,
}

#[derive(Default)]
struct Orders {
    refused: BTreeSet<PeerId>,
    link_cut: bool,
}

impl NetworkOrders {
    /// Exactly these are refused.
    pub(super) fn refuse(&self, peers: BTreeSet<PeerId>) {
        self.lock().refused = peers;
    }

    pub(super) fn refused(&self) -> BTreeSet<PeerId> {
        self.lock().refused.clone()
    }

    /// Whether our own link is taken for cut. Returns whether that is news.
    pub(super) fn set_link_cut(&self, cut: bool) -> bool {
        std::mem::replace(&mut self.lock().link_cut, cut) != cut
    }

    pub(super) fn link_cut(&self) -> bool {
        self.lock().link_cut
    }

    fn lock(&self) -> MutexGuard<'_, Orders> {
        // Nothing panics while the lock is held.
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
