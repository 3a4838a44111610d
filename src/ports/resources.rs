//! What the machine has left, as sync sees it.

use std::io;

/// What was found at one moment. `None` where the system does not tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ResourceSample {
    /// Memory of this process that is not on disk. Unit: bytes.
    pub memory_bytes: Option<u64>,
    /// What may still be written where the chain lies. Unit: bytes.
    pub disk_free_bytes: Option<u64>,
}

/// Looks at memory and disk. It may block on the disk: never call it on an async worker.
pub trait Resources: Send + Sync + 'static {
    /// What there is now.
    ///
    /// # Errors
    /// The system refuses to tell; what was found before is as good as anything.
    fn sample(&self) -> io::Result<ResourceSample>;
}
