//! The state of a supervisor: who is where, and the work that is spawned for them.
//!
//! Translates messages into events of the decision core and its actions into tasks and reports.
//! Nothing here waits but the first start and the last stop, which run outside the handlers.
//!
//! How a child ended and that its task is over come by two queues, in any order: an end is taken
//! in when both are known. Exits of actors that are no present incarnation are ignored.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ractor::{ActorId, ActorRef};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::decision::{Action, ChildStatus, Core, Ending, Event, Seat};
use crate::exit::{ChildExit, Directive, StartError};
use crate::incarnation::{Live, close, kill, launch, sign_of_life, stop};
use crate::message::{ChildView, Command, SupervisorMsg};
use crate::report::Report;
use crate::spec::{ChildSpec, SupervisorSpec};

/// Time to hear from ractor how a child ended whose task is over. Unit: time. Source: the exit was
/// sent before the end of the task; only a sender that is held up can keep it back. Too low: a
/// typed error is taken for a kill; too high: a child that somebody unlinked comes back late.
const HEARING: Duration = Duration::from_secs(1);

/// The half of an end that came first.
#[derive(Debug, Default)]
enum Half {
    #[default]
    Neither,
    Exit(ChildExit),
    TaskOver,
}

/// What the supervisor holds of one child.
#[derive(Default)]
struct Place {
    live: Option<Live>,
    end: Half,
    /// Dropping it gives the running start up.
    cancel: Option<oneshot::Sender<()>>,
    /// The question for a sign of life; given up with the place.
    question: JoinSet<()>,
    /// How long it gave no sign of life, if it was killed for that.
    hung: Option<Duration>,
}

/// The state of one incarnation of a supervisor.
pub(crate) struct Roster {
    pub(crate) myself: ActorRef<SupervisorMsg>,
    spec: Arc<SupervisorSpec>,
    core: Core,
    places: Vec<Place>,
    /// Exits of actors that ended before their start was taken in; empty unless one is starting.
    early: BTreeMap<ActorId, ChildExit>,
    epoch: Instant,
}

impl Roster {
    pub(crate) fn new(myself: ActorRef<SupervisorMsg>, spec: Arc<SupervisorSpec>) -> Self {
        let seat = |child: &ChildSpec| Seat {
            id: child.id(),
            restart: child.restart,
            backoff: child.backoff,
            intensity: child.intensity,
            watched: child.watch.is_some(),
            incarnation: child.launcher.address().incarnation(),
        };
        let seats = spec.children.iter().map(seat).collect();
        let core = Core::new(spec.id(), spec.strategy, spec.intensity, seats);
        let places = spec.children.iter().map(|_| Place::default()).collect();
        Self { myself, spec, core, places, early: BTreeMap::new(), epoch: Instant::now() }
    }

    /// Starts the children in order; if one fails, stops those before it in reverse order.
    pub(crate) async fn boot(&mut self) -> Result<(), StartError> {
        let spec = Arc::clone(&self.spec);
        for (child, known) in spec.children.iter().enumerate() {
            let incarnation = self.core.boot(child);
            match launch(known, incarnation, Some(self.myself.get_cell())).await {
                Ok(newborn) => {
                    self.welcome(child, newborn.live.clone());
                    let (spec, supervisor) = (Arc::clone(&spec), self.myself.clone());
                    tokio::spawn(async move {
                        newborn.attend(&spec.children[child]).await;
                        tell(&supervisor, Command::ChildEnded { child, incarnation });
                    });
                }
                Err(exit) => {
                    let id = known.id();
                    let report = Report::Exited { id, incarnation, exit: exit.clone() };
                    spec.reports.publish(report);
                    self.stop_all().await;
                    return Err(StartError::Child { id, exit });
                }
            }
        }
        self.core.booted();
        Ok(())
    }

    /// Stops every child in reverse order. ractor hands the states of stopped children to this
    /// actor, which hears nothing meanwhile: they are dropped at its own end, right after this.
    pub(crate) async fn stop_all(&mut self) {
        for place in &mut self.places {
            place.cancel = None;
        }
        for (known, place) in self.spec.children.iter().zip(&mut self.places).rev() {
            if let Some(live) = place.live.take() {
                stop(known, &live, &self.spec.reports).await;
            }
        }
    }

