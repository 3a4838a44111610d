//! What is done about each class of error: one table, and the figures that it is made of. Pure.
//!
//! An error is of the class that says what has to be done about it, not of the place where it was
//! seen. A row has the steps in the order in which they are taken, from what passes by itself to
//! what needs an operator; who acts; where it shows; and the tests that cause the error for real.
//! The figures stand here once: whoever acts takes them from here.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use crate::ports::{ChainError, RequestError};

/// Pauses between tries. Each is longer than the one before, up to the longest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tries {
    /// The first pause. Unit: time.
    pub first: Duration,
    /// The longest. Unit: time.
    pub longest: Duration,
    /// After how many tries the next step is taken; none for never.
    pub most: Option<u32>,
}

impl Tries {
    const fn without_end(first: Duration, longest: Duration) -> Self {
        Self { first, longest, most: None }
    }
}

/// A peer whose request failed is not asked again before. Too low: a dead peer costs a deadline
/// often. Too high: a peer that came back is idle for long.
pub const ASK_AGAIN: Tries =
    Tries::without_end(Duration::from_millis(250), Duration::from_secs(15));

/// A peer that did not answer when it was asked which chain it serves. Too low: strangers are asked
/// all the time. Too high: a peer of ours stays unused.
pub const CHECK_AGAIN: Tries =
    Tries::without_end(Duration::from_millis(500), Duration::from_secs(15));

/// Failures in a row that open a peer's breaker. Unit: calls. A failure costs up to a deadline (2
/// to 8 s) and the blocks asked for, so five cost about half a minute. Too low: a short trouble
/// costs a good peer five minutes. Too high: a dead one holds up what it is asked for.
pub const BREAKER_FAILURES: usize = 5;

/// How long a peer's breaker stays open. Source: the requirements; at most as long as a first ban.
/// Too low: a dead peer is asked again and again. Too high: one that was repaired stays unused.
pub const BREAKER_OPEN: Tries =
    Tries::without_end(Duration::from_secs(300), Duration::from_secs(3_600));

/// A connection that was lost, or that did not come about. Too low: packets into nothing. Too
/// high: the peer is back and nobody notices.
pub const REDIAL: Tries = Tries::without_end(Duration::from_secs(1), Duration::from_secs(30));

/// The same while our own link is cut: nobody is to blame, and progress is wanted soon after.
pub const REDIAL_WHILE_CUT: Tries =
    Tries::without_end(Duration::from_secs(1), Duration::from_secs(2));

/// A sync that cannot go on. Too low: whoever failed is asked for nothing. Too high: a passing
/// trouble is felt long after.
pub const SYNC_AGAIN: Tries =
    Tries { first: Duration::from_secs(60), longest: Duration::from_secs(16 * 60), most: Some(5) };

/// Bad pieces of replies after which a provable liar is kept out. One could be a broken memory
/// cell; three are not. Too low: a fluke bans. Too high: more is verified in vain.
pub const LIES_MAX: u32 = 3;

/// A class of errors, by what has to be done about them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorClass {
    /// Nobody can be reached, so it is our own link.
    Partition,
    /// A peer does not answer.
    PeerTimeout,
    /// A connection is gone, or did not come about.
    ConnectionLost,
    /// A peer answers, but later than others would.
    HighLatency,
    /// A block that proves that its sender lies.
    InvalidBlock,
    /// Verification itself failed: a worker panicked, a verdict was lost.
    ValidationFailure,
    /// A reply that is of no use: refused, empty, short, of another height.
    DownloadFailure,
    /// A part of the node failed or hangs.
    ProcessingFailure,
    /// A checkpoint that cannot be read or is not of this chain.
    CheckpointCorrupted,
    /// What is stored fails its checks.
    InconsistentState,
    /// A majority signed a block that does not continue our chain.
    Reorganisation,
    /// The process is near its limit of memory.
    OutOfMemory,
    /// The disk failed, or refused a write.
    StorageFailure,
    /// The disk has less left than its reserve.
    Capacity,
}

/// One step of what is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The same again, after a pause.
    TryAgain(Tries),
    /// Somebody else is asked, at once.
    AskOthers,
    /// Nothing is asked before a breaker lets one call through to see.
    WaitForBreaker {
        /// Failures in a row that open it.
        failures: usize,
        /// How long it stays open.
        open: Tries,
    },
    /// The peer is kept out for a while, at the latest after so many.
    KeepOut {
        /// How many.
        after: u32,
    },
    /// Penalties and breakers of the time that led to it are taken back.
    TakeBack,
    /// The part is started again and takes up its work, within its own budget.
    RestartPart,
    /// Less is downloaded ahead.
    UseLess,
    /// Nothing is imported before there is room.
    Hold,
    /// It is set aside, and the next older one is taken.
    SetAside,
    /// The chain goes on from a whole block, found near or by a checkpoint.
    GoBack,
    /// The tree ends with the reason, and is not started into again.
    Stop,
    /// An operator is told what to do, and waited for.
    AskOperator,
}

