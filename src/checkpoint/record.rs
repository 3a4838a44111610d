//! The records themselves, and which checkpoints are due and which go. Pure.

use serde::{Deserialize, Serialize};

use crate::types::{BlockRoot, Height};

/// Why a checkpoint was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckpointKind {
    /// The height passed a multiple of the interval.
    Periodic,
    /// Somebody asked for it.
    Manual,
}

/// A block known to have been imported, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Its height.
    pub height: Height,
    /// Its root.
    pub root: BlockRoot,
    /// Why it was made.
    pub kind: CheckpointKind,
    /// When it was made. Unit: seconds since the Unix epoch.
    pub made_unix_seconds: u64,
}

/// The multiple of `interval` that the head passed on its way from `from` to `to`, the highest if
/// it passed several.
pub(super) fn due(from: Height, to: Height, interval: u64) -> Option<Height> {
    let multiple = to.get().checked_div(interval)? * interval;
    (multiple > from.get()).then_some(Height::new(multiple))
}

/// Periodic checkpoints beyond the newest `kept_max`, oldest first. Manual ones stay.
pub(super) fn surplus(checkpoints: &[Checkpoint], kept_max: usize) -> Vec<Height> {
    let periodic: Vec<_> = checkpoints
        .iter()
        .filter(|checkpoint| checkpoint.kind == CheckpointKind::Periodic)
        .map(|checkpoint| checkpoint.height)
        .collect();
    let count = periodic.len().saturating_sub(kept_max.max(1));
    periodic.into_iter().take(count).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn h(number: u64) -> Height {
        Height::new(number)
    }

    #[test]
    fn checkpoint_is_due_at_the_multiple_however_far_the_head_jumps() {
        assert_eq!(due(h(0), h(99), 100), None);
        assert_eq!(due(h(99), h(100), 100), Some(h(100)));
        assert_eq!(due(h(50), h(730), 100), Some(h(700)));
        assert_eq!(due(h(700), h(730), 100), None);
        assert_eq!(due(h(0), h(730), 0), None);
    }

    #[test]
    fn oldest_periodic_checkpoints_go_and_manual_ones_stay() {
        let checkpoint = |height, kind| Checkpoint {
            height: h(height),
            root: BlockRoot::ZERO,
            kind,
            made_unix_seconds: 0,
        };
        let all = [
            checkpoint(50, CheckpointKind::Manual),
            checkpoint(100, CheckpointKind::Periodic),
            checkpoint(200, CheckpointKind::Periodic),
            checkpoint(300, CheckpointKind::Periodic),
        ];
        assert_eq!(surplus(&all, 2), [h(100)]);
        assert_eq!(surplus(&all, 0), [h(100), h(200)]);
        assert!(surplus(&all, 10).is_empty());
    }
}
