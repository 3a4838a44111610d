//! What an incarnation leaves to the next: nothing that is still being done.
//!
//! Work on a blocking thread outlives the actor that began it, and nothing can stop it: a write
//! that is under way, or one that waits for a thread. So each incarnation of a child that writes
//! gets its ports on loan, and the next one is not made before all of them are given back.

use std::sync::{Arc, Mutex, PoisonError};

use crate::ports::{Lent, Loan};

/// The loans of the incarnations of one child. Clones share them.
#[derive(Clone, Default)]
pub(super) struct Handover(Arc<Mutex<Vec<Loan>>>);

impl Handover {
    /// Lends `port` to the next incarnation.
    pub(super) fn lend<P: ?Sized>(&self, port: &Arc<P>) -> Arc<Lent<P>> {
        let (lent, loan) = Lent::new(Arc::clone(port));
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(loan);
        lent
    }

    /// Waits until nobody of an earlier incarnation uses what it was lent. Cancel-safe.
    pub(super) async fn freed(self) {
        while let Some(loan) = self.first() {
            loan.given_back().await;
            // Incarnations start one at a time, so the first is still the first.
            self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(0);
        }
    }

    fn first(&self) -> Option<Loan> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).first().cloned()
    }
}
