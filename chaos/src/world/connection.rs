//! Whether a connection is open, for the replies that travel over it.

use std::sync::Arc;

use tokio::{sync::Semaphore, time::Instant};

/// One connection. Dropping it closes it.
///
/// A semaphore without permits wakes those who wait for its end in the order in which they came;
/// tokio's watch channel wakes them in an order that differs from run to run.
pub(super) struct Connection {
    gate: Arc<Semaphore>,
    opened: Instant,
}

/// What a reply knows of its connection.
pub(super) struct ConnectionEnd {
    gate: Arc<Semaphore>,
    opened: Instant,
}

impl Connection {
    /// An open connection.
    pub(super) fn open() -> Self {
        Self { gate: Arc::new(Semaphore::new(0)), opened: Instant::now() }
    }

    /// Its end, to wait for.
    pub(super) fn end(&self) -> ConnectionEnd {
        ConnectionEnd { gate: Arc::clone(&self.gate), opened: self.opened }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.gate.close();
    }
}

impl ConnectionEnd {
    /// When the connection was opened.
    pub(super) fn opened(&self) -> Instant {
        self.opened
    }

    /// Waits until the connection is closed. Cancel-safe.
    pub(super) async fn reached(&self) {
        // There never is a permit, so this ends with the semaphore.
        let _ = self.gate.acquire().await;
    }
}
