//! What sync may use of the machine.

/// Limits of what sync uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceSettings {
    /// Memory that the whole process should not exceed; none for no limit. Unit: bytes, at least
    /// 64 MiB. Near it less is downloaded ahead, so it is no hard limit: what holds the memory may
    /// be something else. Too low: the sync crawls. Too high: the system ends the process first.
    pub memory_max_bytes: Option<u64>,
    /// Space on the disk that sync leaves free. Unit: bytes. Too low: other programs find a full
    /// disk, and so does the database at a moment it does not choose. Too high: a disk that has
    /// room is left unused.
    pub disk_reserve_bytes: u64,
}

impl Default for ResourceSettings {
    fn default() -> Self {
        Self { memory_max_bytes: Some(512 << 20), disk_reserve_bytes: 1 << 30 }
    }
}
