//! The supervisor actor and how it is started.
//!
//! Messages in: starts and ends of incarnations, due timers, shutdown, questions; from ractor, the
//! exits of its children. No handler awaits anything: waiting for starts and ends happens in
//! tasks, so that questions and shutdown are answered while children stop.
//!
//! Failure: it ends with the [`Escalation`](crate::Escalation) as its error when it gives up, and
//! never by itself otherwise. ractor then kills what is still linked below it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, SupervisionEvent};

use crate::decision::Ending;
use crate::exit::{ChildError, ChildExit, StartError, SupervisorExit};
use crate::handle::Address;
use crate::incarnation::{BoxFuture, Launch, Launched, Live, spawn};
use crate::message::SupervisorMsg;
use crate::roster::Roster;
use crate::spec::{ChildSpec, SupervisorSpec};

/// The exit reasons by which ractor tells that an actor did not end by itself.
const KILL_REASONS: [&str; 2] = ["killed", "actor_task_cancelled"];

/// Starts a supervisor.
#[derive(Debug)]
pub(crate) struct SupervisorLauncher {
    spec: Arc<SupervisorSpec>,
    outcome: Arc<Mutex<Option<SupervisorExit>>>,
}

impl SupervisorLauncher {
    pub(crate) fn new(spec: Arc<SupervisorSpec>) -> Self {
        Self { spec, outcome: Arc::default() }
    }

    /// How the last incarnation ended, if it could say so.
    pub(crate) fn outcome(&self) -> Option<SupervisorExit> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Launch for SupervisorLauncher {
    fn address(&self) -> &dyn Address {
        &**self.spec.handle.slot()
    }

    fn launch(
        &self,
        incarnation: u64,
        parent: Option<ActorCell>,
    ) -> BoxFuture<'_, Result<Launched, ChildError>> {
        Box::pin(async move {
            let outcome = Arc::clone(&self.outcome);
            *outcome.lock().unwrap_or_else(PoisonError::into_inner) = None;
            let actor = SupervisorActor { outcome };
            let slot = self.spec.handle.slot();
            spawn(slot, incarnation, actor, Arc::clone(&self.spec), parent).await
        })
    }

    fn ask_stop(&self, live: &Live) {
        // A message, not ractor's stop: it still answers while its children stop. One that has
        // ended needs no asking.
        let _ = ActorRef::from(live.cell.clone()).cast(SupervisorMsg::shut_down());
    }

    fn children(&self) -> &[ChildSpec] {
        &self.spec.children
    }
}

/// The error of a child whose state panicked when it was dropped after a stop.
const STATE_PANICKED: &str = "the state panicked when it was dropped";

/// The actor of one incarnation of a supervisor.
struct SupervisorActor {
    outcome: Arc<Mutex<Option<SupervisorExit>>>,
}

impl SupervisorActor {
    fn record(&self, exit: SupervisorExit) {
        let mut outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        outcome.get_or_insert(exit);
    }

    fn obey(&self, ending: Option<Ending>, roster: &Roster) -> Result<(), ActorProcessingErr> {
        match ending {
            None => Ok(()),
            Some(Ending::Shutdown) => {
                self.record(SupervisorExit::Shutdown);
                roster.myself.stop(None);
                Ok(())
            }
            Some(Ending::Escalated(escalation)) => {
                self.record(SupervisorExit::Escalated(escalation.clone()));
                Err(Box::new(escalation))
            }
        }
    }
}

impl Actor for SupervisorActor {
    type Msg = SupervisorMsg;
    type State = Roster;
    type Arguments = Arc<SupervisorSpec>;

    async fn pre_start(
        &self,
        myself: ActorRef<SupervisorMsg>,
        spec: Arc<SupervisorSpec>,
    ) -> Result<Roster, ActorProcessingErr> {
        if let Some(id) = spec.duplicate_child() {
            return Err(Box::new(StartError::DuplicateChild { id }));
        }
        let mut roster = Roster::new(myself, spec);
        roster.boot().await?;
        Ok(roster)
    }

    async fn handle(
        &self,
        _: ActorRef<SupervisorMsg>,
        SupervisorMsg(command): SupervisorMsg,
        roster: &mut Roster,
    ) -> Result<(), ActorProcessingErr> {
        let ending = roster.take_in(command);
        self.obey(ending, roster)
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<SupervisorMsg>,
        event: SupervisionEvent,
        roster: &mut Roster,
    ) -> Result<(), ActorProcessingErr> {
        let ending = match event {
            SupervisionEvent::ActorTerminated(cell, state, reason) => {
                // The old incarnation ends with its state, so before anything is decided; and no
                // child may take the supervisor with it.
                let dropped = catch_unwind(AssertUnwindSafe(|| drop(state)));
                let killed = reason.is_some_and(|reason| KILL_REASONS.contains(&reason.as_str()));
                let exit = match dropped {
                    Err(_) => ChildExit::Failed(ChildError::from(Box::from(STATE_PANICKED))),
                    Ok(()) if killed => ChildExit::Killed,
                    Ok(()) => ChildExit::Stopped,
                };
                roster.hear(cell.get_id(), exit)
            }
            SupervisionEvent::ActorFailed(cell, error) => {
                roster.hear(cell.get_id(), ChildExit::Failed(error.into()))
            }
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => None,
        };
        self.obey(ending, roster)
    }

    /// Runs after the core has finished, with nothing left to do, or after a stop from outside,
    /// which bypasses the core.
    async fn post_stop(
        &self,
        _: ActorRef<SupervisorMsg>,
        roster: &mut Roster,
    ) -> Result<(), ActorProcessingErr> {
        roster.stop_all().await;
        self.record(SupervisorExit::Shutdown);
        Ok(())
    }
}