/// What is done about one class of errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecoveryRow {
    /// The class.
    pub class: ErrorClass,
    /// What is done, in this order.
    pub steps: &'static [Step],
    /// Who acts: children of the tree, the first by deciding; or the chain store when it opens.
    pub who: &'static [&'static str],
    /// The section of the runbook that explains what an operator sees of it; none where it is no
    /// matter for one.
    pub runbook: Option<&'static str>,
    /// Tests that cause the error for real.
    pub tests: &'static [&'static str],
}

/// The table, a row for each class, in their order.
pub const RECOVERY_TABLE: [RecoveryRow; 14] = [
    RecoveryRow {
        class: ErrorClass::Partition,
        steps: &[Step::TakeBack, Step::TryAgain(REDIAL_WHILE_CUT)],
        who: &["PeerReputation", "PeerNetwork"],
        runbook: Some("our own link is cut for N s"),
        tests: &["sync_completes_after_a_cut_and_old_connections_stay_silent_for_long"],
    },
    RecoveryRow {
        class: ErrorClass::PeerTimeout,
        steps: &[
            Step::AskOthers,
            Step::TryAgain(ASK_AGAIN),
            Step::WaitForBreaker { failures: BREAKER_FAILURES, open: BREAKER_OPEN },
        ],
        who: &["DownloadScheduler"],
        runbook: None,
        tests: &[
            "silent_peer_loses_its_ranges_to_others_and_is_not_banned",
            "errors_of_peers_are_recovered_from_as_the_table_says",
        ],
    },
    RecoveryRow {
        class: ErrorClass::ConnectionLost,
        steps: &[Step::AskOthers, Step::TryAgain(REDIAL), Step::TryAgain(SYNC_AGAIN)],
        who: &["DownloadScheduler", "PeerNetwork", "SyncCoordinator"],
        runbook: Some("… ; tries again in N s"),
        tests: &[
            "peer_that_leaves_in_the_middle_is_replaced_by_the_others",
            "errors_of_peers_are_recovered_from_as_the_table_says",
        ],
    },
    RecoveryRow {
        class: ErrorClass::HighLatency,
        steps: &[Step::AskOthers],
        who: &["DownloadScheduler"],
        runbook: None,
        tests: &[
            "front_at_a_hanging_peer_is_had_from_another_long_before_any_deadline",
            "errors_of_peers_are_recovered_from_as_the_table_says",
        ],
    },
    RecoveryRow {
        class: ErrorClass::InvalidBlock,
        steps: &[Step::AskOthers, Step::KeepOut { after: LIES_MAX }],
        who: &["PeerReputation", "DownloadScheduler"],
        runbook: None,
        tests: &[
            "liar_is_out_and_the_chain_is_the_true_one",
            "bytes_that_are_no_canonical_block_convict_their_sender",
            "lies_forks_and_failed_parts_are_recovered_from_as_the_table_says",
        ],
    },
    RecoveryRow {
        class: ErrorClass::ValidationFailure,
        steps: &[Step::RestartPart, Step::Stop],
        who: &["SyncSupervisor", "DownloadScheduler"],
        runbook: Some("the sync has ended … supervisor SyncSupervisor gave up on child …"),
        tests: &[
            "struck_validator_pool_comes_back_and_the_sync_completes",
            "lies_forks_and_failed_parts_are_recovered_from_as_the_table_says",
        ],
    },
    RecoveryRow {
        class: ErrorClass::DownloadFailure,
        steps: &[
            Step::AskOthers,
            Step::TryAgain(ASK_AGAIN),
            Step::WaitForBreaker { failures: BREAKER_FAILURES, open: BREAKER_OPEN },
        ],
        who: &["DownloadScheduler"],
        runbook: None,
        tests: &[
            "empty_replies_neither_end_the_sync_nor_hold_it_up",
            "what_came_before_a_cut_is_used_and_the_rest_is_asked_again",
            "errors_of_peers_are_recovered_from_as_the_table_says",
        ],
    },
    RecoveryRow {
        class: ErrorClass::ProcessingFailure,
        steps: &[Step::RestartPart, Step::Stop],
        who: &["SyncSupervisor"],
        runbook: Some("child gives no sign of life: killing it"),
        tests: &["struck_children_come_back_and_every_sync_completes"],
    },
    RecoveryRow {
        class: ErrorClass::CheckpointCorrupted,
        steps: &[Step::SetAside],
        who: &["CheckpointStore"],
        runbook: Some("a checkpoint fails its checks: it was set aside"),
        tests: &[
            "forged_and_foreign_checkpoints_are_set_aside_and_never_restored",
            "errors_of_disk_and_files_are_recovered_from_as_the_table_says",
        ],
    },
    RecoveryRow {
        class: ErrorClass::InconsistentState,
        steps: &[Step::GoBack, Step::AskOperator],
        who: &["ChainStore"],
        runbook: Some("recovered from a damaged head"),
        tests: &[
            "only_a_checkpoint_saves_a_run_whose_head_and_what_is_near_it_are_gone",
            "damaged_store_is_opened_as_far_as_it_is_whole_or_refused_and_never_trusted",
            "errors_of_disk_and_files_are_recovered_from_as_the_table_says",
        ],
    },
    RecoveryRow {
        class: ErrorClass::Reorganisation,
        steps: &[Step::AskOthers, Step::TryAgain(SYNC_AGAIN), Step::AskOperator],
        who: &["BlockImporter", "DownloadScheduler", "SyncCoordinator"],
        runbook: Some("… waits for another peer, or to be told to resume"),
        tests: &[
            "sync_completes_among_byzantine_peers_and_only_liars_are_thrown_out",
            "lies_forks_and_failed_parts_are_recovered_from_as_the_table_says",
        ],
    },
    RecoveryRow {
        class: ErrorClass::OutOfMemory,
        steps: &[Step::UseLess],
        who: &["ResourceMonitor"],
        runbook: Some(
            "the process uses N MiB of memory of the M MiB it should: less is downloaded ahead",
        ),
        tests: &[
            "process_at_its_limit_of_memory_says_so_and_the_sync_completes",
            "errors_of_disk_and_files_are_recovered_from_as_the_table_says",
        ],
    },
    RecoveryRow {
        class: ErrorClass::StorageFailure,
        steps: &[Step::Stop, Step::AskOperator],
        who: &["BlockImporter", "CheckpointStore", "SyncSupervisor"],
        runbook: Some("the sync has ended … the chain store failed"),
        tests: &["errors_of_disk_and_files_are_recovered_from_as_the_table_says"],
    },
    RecoveryRow {
        class: ErrorClass::Capacity,
        steps: &[Step::Hold],
        who: &["ResourceMonitor", "BlockImporter"],
        runbook: Some("the disk has N MiB left: nothing is imported until M MiB are free"),
        tests: &["errors_of_disk_and_files_are_recovered_from_as_the_table_says"],
    },
];

