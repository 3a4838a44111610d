//! What supervisors tell observers.
//!
//! Owns the bounded stream of reports. An observer that lags is told how many it missed; it never
//! holds up a supervisor. Each report is also logged here, once.

use std::time::Duration;

use tokio::sync::broadcast;

use crate::exit::{ChildExit, Escalation, SupervisorExit};

/// Reports kept for a slow observer. Unit: reports. Source: far more than one restart of the
/// largest tree makes. Too low: observers lag in a burst of restarts; too high: memory held for
/// one that stopped reading.
const REPORTS_KEPT: usize = 1024;

/// One fact about a supervision tree.
#[derive(Debug, Clone)]
pub enum Report {
    /// An incarnation is up.
    Started {
        /// The child.
        id: &'static str,
        /// Its number.
        incarnation: u64,
    },
    /// An incarnation ended, asked or not, or failed to start.
    Exited {
        /// The child.
        id: &'static str,
        /// Its number.
        incarnation: u64,
        /// How it ended.
        exit: ChildExit,
    },
    /// A child is to be started again.
    RestartScheduled {
        /// The child that failed.
        id: &'static str,
        /// Least time until its start.
        delay: Duration,
        /// Restarts of its supervisor in the running period, this one included.
        restarts_in_period: u32,
    },
    /// A watched child gave no sign of life in time and is killed; its end is reported next.
    Hung {
        /// The child.
        id: &'static str,
        /// Its number.
        incarnation: u64,
        /// The time it had to answer.
        within: Duration,
    },
    /// A child did not stop in its grace and was killed.
    GraceExceeded {
        /// The child.
        id: &'static str,
        /// Its number.
        incarnation: u64,
        /// The time it had.
        grace: Duration,
    },
    /// A killed child has not ended: a handler blocks its thread. Its end is still awaited.
    Stuck {
        /// The child.
        id: &'static str,
        /// Its number.
        incarnation: u64,
    },
    /// A child stays down; its handle answers `Stopped`.
    LeftDown {
        /// The child.
        id: &'static str,
        /// Its last number.
        incarnation: u64,
    },
    /// A supervisor gives up; its children are stopped next.
    Escalated(Escalation),
    /// The root supervisor and everything below it has ended. The last report of a tree.
    Stopped {
        /// The root supervisor.
        supervisor: &'static str,
        /// How it ended.
        exit: SupervisorExit,
    },
    /// This observer was too slow and missed reports.
    Lagged {
        /// How many.
        missed: u64,
    },
}

/// Where supervisors send their reports. Give clones of one to all supervisors of a tree to read
/// the whole tree as one stream.
#[derive(Debug, Clone)]
pub struct Reports {
    sender: broadcast::Sender<Report>,
}

impl Default for Reports {
    fn default() -> Self {
        Self { sender: broadcast::Sender::new(REPORTS_KEPT) }
    }
}

impl Reports {
    /// Follows all reports from here on. Subscribe before the start to see the first ones.
    pub fn subscribe(&self) -> ReportStream {
        ReportStream { receiver: self.sender.subscribe() }
    }

    pub(crate) fn publish(&self, report: Report) {
        log(&report);
        // No observer is no fault.
        let _ = self.sender.send(report);
    }
}

/// A subscription to [`Reports`].
#[derive(Debug)]
pub struct ReportStream {
    receiver: broadcast::Receiver<Report>,
}

impl ReportStream {
    /// The next report, or `None` when every supervisor and handle of the tree is gone.
    /// Cancel-safe.
    pub async fn next(&mut self) -> Option<Report> {
        match self.receiver.recv().await {
            Ok(report) => Some(report),
            Err(broadcast::error::RecvError::Lagged(missed)) => Some(Report::Lagged { missed }),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

fn log(report: &Report) {
    match report {
        Report::Started { id, incarnation } => tracing::info!(id, incarnation, "child started"),
        Report::Exited { id, incarnation, exit } => {
            let error: &dyn std::error::Error = exit;
            let cause = error.source();
            if exit.is_abnormal() {
                tracing::warn!(id, incarnation, %exit, cause, "child ended");
            } else {
                tracing::info!(id, incarnation, "child stopped");
            }
        }
        Report::RestartScheduled { id, delay, restarts_in_period } => {
            tracing::info!(id, ?delay, restarts_in_period, "restart scheduled");
        }
        Report::Hung { id, incarnation, within } => {
            tracing::error!(id, incarnation, ?within, "child gives no sign of life: killing it");
        }
        Report::GraceExceeded { id, incarnation, grace } => {
            tracing::warn!(id, incarnation, ?grace, "child killed past its grace");
        }
        Report::Stuck { id, incarnation } => {
            tracing::error!(id, incarnation, "killed child does not end: it blocks its thread");
        }
        Report::LeftDown { id, incarnation } => {
            tracing::info!(id, incarnation, "child left down");
        }
        Report::Escalated(escalation) => {
            let cause: Option<&(dyn std::error::Error + 'static)> =
                std::error::Error::source(&escalation.exit);
            tracing::error!(%escalation, exit = %escalation.exit, cause, "supervisor gives up");
        }
        Report::Stopped { supervisor, exit } => {
            tracing::info!(supervisor, ?exit, "supervision tree ended");
        }
        Report::Lagged { missed } => tracing::warn!(missed, "report stream lagged"),
    }
}