    pub(crate) fn take_in(&mut self, command: Command) -> Option<Ending> {
        match command {
            Command::ChildStarted { child, live } => self.welcome(child, live),
            Command::ChildStartFailed { child, incarnation, exit } => {
                self.part(child, incarnation, exit)
            }
            Command::ChildStartCancelled { child, incarnation } => {
                self.decide(Event::StartCancelled { child, incarnation })
            }
            Command::ChildEnded { child, incarnation } => {
                match std::mem::take(&mut self.places[child].end) {
                    Half::Exit(exit) => self.part(child, incarnation, exit),
                    Half::Neither | Half::TaskOver => {
                        self.places[child].end = Half::TaskOver;
                        let passed = Command::HearingPassed { child, incarnation };
                        drop(self.myself.send_after(HEARING, || SupervisorMsg(passed)));
                        None
                    }
                }
            }
            Command::HearingPassed { child, incarnation } => {
                let place = &self.places[child];
                let present = place.live.as_ref().is_some_and(|l| l.incarnation == incarnation);
                // Somebody unlinked the child: it went without a word.
                let unheard = present && matches!(place.end, Half::TaskOver);
                if unheard { self.part(child, incarnation, ChildExit::Killed) } else { None }
            }
            Command::Answered { child, incarnation } => {
                self.decide(Event::Answered { child, incarnation })
            }
            Command::Silent { child, incarnation } => {
                self.decide(Event::Silent { child, incarnation })
            }
            Command::DelayPassed { child } => self.decide(Event::Woke { child }),
            Command::ShutDown => self.decide(Event::ShutdownAsked),
            Command::ReadChildren { reply } => {
                // Whoever asked may have given up.
                let _ = reply.send(self.views());
                None
            }
        }
    }

    /// An incarnation is up.
    fn welcome(&mut self, child: usize, live: Live) -> Option<Ending> {
        let (id, incarnation) = (self.spec.children[child].id(), live.incarnation);
        self.spec.reports.publish(Report::Started { id, incarnation });
        let end = self.early.remove(&live.cell.get_id()).map_or(Half::Neither, Half::Exit);
        self.places[child] = Place { live: Some(live), end, ..Place::default() };
        let ending = self.decide(Event::Started { child, incarnation });
        self.forget_early();
        ending
    }

    /// An incarnation has ended, or did not start.
    fn part(&mut self, child: usize, incarnation: u64, exit: ChildExit) -> Option<Ending> {
        let known = &self.spec.children[child];
        let place = std::mem::take(&mut self.places[child]);
        let exit = match (exit, place.hung) {
            (ChildExit::Killed, Some(silent_for)) => ChildExit::Hung(silent_for),
            (exit, _) => exit,
        };
        let report = Report::Exited { id: known.id(), incarnation, exit: exit.clone() };
        self.spec.reports.publish(report);
        let directive = if self.core.consults_hook(child, &exit) {
            known.verdict(&exit)
        } else {
            Directive::ByRestartKind
        };
        let ending = self.decide(Event::Exited { child, incarnation, exit, directive });
        self.forget_early();
        ending
    }

    /// ractor tells how an actor ended.
    pub(crate) fn hear(&mut self, actor: ActorId, exit: ChildExit) -> Option<Ending> {
        let present = self.places.iter_mut().enumerate().find_map(|(child, place)| {
            let live = place.live.as_ref().filter(|live| live.cell.get_id() == actor)?;
            let incarnation = live.incarnation;
            Some((child, incarnation, &mut place.end))
        });
        match present {
            Some((child, incarnation, Half::TaskOver)) => self.part(child, incarnation, exit),
            Some((_, _, end)) => {
                *end = Half::Exit(exit);
                None
            }
            None => {
                if self.is_starting() {
                    self.early.insert(actor, exit);
                }
                None
            }
        }
    }

    fn forget_early(&mut self) {
        if !self.is_starting() {
            self.early.clear();
        }
    }

    fn is_starting(&self) -> bool {
        (0..self.places.len()).any(|child| self.core.status(child).0 == ChildStatus::Starting)
    }