impl ErrorClass {
    /// The name, as in traces and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Partition => "partition",
            Self::PeerTimeout => "peer_timeout",
            Self::ConnectionLost => "connection_lost",
            Self::HighLatency => "high_latency",
            Self::InvalidBlock => "invalid_block",
            Self::ValidationFailure => "validation_failure",
            Self::DownloadFailure => "download_failure",
            Self::ProcessingFailure => "processing_failure",
            Self::CheckpointCorrupted => "checkpoint_corrupted",
            Self::InconsistentState => "inconsistent_state",
            Self::Reorganisation => "reorganisation",
            Self::OutOfMemory => "out_of_memory",
            Self::StorageFailure => "storage_failure",
            Self::Capacity => "capacity",
        }
    }

    /// What is done about it.
    pub fn steps(self) -> &'static [Step] {
        let row = RECOVERY_TABLE.iter().find(|row| row.class == self);
        row.map_or(&[], |row| row.steps)
    }

    /// Of a store that failed, and would be written to by whoever is started again.
    pub const fn of_store(error: &ChainError) -> Self {
        match error {
            // The chain is elsewhere than was thought: who starts again reads where.
            ChainError::NotNext { .. } | ChainError::OutOfRange { .. } => Self::ProcessingFailure,
            ChainError::Corrupt(_) | ChainError::Io { .. } | ChainError::Poisoned => {
                Self::StorageFailure
            }
        }
    }

    /// Of a request to a peer that failed; none where nothing failed and it only has to wait.
    pub const fn of_request(error: &RequestError) -> Option<Self> {
        match error {
            RequestError::NotConnected | RequestError::Cut | RequestError::Restarting => {
                Some(Self::ConnectionLost)
            }
            RequestError::TimedOut { .. } => Some(Self::PeerTimeout),
            RequestError::Unsupported
            | RequestError::Refused { .. }
            | RequestError::Framing(_)
            | RequestError::TooManyBlocks { .. } => Some(Self::DownloadFailure),
            RequestError::TooManyStreams
            | RequestError::RateLimited { .. }
            | RequestError::OverQuota { .. }
            | RequestError::BreakerOpen { .. } => None,
        }
    }
}

impl fmt::Display for ErrorClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_one_row_with_steps_that_end_somewhere() {
        for (at, row) in RECOVERY_TABLE.iter().enumerate() {
            assert_eq!(row.class as usize, at, "rows are in order of their classes");
            assert_eq!(row.class.steps(), row.steps);
            assert!(!row.steps.is_empty() && !row.who.is_empty() && !row.tests.is_empty());
            let operator = row.steps.iter().position(|step| *step == Step::AskOperator);
            assert!(operator.is_none_or(|at| at + 1 == row.steps.len()), "{}", row.class);
            assert!(operator.is_none() || row.runbook.is_some(), "{} needs words", row.class);
        }
    }

    #[test]
    fn pauses_grow_and_none_is_nothing() {
        for row in RECOVERY_TABLE {
            for step in row.steps {
                let (Step::TryAgain(tries) | Step::WaitForBreaker { open: tries, .. }) = step
                else {
                    continue;
                };
                assert!(tries.first > Duration::ZERO && tries.first <= tries.longest, "{tries:?}");
            }
        }
    }
}
