//! Whether blocks may be imported, kept where no actor's death reaches.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Open unless the disk is full. Clones are the same gate.
#[derive(Debug, Clone, Default)]
pub struct ImportGate {
    closed: Arc<AtomicBool>,
}

impl ImportGate {
    /// Opens or closes it; whether that is news.
    pub fn set_open(&self, open: bool) -> bool {
        self.closed.swap(!open, Ordering::AcqRel) == open
    }

    /// Whether it is open.
    pub fn is_open(&self) -> bool {
        !self.closed.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn change_is_told_once_and_seen_by_all_clones() {
        let gate = ImportGate::default();
        let seen = gate.clone();
        assert!(seen.is_open());
        assert!(!gate.set_open(true));
        assert!(gate.set_open(false));
        assert!(!gate.set_open(false));
        assert!(!seen.is_open());
        assert!(gate.set_open(true));
        assert!(seen.is_open());
    }
}
