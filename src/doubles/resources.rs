//! A machine that has left what the test says.

use std::{
    io,
    sync::{Mutex, PoisonError},
};

use crate::ports::{ResourceSample, Resources};

/// What there is, and whether it can be seen.
pub(crate) struct ResourcesDouble {
    found: Mutex<Option<ResourceSample>>,
}

impl ResourcesDouble {
    /// Nothing is short.
    pub(crate) fn plenty() -> Self {
        let found = ResourceSample { memory_bytes: Some(0), disk_free_bytes: Some(u64::MAX) };
        Self { found: Mutex::new(Some(found)) }
    }

    /// From now on, this is what there is; none if it cannot be seen.
    pub(crate) fn set(&self, found: Option<ResourceSample>) {
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = found;
    }
}

impl Resources for ResourcesDouble {
    fn sample(&self) -> io::Result<ResourceSample> {
        let found = *self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.ok_or_else(|| io::Error::other("the system does not tell"))
    }
}
