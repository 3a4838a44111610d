//! The root of a supervision tree: started, watched, shut down.
//!
//! Owns the end of the tree: when the root supervisor has ended and everything below it, all
//! handles answer `Stopped` and the exit is known to everyone who waits.

use std::slice;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use crate::actor::SupervisorLauncher;
use crate::clockwork::Clockwork;
use crate::exit::{ChildExit, ShutdownError, StartError, SupervisorExit};
use crate::handle::{CallError, ChildHandle};
use crate::incarnation::{KILL_PATIENCE, Launch as _, close, launch, unsettled};
use crate::message::{ChildView, SupervisorMsg};
use crate::report::{Report, ReportStream, Reports};
use crate::spec::{ChildSpec, SupervisorSpec};

/// Starts supervision trees.
#[derive(Debug)]
pub enum Supervisor {}

impl Supervisor {
    /// Starts the root supervisor and its children in order. Must run in a tokio runtime.
    ///
    /// Dropping the future kills what has started. Dropping the handle leaves the tree running.
    ///
    /// # Errors
    /// [`StartError`] names the child that failed; those before it were stopped in reverse order.
    pub async fn start(spec: SupervisorSpec) -> Result<SupervisorHandle, StartError> {
        let (handle, reports, id) = (spec.handle(), spec.reports.clone(), spec.id());
        let launcher = Arc::new(SupervisorLauncher::new(Arc::new(spec)));
        let root = ChildSpec::root(Arc::clone(&launcher));
        let incarnation = handle.incarnation().saturating_add(1);
        // Before the first child, which may block its thread while those after it still start.
        let clockwork = if watches(&root) { Clockwork::start() } else { None };
        let newborn = match launch(&root, incarnation, None).await {
            Ok(newborn) => newborn,
            Err(exit) => {
                close(slice::from_ref(&root));
                return Err(start_error(&exit));
            }
        };
        let (ended, end) = watch::channel(None);
        let weak = Arc::downgrade(&launcher);
        let tree = SupervisorHandle { handle, launcher: weak, reports: reports.clone(), end };
        tokio::spawn(async move {
            newborn.attend(&root).await;
            drop(clockwork);
            let exit = launcher.outcome().unwrap_or(SupervisorExit::Lost);
            close(slice::from_ref(&root));
            // Who waits for the end may rely on nothing of the tree being held by it any more.
            drop((launcher, root));
            reports.publish(Report::Stopped { supervisor: id, exit: exit.clone() });
            ended.send_replace(Some(exit));
        });
        Ok(tree)
    }
}

/// Whether any child, here or below, is asked for signs of life.
fn watches(child: &ChildSpec) -> bool {
    child.watch.is_some() || child.launcher.children().iter().any(watches)
}

fn start_error(exit: &ChildExit) -> StartError {
    exit.downcast_ref::<StartError>().cloned().unwrap_or(StartError::Killed)
}

/// A running supervision tree.
#[derive(Debug, Clone)]
pub struct SupervisorHandle {
    handle: ChildHandle<SupervisorMsg>,
    /// Weak: a handle does not keep what the factories of an ended tree hold.
    launcher: Weak<SupervisorLauncher>,
    reports: Reports,
    end: watch::Receiver<Option<SupervisorExit>>,
}

impl SupervisorHandle {
    /// The children of the root supervisor, in start order.
    ///
    /// # Errors
    /// [`CallError`] if the supervisor is not up.
    pub async fn children(&self) -> Result<Vec<ChildView>, CallError> {
        self.handle.children().await
    }

    /// Follows the reports of the root supervisor from here on.
    pub fn reports(&self) -> ReportStream {
        self.reports.subscribe()
    }

    /// The address of the root supervisor.
    pub fn handle(&self) -> ChildHandle<SupervisorMsg> {
        self.handle.clone()
    }

    /// Stops the children bottom-up, each awaited, then the supervisor. `Ok` when the tree has
    /// ended, whatever ended it; [`wait`](Self::wait) tells.
    ///
    /// Dropping the future leaves the shutdown running, but without its deadline.
    ///
    /// # Errors
    /// [`ShutdownError`] if the tree did not end before the `deadline`; what was left is killed.
    pub async fn shutdown(&self, deadline: Duration) -> Result<(), ShutdownError> {
        self.handle.shut_down();
        if timeout(deadline, self.wait()).await.is_ok() {
            return Ok(());
        }
        self.handle.kill();
        match timeout(KILL_PATIENCE, self.wait()).await {
            Ok(_) => Err(ShutdownError::Forced),
            Err(_) => {
                let launcher = self.launcher.upgrade();
                let children = launcher.map(|launcher| unsettled(launcher.children()));
                Err(ShutdownError::StillRunning { children: children.unwrap_or_default() })
            }
        }
    }

    /// Waits until the tree has ended, and tells how. Cancel-safe.
    pub async fn wait(&self) -> SupervisorExit {
        let mut end = self.end.clone();
        let exit = match end.wait_for(Option::is_some).await {
            Ok(exit) => exit.clone(),
            // The task that tells was dropped with the runtime.
            Err(_) => None,
        };
        exit.unwrap_or(SupervisorExit::Lost)
    }
}