    fn views(&self) -> Vec<ChildView> {
        let view = |(child, known): (usize, &ChildSpec)| {
            let (status, restarts) = self.core.status(child);
            let incarnation = known.launcher.address().incarnation();
            ChildView { id: known.id(), incarnation, restarts, status }
        };
        self.spec.children.iter().enumerate().map(view).collect()
    }

    fn decide(&mut self, event: Event) -> Option<Ending> {
        let actions = self.core.handle(self.epoch.elapsed(), event);
        let mut ending = None;
        for action in actions {
            match action {
                Action::Start { child, incarnation } => self.start(child, incarnation),
                Action::CancelStart { child } => self.places[child].cancel = None,
                Action::Stop { child } => self.stop(child),
                Action::Ask { child, incarnation } => self.ask(child, incarnation),
                Action::Kill { child } => self.kill(child),
                Action::Wake { child, after } => {
                    let due = move || SupervisorMsg(Command::DelayPassed { child });
                    // The timer ends by itself, at the latest when the delay has passed.
                    drop(self.myself.send_after(after, due));
                }
                Action::RestartScheduled { child, delay, restarts_in_period } => {
                    let id = self.spec.children[child].id();
                    let report = Report::RestartScheduled { id, delay, restarts_in_period };
                    self.spec.reports.publish(report);
                }
                Action::Escalating(escalation) => {
                    self.spec.reports.publish(Report::Escalated(escalation));
                }
                Action::LeaveDown { child, incarnation } => {
                    let known = &self.spec.children[child];
                    close(std::slice::from_ref(known));
                    let report = Report::LeftDown { id: known.id(), incarnation };
                    self.spec.reports.publish(report);
                }
                Action::Finish(end) => ending = Some(end),
            }
        }
        ending
    }

    fn start(&mut self, child: usize, incarnation: u64) {
        let (cancel, cancelled) = oneshot::channel();
        self.places[child] = Place { cancel: Some(cancel), ..Place::default() };
        let (spec, supervisor) = (Arc::clone(&self.spec), self.myself.clone());
        tokio::spawn(async move {
            let known = &spec.children[child];
            let parent = Some(supervisor.get_cell());
            let launched = tokio::select! {
                biased;
                launched = launch(known, incarnation, parent) => launched,
                _ = cancelled => {
                    return tell(&supervisor, Command::ChildStartCancelled { child, incarnation });
                }
            };
            match launched {
                Ok(newborn) => {
                    let live = newborn.live.clone();
                    tell(&supervisor, Command::ChildStarted { child, live });
                    newborn.attend(known).await;
                    tell(&supervisor, Command::ChildEnded { child, incarnation });
                }
                Err(exit) => {
                    tell(&supervisor, Command::ChildStartFailed { child, incarnation, exit });
                }
            }
        });
    }

    fn ask(&mut self, child: usize, incarnation: u64) {
        let place = &mut self.places[child];
        if let (Some(watch), Some(live)) = (self.spec.children[child].watch, place.live.clone()) {
            let supervisor = self.myself.clone();
            // The one before has been answered.
            place.question = JoinSet::new();
            place.question.spawn(async move {
                let news = if sign_of_life(&watch, &live).await {
                    Command::Answered { child, incarnation }
                } else {
                    Command::Silent { child, incarnation }
                };
                tell(&supervisor, news);
            });
        }
    }

    fn kill(&mut self, child: usize) {
        let place = &mut self.places[child];
        if let (Some(watch), Some(live)) = (self.spec.children[child].watch, place.live.clone()) {
            let (within, incarnation) = (watch.heartbeat.within, live.incarnation);
            place.hung = Some(within);
            let spec = Arc::clone(&self.spec);
            spec.reports.publish(Report::Hung {
                id: spec.children[child].id(),
                incarnation,
                within,
            });
            tokio::spawn(async move { kill(&spec.children[child], &live, &spec.reports).await });
        }
    }

    fn stop(&self, child: usize) {
        if let Some(live) = self.places[child].live.clone() {
            let spec = Arc::clone(&self.spec);
            tokio::spawn(async move { stop(&spec.children[child], &live, &spec.reports).await });
        }
    }
}

fn tell(supervisor: &ActorRef<SupervisorMsg>, command: Command) {
    // A supervisor that is gone needs no telling: its children are killed with it.
    let _ = supervisor.cast(SupervisorMsg(command));
}
